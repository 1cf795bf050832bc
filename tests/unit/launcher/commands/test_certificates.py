"""A run's certificates: one of its own authority, for the addresses of its hosts, in no plan."""

import ipaddress
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography import x509

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.certificates import make_secrets
from dsr1.launcher.commands.secrets import CA, CERT, KEY, SERVER_NAME
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe

TWO = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))
RECIPE = "name: t\nmodel: {path: /m}\nengines: {main: {}}\n"


def test_the_certificate_is_the_authoritys_and_for_every_address() -> None:
    secrets = make_secrets(["10.0.0.1", "node2"])
    authority, own = (x509.load_pem_x509_certificate(secrets[name].encode()) for name in (CA, CERT))
    own.verify_directly_issued_by(authority)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1")]
    assert names.get_values_for_type(x509.DNSName) == [SERVER_NAME, "node2"]
    assert "PRIVATE KEY" in secrets[KEY]


@pytest.mark.parametrize("days", [0, 91, 3649])
def test_a_deployment_still_restarts_after_months(days: int, tmp_path: Path) -> None:
    """TLS itself judges, by a clock that is so many days ahead; each side asks the other."""
    for name, text in make_secrets(["10.0.0.1"]).items():
        (tmp_path / name).write_text(text)
    then = str(int(time.time()) + days * 86400)
    for purpose in ("sslserver", "sslclient"):
        argv = ("openssl", "verify", "-attime", then, "-purpose", purpose, "-CAfile", CA, CERT)
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{CERT}: OK\n"), done.stderr


def test_several_machines_are_secured_and_the_plan_holds_no_secret() -> None:
    plan = make_plan(parse_recipe(RECIPE, "t"), TWO, "r", "/run/r")
    assert all(process.secrets for process in plan.processes)
    assert "BEGIN" not in str(asdict(plan))
    etcd = next(process for process in plan.processes if process.name == "etcd")
    assert "--client-cert-auth" in etcd.argv
    assert "https://10.0.0.1:20000" in etcd.argv


def test_security_off_and_one_machine_have_none() -> None:
    off = make_plan(parse_recipe(RECIPE + "security: 'off'\n", "t"), TWO, "r", "/run/r")
    one = make_plan(parse_recipe(RECIPE, "t"), TWO[:1], "r", "/run/r")
    assert not any(process.secrets for process in (*off.processes, *one.processes))
