"""The site file: where it is looked for, who wins, what it says of recipes, hosts and checks, and
what is refused."""

import datetime
import sys
from pathlib import Path
from typing import Any

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.main import main
from dsr1.launcher.recipe.layers import location_of
from dsr1.launcher.recipe.load import RecipeChanges, Resolved, resolve_recipe
from dsr1.launcher.site.load import KnownSite, load_site

FAR = """\
hosts:
  h100: node[01-03]
  lab: {defaults: {user: me, key: ./key}, hosts: {n1: {}, n2: {gpus: 4}}}
  file: "@names.txt"
runtime: {venv: /opt/far, env: {A: 010}}
models:
  deepseek-ai/DeepSeek-R1: /models/R1
  r1: $R1_HERE
ports: {base: 21000}
profiles:
  small: {engines: {main: {max_num_seqs: 8}}}
"""
NEAR = """\
runtime:
  venv: .venv
hosts: {h100: "a,b"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings with the far file in them, and an empty current folder."""
    (tmp_path / "config/dsr1").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DSR1_SITE", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "config/dsr1/site.yaml").write_text(FAR)
    return tmp_path


def far(home: Path) -> Path:
    return home / "config/dsr1/site.yaml"


def resolved(site: KnownSite, recipe: str = "dsr1-dep", **changes: Any) -> Resolved:
    return resolve_recipe(recipe, RecipeChanges(site=site.values(), **changes))


def test_the_nearest_wins_key_by_key_and_says_its_line(home: Path) -> None:
    (home / "here/dsr1.yaml").write_text(NEAR)
    found = resolved(load_site())
    assert found.recipe.runtime.venv == str(home / "here/.venv")
    assert location_of(found.tree, ("runtime", "venv")) == "dsr1.yaml:2"
    assert found.recipe.runtime.env == {"A": "010"}
    assert location_of(found.tree, ("ports", "base")) == f"{far(home)}:9"
    assert [one.name for one in load_site().host_set("h100", True)] == ["a", "b"]


def test_the_variables_file_is_nearer_than_all_others(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "here/dsr1.yaml").write_text(NEAR)
    (home / "own.yaml").write_text("ports: {base: 22000}\nruntime: {venv: /opt/own}\n")
    monkeypatch.setenv("DSR1_SITE", str(home / "own.yaml"))
    found = resolved(load_site())
    assert (found.recipe.ports.base, found.recipe.runtime.venv) == (22000, "/opt/own")
    monkeypatch.setenv("DSR1_SITE", "gone.yaml")
    with pytest.raises(InputError, match=r"DSR1_SITE: gone.yaml: there is no such file"):
        load_site()


@pytest.mark.parametrize(
    ("changes", "path", "where"),
    [
        ({}, "/models/R1", "site.yaml:7"),
        ({"model": "r1"}, "/local/r1", "site.yaml:8"),
        ({"model": "/other"}, "/other", "--model"),
        ({"settings": ("model.path=r1",)}, "/local/r1", "site.yaml:8"),
    ],
)
def test_models_by_name(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    path: str,
    where: str,
) -> None:
    monkeypatch.setenv("R1_HERE", "/local/r1")
    found = resolved(load_site(), **changes)
    assert found.recipe.model.path == path
    assert location_of(found.tree, ("model", "path")).endswith(where)


def test_a_recipe_wins_and_its_python_takes_the_place_of_the_sites_venv(home: Path) -> None:
    recipe = home / "here/own.yaml"
    recipe.write_text(
        "name: own\nextends: dsr1-dep\nruntime: {python: /opt/p}\nports: {base: 23000}\n"
    )
    found = resolved(load_site(), str(recipe)).recipe
    assert (found.runtime.interpreter, found.ports.base) == ("/opt/p", 23000)
    assert resolved(load_site(), settings=("runtime.python=/x",)).recipe.runtime.venv is None
    assert resolved(load_site(), venv="/v").recipe.runtime.venv == "/v"
    with pytest.raises(InputError, match="python or venv, not both"):
        resolved(load_site(), settings=("runtime.python=/x",), venv="/v")


def test_a_profile_of_the_site_is_for_every_recipe(home: Path) -> None:
    found = resolved(load_site(), profiles=("small", "eager")).recipe.engines["main"]
    assert (found.max_num_seqs, found.enforce_eager) == (8, True)
    far(home).write_text("profiles: {h200: {engines: {main: {max_num_seqs: 9}}}}\n")
    found = resolved(load_site(), profiles=("h200",)).recipe.engines["main"]
    assert (found.max_num_seqs, found.max_model_len) == (9, 131072)


