"""`dsr1 model fetch` from a hub on loopback, with everything that goes wrong on the way."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.hub import COMMIT, Hub, serving
from tests.unit.hosts.agent.model.test_model import FIRST, SECOND, make_model
from tests.waiting import HANGS_S

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.identity import is_alive, start_time
from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.launcher.model.fetch import FetchRequest, fetch_model
from dsr1.launcher.model.verify import verify_model

REPO, TOKEN = "deepseek-ai/DeepSeek-R1", "hf_secret"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    make_model(tmp_path / "hub" / REPO)
    (tmp_path / "hub" / REPO / "figures").mkdir()
    (tmp_path / "hub" / REPO / "figures" / "a b.jpg").write_bytes(b"\xff\xd8")
    with serving(tmp_path / "hub") as hub:
        yield hub


def silent(host: str, progress: JobProgress) -> None:
    pass


def fetch(hub: Hub, to: Path, patience_s: float = 20.0, **environ: str) -> dict[str, str]:
    return fetch_model(
        FetchRequest((REPO,), str(to), None, patience_s),
        (),
        "",
        {"HF_ENDPOINT": hub.url, **environ},
        silent,
    )


def assert_whole(hub: Hub, folder: Path) -> None:
    source = hub.root / REPO
    wanted = {
        path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()
    }
    found = {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert found.pop(Path("SHA256SUMS"))
    assert found == wanted


def test_a_whole_model_with_its_hashes(hub: Hub, tmp_path: Path) -> None:
    assert fetch(hub, tmp_path) == {str(tmp_path / "DeepSeek-R1"): COMMIT}
    folder = tmp_path / "DeepSeek-R1"
    assert_whole(hub, folder)
    assert (
        subprocess.run(
            ("sha256sum", "--check", "--quiet", "SHA256SUMS"), cwd=folder, check=False
        ).returncode
        == 0
    )
    assert {f.verdict for f in verify_model(str(folder), (), sys.executable, True, silent)} == {
        "PASS"
    }
    before = len(hub.asked)
    fetch(hub, tmp_path)
    assert len(hub.asked) == before + 1, "what is there is not asked for again"


def test_a_connection_that_breaks_off_is_gone_on_with(hub: Hub, tmp_path: Path) -> None:
    """At once, and by the next fetch; huggingface_hub writes 10 MiB at a time."""
    big = hub.root / REPO / "big.safetensors"
    big.write_bytes(bytes(range(256)) * 130_000)
    hub.cuts[big.name] = [11 * 2**20, 11 * 2**20]
    hub.refusals[big.name] = [200, 200, 503, 503, 503]
    with pytest.raises(LaunchFailed, match="out of reach for 1 s"):
        fetch(hub, tmp_path, patience_s=1.0)
    hub.refusals.clear()
    fetch(hub, tmp_path)
    assert_whole(hub, tmp_path / "DeepSeek-R1")
    assert list(dict.fromkeys(hub.ranges(big.name))) == [
        "",
        f"bytes={10 * 2**20}-",
        f"bytes={20 * 2**20}-",
    ]


def test_a_hub_that_is_overloaded_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    hub.refusals[FIRST] = [503]
    fetch(hub, tmp_path)
    assert_whole(hub, tmp_path / "DeepSeek-R1")


def test_a_hub_that_stays_away_is_given_up_and_gone_on_with_later(hub: Hub, tmp_path: Path) -> None:
    hub.refusals[FIRST] = [503] * 50
    with pytest.raises(
        LaunchFailed, match=rf"localhost: {FIRST}: the hub was out of reach for 1 s: .*503"
    ):
        fetch(hub, tmp_path, patience_s=1.0)
    folder = tmp_path / "DeepSeek-R1"
    assert not (folder / FIRST).exists()
    hub.refusals.clear()
    (folder / ".dsr1" / "of-another-commit.part").touch()
    fetch(hub, tmp_path)
    assert_whole(hub, folder)
    assert len(hub.ranges(SECOND)) == 1


def test_a_wrong_hash_never_gets_a_final_name(hub: Hub, tmp_path: Path) -> None:
    good = (hub.root / REPO / FIRST).read_bytes()
    hub.lies[FIRST] = [b"\0" * len(good)] * 2
    with pytest.raises(
        LaunchFailed,
        match=rf"localhost: {FIRST}: came twice with the hash .*, and .* is the hub's own",
    ):
        fetch(hub, tmp_path)
    assert not (tmp_path / "DeepSeek-R1" / FIRST).exists()
    hub.lies[FIRST] = [b"\0" * len(good)]
    fetch(hub, tmp_path)
    assert_whole(hub, tmp_path / "DeepSeek-R1")


def test_a_part_that_was_spoilt_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    hub.cuts[FIRST], hub.lies[FIRST] = [40], [b"\1" * 400]
    fetch(hub, tmp_path)
    assert_whole(hub, tmp_path / "DeepSeek-R1")


def test_the_token_is_used_and_never_told(hub: Hub, tmp_path: Path) -> None:
    hub.token = TOKEN
    with pytest.raises(InputError, match=r"no such repository \(if it is private, set HF_TOKEN\)"):
        fetch(hub, tmp_path)
    fetch(hub, tmp_path, HF_TOKEN=TOKEN)
    hub.refusals["config.json"] = [503] * 9
    (tmp_path / "DeepSeek-R1" / "config.json").unlink()
    with pytest.raises(LaunchFailed) as told:
        fetch(hub, tmp_path, patience_s=0.5, HF_TOKEN=TOKEN)
    assert TOKEN not in str(told.value)


@pytest.mark.parametrize(
    ("repo", "revision", "kind", "said"),
    [
        ("nobody/nothing", None, InputError, "has no such repository"),
        (REPO, "v9", InputError, "has no revision 'v9'"),
        ("';id/x", None, InputError, "is not the name of a repository"),
        ("a/b/c", None, InputError, "is not the name of a repository"),
        ("../x", None, InputError, "is not the name of a repository"),
    ],
)
def test_what_is_not_there(
    hub: Hub, tmp_path: Path, repo: str, revision: str | None, kind: type[Dsr1Error], said: str
) -> None:
    with pytest.raises(kind, match=said):
        fetch_model(
            FetchRequest((repo,), str(tmp_path), revision), (), "", {"HF_ENDPOINT": hub.url}, silent
        )


@pytest.mark.parametrize(
    ("repos", "to", "said"),
    [
        (("a/b", "c/b"), "/m", "two of a/b, c/b have the same name and would share a folder"),
        (("a/b",), "", "--to '': must be an absolute path"),
        (("a/b",), "m", "--to 'm': must be an absolute path"),
    ],
)
def test_wishes_that_cannot_be_met(repos: tuple[str, ...], to: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        FetchRequest(repos, to)


def test_no_hub_at_all(tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match="does not answer as a hub"):
        fetch_model(
            FetchRequest((REPO,), str(tmp_path)),
            (),
            "",
            {"HF_ENDPOINT": "http://127.0.0.1:9"},
            silent,
        )


def test_two_into_one_folder_are_told_apart(hub: Hub, tmp_path: Path) -> None:
    hub.gate = threading.Event()
    first = threading.Thread(target=fetch, args=(hub, tmp_path))
    first.start()
    try:
        while not hub.ranges(FIRST):
            assert first.is_alive()
        with pytest.raises(LaunchFailed, match=r"process \d+ of .* puts a model there now"):
            fetch(hub, tmp_path)
    finally:
        hub.gate.set()
        first.join()
    assert_whole(hub, tmp_path / "DeepSeek-R1")


def test_a_folder_that_cannot_be_made_is_told(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "shut").write_text("")
    with pytest.raises(
        CheckFailed, match=r"shut/DeepSeek-R1: can't be written to by uid \d+: Not a directory"
    ):
        fetch(hub, tmp_path / "shut")


def test_no_space_is_told_before_the_first_byte(hub: Hub, tmp_path: Path) -> None:
    hub.claims[FIRST] = 10**16
    with pytest.raises(
        CheckFailed, match=r"10100000\.0 GB are still to come, .* GB are free; free some space"
    ):
        fetch(hub, tmp_path)
    assert not (tmp_path / "DeepSeek-R1").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_any_point_it_leaves_nothing_and_goes_on(
    hub: Hub, tmp_path: Path, how: signal.Signals
) -> None:
    hub.gate = threading.Event()
    argv = (
        sys.executable,
        "-m",
        "dsr1.launcher.cli.main",
        "model",
        "fetch",
        REPO,
        "--to",
        str(tmp_path),
    )
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
    with subprocess.Popen(
        argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        while not hub.ranges(FIRST):
            assert child.poll() is None
        (agent,) = _agents(str(tmp_path))
        start = start_time(agent) or 0.0
        child.send_signal(how)
        told = child.communicate(timeout=HANGS_S)[0].decode()
    if how == signal.SIGINT:
        assert child.returncode == 4
        assert (
            told.splitlines()[-1] == "dsr1: interrupted; the same command goes on where it stopped"
        )
    while is_alive(agent, start, boot_id()):
        time.sleep(0.01)
    hub.gate.set()
    hub.cuts[FIRST] = [30]
    fetch(hub, tmp_path)
    assert_whole(hub, tmp_path / "DeepSeek-R1")


def _agents(folder: str) -> list[int]:
    """Those of this test: no order is in an argument, but where they work is told by their open
    lock."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(path.readlink()).startswith(folder):
                found[path.parts[2]] = Path("/proc", path.parts[2], "cmdline").read_text(
                    errors="replace"
                )
        except OSError:
            continue
    assert not any(TOKEN in line for line in found.values())
    return [int(pid) for pid, line in found.items() if "job\0fetch" in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="a second user's files take root to make")
def test_a_folder_that_somebody_else_prepared_is_refused(hub: Hub, tmp_path: Path) -> None:
    victims, work = tmp_path / ".bashrc", tmp_path / "DeepSeek-R1" / ".dsr1"
    victims.write_text("mine")
    work.mkdir(parents=True)
    (work / "lock").symlink_to(victims)
    os.chown(work, 65534, 65534)
    with pytest.raises(CheckFailed, match="belongs to uid 65534"):
        fetch(hub, tmp_path)
    assert victims.read_text() == "mine"
