"""HTTPS and keys at the frontends: what the plan, the scripts and a proxy's configuration say."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.health.members import frontend_gets, watched_ranks, worker_gets
from dsr1.launcher.plan.plan import OPEN_FRONTEND, Plan, make_plan
from dsr1.launcher.plan.render_bash import render_bash
from dsr1.launcher.plan.render_nginx import render_nginx
from dsr1.launcher.plan.render_text import render_text
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.recipe.parts import ServerTls

HOSTS = (Host("node1", "10.0.0.1"), Host("node2", "10.0.0.2"))
TLS = "frontend.tls={cert: /c.pem, key: /k.pem}"
KEY = "frontend.api_key_file=/keys/one"


def plan_of(recipe: str, *settings: str, hosts: int = 2) -> Plan:
    loaded = load_recipe(recipe, settings, model="/m", venv="/v")
    return make_plan(loaded, HOSTS[:hosts], "r", "/run/r")


@pytest.mark.parametrize("recipe", ["dsr1-dep", "dsr1-vllm"])
def test_the_default_over_several_hosts_is_said(recipe: str) -> None:
    assert OPEN_FRONTEND in plan_of(recipe).notes
    assert OPEN_FRONTEND not in plan_of(recipe, TLS).notes
    assert OPEN_FRONTEND not in plan_of(recipe, hosts=1).notes


@pytest.mark.parametrize(
    ("recipe", "flags", "settings"),
    [
        ("dsr1-dep", ("--tls-cert-path", "--tls-key-path"), (TLS,)),
        ("dsr1-vllm", ("--ssl-certfile", "--ssl-keyfile"), (TLS, KEY)),
    ],
)
def test_files_of_the_run_are_named_and_no_text_of_them(
    recipe: str, flags: tuple[str, ...], settings: tuple[str, ...]
) -> None:
    plan = plan_of(recipe, *settings)
    server = next(p for p in plan.processes if flags[0] in p.argv)
    for flag, file in zip(flags, ("frontend.pem", "frontend.key"), strict=True):
        assert server.argv[server.argv.index(flag) + 1] == f"secrets/{file}"
    assert plan.service.url == "https://10.0.0.1:8000"
    assert "/keys/one" not in str(asdict(plan)) + render_text(plan)
    script = render_bash(plan, "/run/r")
    assert 'ln -sfn "$folder/secrets" secrets' in script
    assert "secrets holds frontend.pem, frontend.key" in script


def test_only_servers_get_the_key() -> None:
    plan = plan_of("dsr1-vllm", KEY, "engines.main.layout=headless")
    holders = [p.name for p in plan.processes if any(s.file == "api-key" for s in p.secrets)]
    assert holders == [plan.service.workers[0].process]


def test_agents_ask_over_tls_what_serves_it() -> None:
    dynamo, vllm = plan_of("dsr1-dep", TLS), plan_of("dsr1-vllm", TLS)
    assert all(get.secured for gets in frontend_gets(dynamo, 5).values() for get in gets)
    gets = {get.secured for rank in watched_ranks(dynamo) for get in worker_gets(rank.worker, 5)}
    assert gets == {False}  # Dynamo's system port
    assert all(get.secured for r in watched_ranks(vllm) for get in worker_gets(r.worker, 5))


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        (KEY, r"frontend\.api_key_file: Dynamo's frontend knows no key; .*render --nginx"),
        ("frontend.env={VLLM_API_KEY: x}", r"frontend\.env\.VLLM_API_KEY: .*api_key_file"),
        ("runtime.env={DYN_TLS_KEY_PATH: /k}", r"runtime\.env\.DYN_TLS_KEY_PATH: .*frontend\.tls"),
        ("engines.main.env={VLLM_API_KEY: x}", r"engines\.main\.env\.VLLM_API_KEY"),
        ("frontend.args={tls-cert-path: /c}", r"own key: frontend\.tls"),
        ("frontend.args={api-key: x}", r"own key: frontend\.api_key_file"),
        ("frontend.tls={cert: /c.pem}", r"frontend\.tls\.key"),
        ("frontend.tls={cert: '', key: /k}", r"frontend\.tls\.cert"),
        ("frontend.api_key_file=$MY_API_KEY", "looks like a secret"),
    ],
)
def test_what_would_not_be_a_door_is_refused(setting: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        load_recipe("dsr1-dep", [setting], model="/m", venv="/v")


def test_relative_files_lie_where_the_launch_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["frontend.tls={cert: c.pem, key: ~/k.pem}", "frontend.api_key_file=keys/one"]
    frontend = load_recipe("dsr1-vllm", changes, model="/m", venv="/v").frontend
    assert frontend.tls == ServerTls(cert=f"{tmp_path}/c.pem", key=str(Path.home() / "k.pem"))
    assert frontend.api_key_file == f"{tmp_path}/keys/one"


def test_a_rehearsal_has_no_key_and_keeps_https() -> None:
    recipe = rehearse(load_recipe("dsr1-vllm", [TLS, KEY], model="/m", venv="/v"))
    assert recipe.frontend.api_key_file is None
    assert make_plan(recipe, HOSTS, "r", "/run/r").service.secured


def test_an_nginx_takes_only_who_has_a_key_to_every_frontend() -> None:
    text = render_nginx(plan_of("dsr1-dep", "frontend.replicas=2"), None)
    servers = re.findall(r"server (10\.\S+);", text)
    assert [one.split(":")[0] for one in servers] == ["10.0.0.1", "10.0.0.2"]
    assert "if ($r_known = 0) { return 401; }" in text
    assert "proxy_pass http://r;" in text
    odd = ServerTls(cert='/a b/"c.pem', key="/k.pem")
    assert 'ssl_certificate "/a b/\\"c.pem";' in render_nginx(plan_of("dsr1-dep"), odd)
    with pytest.raises(InputError, match="nginx can't read such a path"):
        render_nginx(plan_of("dsr1-dep"), ServerTls(cert="/$x", key="/k"))