def test_host_sets_are_lists_files_and_inventories(home: Path) -> None:
    (home / "config/dsr1/names.txt").write_text("x\ny\n")
    site = load_site()
    assert [one.name for one in site.host_set("h100", False)] == ["node01", "node02", "node03"]
    assert [one.name for one in site.host_set("file", False)] == ["x", "y"]
    first, second = site.host_set("lab", True)
    assert (first.user, second.gpus, first.accept_new_key) == ("me", 4, True)
    with pytest.raises(InputError, match=r"no such set of hosts \(did you mean h100\?\)"):
        site.host_set("h10", False)


CONTROL = "hosts: {a: a}\ncontrol_network: 10.1.0.0/16\n"


def test_the_control_network_goes_with_its_hosts(home: Path) -> None:
    far(home).write_text(CONTROL)
    assert load_site().host_set("a", False)[0].network == "10.1.0.0/16"


SKIPS = """\
checks:
  skip:
    - {check: net.mtu, reason: old switches, until: 2027-01-31}
    - {check: gpu, reason: being repaired, until: 2026-01-31}
"""


def test_a_skipped_check_comes_back_after_its_day(home: Path) -> None:
    far(home).write_text(SKIPS)
    site, day = load_site(), datetime.date(2027, 1, 31)
    assert [one.check for one in site.skipped(day)] == ["net.mtu"]
    assert site.skipped(day + datetime.timedelta(1)) == ()
    skipped, over = site.notes(day)
    assert skipped.startswith("net.mtu is skipped until 2027-01-31: old switches (")
    assert "gpu was to be skipped until 2026-01-31, and is checked again" in over
    assert over.endswith("site.yaml:2)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("host: {a: b}\n", r"site.yaml:1: host: unknown key \(did you mean hosts\?\); allowed are"),
        (
            "slurm:\n  partion: x\n",
            r"site.yaml:2: slurm.partion: unknown key \(did you mean partition\?",
        ),
        ("engines: {main: {nodes: 1}}\n", "site.yaml:1: engines: unknown key"),
        ("ports: {base: high}\n", "site.yaml:1: ports.base: must be a whole number"),
        ("control_network: 10.1.0.3/16\n", "control_network: .*wanted is an IPv4 network"),
        ("checks: {skip: [{check: gpu, until: 2027-01-31}]}\n", "reason: is missing"),
        ("checks: {skip: [{check: gpu, reason: x, until: soon}]}\n", "until: .*date"),
        ("hosts: [a]\n", "site.yaml:1: hosts: "),
        ("profiles: {a: [1]}\n", "site.yaml:1: profiles.a: "),
        ("- a\n", "a site file is a mapping with keys such as hosts"),
        ("a: *b\n", "aliases .* not allowed in a site file"),
    ],
)
def test_what_is_refused(home: Path, text: str, said: str) -> None:
    far(home).write_text(text)
    with pytest.raises(InputError, match=said):
        load_site().values()


@pytest.mark.parametrize("text", ["", "# nothing\n\n  # yet\n"])
def test_a_file_of_comments_says_nothing(home: Path, text: str) -> None:
    far(home).write_text(text)
    assert resolved(load_site(), "dsr1-dep").recipe.runtime.venv is None


def test_a_file_that_others_may_write_is_not_taken(home: Path) -> None:
    """It names commands: in a folder of everybody's anybody could leave one."""
    far(home).chmod(0o666)
    with pytest.raises(InputError, match=r"everybody may write to it"):
        load_site()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("plan --no-facts --on h100", 0, "node03"),
        ("plan --no-facts --on h100 --hosts a", 2, "--on and --hosts exclude each other"),
        ("plan --no-facts --on typo", 2, "no such set of hosts"),
        ("exec -- true", 2, "Give --hosts, or --on"),
        ("launch --slurm --on h100", 2, "--slurm excludes --hosts and --on"),
        ("recipes dsr1-dep", 0, "site.yaml:5"),
        ("init --on h100", 2, "init takes --hosts"),
        ("init", 2, "is there already"),
    ],
)
def test_the_verbs(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    code: int,
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    captured = capsys.readouterr()
    assert (ended.value.code or 0) == code
    assert said in (captured.err if code else captured.out)


def test_a_check_that_is_skipped_has_to_be_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    far(home).write_text(SKIPS.replace("net.mtu", "net.mtuu"))
    monkeypatch.setattr(sys, "argv", ["dsr1", "check"])
    with pytest.raises(SystemExit):
        main()
    assert "'net.mtuu' is no check" in capsys.readouterr().err
