"""What root runs is root's own: never a Python, a package or a file that another user may write."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsr1.hosts.transport.as_root import AS_ROOT, AS_SELF, CAREFULLY, NOT_ROOTS, RUN_BY, run_by

ATTACKER = 65534
AGENT = b"""import os, sys
print(os.path.realpath(sys.executable), os.getuid(), sys.flags.isolated, sys.flags.no_site)
print(sys.argv[0], oct(os.stat(sys.argv[0]).st_mode & 0o777), os.stat(sys.argv[0]).st_uid)
print(*sys.argv[1:])
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="what root runs takes root to try")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Root's alone, which /tmp is not."""
    with tempfile.TemporaryDirectory(prefix="dsr1-test-", dir="/run") as made:
        Path(made).chmod(0o755)
        agent_of(Path(made)).write_bytes(AGENT)
        yield Path(made)


def agent_of(folder: Path) -> Path:
    """Of a name that root's copies of other tests don't have."""
    return folder / f"{folder.name}.pyz"


def make_venv(folder: Path, owner: int = 0) -> Path:
    """With a .pth that says who runs it."""
    packages = folder / "lib" / "python3.99" / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    here = Path(sys.executable).resolve().parent
    own = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (folder / "pyvenv.cfg").write_text(f"home = {here}\n")
    (folder / own).mkdir(parents=True)
    (folder / own / "evil.pth").write_text(
        f"import os; open({str(folder.parent / 'ran')!r}, 'a').write(f'{{os.getuid()}} ')\n"
    )
    for path in (folder, *folder.rglob("*")):
        os.lchown(path, owner, owner)
    return folder / "bin" / "python"


def run(
    folder: Path, how: str, python: Path, agent: bytes = AGENT
) -> "subprocess.CompletedProcess[str]":
    script = f"p=$1; f=$2; shift 2\n{RUN_BY}"
    file = str(agent_of(folder))
    by = run_by(how, lambda: agent)
    argv = ("sh", "-c", script, "dsr1", str(python), file, *by, "a b", "';id")
    return subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)


def ran(folder: Path) -> str:
    return (folder / "ran").read_text() if (folder / "ran").exists() else ""


@pytest.mark.parametrize("how", [AS_ROOT, CAREFULLY])
def test_a_pth_of_another_users_venv_is_never_read(folder: Path, how: str) -> None:
    done = run(folder, how, make_venv(folder / "venv", ATTACKER))
    assert done.returncode == 0, done.stderr
    who, file, words = done.stdout.splitlines()
    assert who.split()[1:] == ["0", "1", "1"]
    assert words == "a b ';id"
    name, mode, owner = file.split()
    assert Path(name).parent.name.startswith("dsr1-root-")
    assert (mode, owner) == ("0o644", "0")
    assert not ran(folder)
    subprocess.run(("rm", "-r", str(Path(name).parent)), check=True)


def test_the_same_venv_without_care_would_be(folder: Path) -> None:
    """So that the others can fail."""
    run(folder, AS_SELF, make_venv(folder / "venv", ATTACKER))
    assert set(ran(folder).split()) == {"0"}


def test_roots_own_venv_is_run_where_it_is_asked_for_with_care(folder: Path) -> None:
    done = run(folder, CAREFULLY, make_venv(folder / "venv"))
    assert done.stdout.splitlines()[0].split()[1:] == ["0", "0", "0"]
    assert set(ran(folder).split()) == {"0"}


@pytest.mark.parametrize("how", ["own", "mode", "parent", "pth"])
def test_a_venv_that_another_may_write_to_in_one_place_is_not_roots(folder: Path, how: str) -> None:
    python = make_venv(folder / "venv")
    pth = next((folder / "venv").rglob("*.pth"))
    if how == "own":
        os.chown(folder / "venv" / "bin", ATTACKER, ATTACKER)
    elif how == "mode":
        pth.parent.chmod(0o775)
    elif how == "parent":
        folder.chmod(0o777)
    else:
        os.chown(pth, ATTACKER, ATTACKER)
    done = run(folder, CAREFULLY, python)
    assert done.stdout.splitlines()[0].split()[1:] == ["0", "1", "1"], done.stderr
    assert not ran(folder)
    subprocess.run(("rm", "-r", str(Path(done.stdout.split()[4]).parent)), check=True)


def test_a_python_of_another_user_is_not_run(folder: Path) -> None:
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\necho ran > {folder}/ran\n")
    python.chmod(0o755)
    os.chown(python, ATTACKER, ATTACKER)
    done = run(folder, AS_ROOT, python)
    assert not ran(folder)
    assert done.returncode in (0, NOT_ROOTS)
    if done.returncode == 0:
        subprocess.run(("rm", "-r", str(Path(done.stdout.split()[4]).parent)), check=True)


def test_an_agent_that_was_swapped_is_not_run(folder: Path) -> None:
    done = run(folder, AS_ROOT, make_venv(folder / "venv"), agent=b"what was sent")
    assert (done.returncode, done.stdout) == (NOT_ROOTS, "")
    assert "the agent's file is not what was sent" in done.stderr
    assert not [*Path("/run").glob(f"dsr1-root-*/{agent_of(folder).name}")]
