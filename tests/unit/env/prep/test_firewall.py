"""The rules of nft, as text and, where this machine lets us, as nft itself reads them."""

import os
import shutil
import subprocess

import pytest

from dsr1.env.prep.firewall import RunPorts, firewall_step, render_rules
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.prep.firewall import run_ports
from dsr1.launcher.recipe.load import load_recipe

PORTS = RunPorts((8000,), (20000, 20001))


def test_rules() -> None:
    answer = (
        'meta skuid 1000 oifname != "lo" tcp flags & (syn | ack) == syn | ack'
        " tcp sport != { 8000 } tcp sport { 20000, 20001, 32768-65535 }"
    )
    assert render_rules(1000, ("10.0.0.2", "10.0.0.1", "fe80::1%eth0"), PORTS) == (
        "table inet dsr1_1000; delete table inet dsr1_1000; table inet dsr1_1000 { chain answers {"
        " type filter hook output priority 0; policy accept;"
        f" {answer} ip daddr != {{ 10.0.0.1, 10.0.0.2 }} drop;"
        f" {answer} ip6 daddr != {{ fe80::1 }} drop;"
        ' oifname "lo" meta skuid != { 0, 1000 } tcp dport { 20000, 20001 } reject with tcp reset;'
        " }; }"
    )


def test_roots_own_daemons_are_left_alone() -> None:
    assert "32768" not in render_rules(0, (), PORTS)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        render_rules(0, ("10.0.0.1 } accept; #",), PORTS)


def test_frontends_stay_open() -> None:
    hosts = [Host(f"n{n}", f"10.0.0.{n}", "eth0", 8) for n in (1, 2)]
    ports = run_ports(make_plan(load_recipe("dsr1-dep", ["frontend.replicas=2"]), hosts, "r", "/"))
    assert len(ports.served) == 3
    assert not set(ports.served) & set(ports.closed)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft, in a namespace"
)
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("addresses", [(), ("10.0.0.1", "fd00::1")])
def test_nft_takes_them_twice_and_lets_them_go(uid: int, addresses: tuple[str, ...]) -> None:
    step = firewall_step(uid, addresses, PORTS)
    script = '"$1" "$2" && "$1" "$2" && "$1" list ruleset && "$1" "$3" && "$1" list ruleset'
    command = ("unshare", "--net", "sh", "-ec", script, "sh", *step.do, step.undo[1])
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("chain answers") == 1
