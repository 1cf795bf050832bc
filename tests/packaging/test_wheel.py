"""The distribution: a wheel built from the sdist installs into a clean environment, and all of it
can be imported."""

import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.waiting import HANGS_S

REPOSITORY = Path(__file__).parents[2]
WALK = """
import importlib, pkgutil, dsr1
names = [found.name for found in pkgutil.walk_packages(dsr1.__path__, "dsr1.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(*names, sep="\\n")
"""

# One worker builds and installs it, once.
pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("packaging")]


def run(*argv: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        argv, cwd=cwd, timeout=HANGS_S, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without options `build` makes the sdist, and then the wheel from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, REPOSITORY, cwd=out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    install = ("-m", "pip", "install", "--quiet", "--no-compile", wheel)
    run(folder / "bin" / "python", *install, cwd=folder)
    return folder / "bin"


def modules(root: Path) -> set[str]:
    paths = (
        path for top in ("launcher", "slurm", "hosts", "env") for path in (root / top).rglob("*.py")
    )
    return {path.relative_to(root).as_posix().split("/", 1)[1] for path in paths}


def test_the_wheel_holds_every_module_and_its_data(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    recipes = (REPOSITORY / "launcher/dsr1/launcher/recipe/builtin").glob("*.yaml")
    assert modules(REPOSITORY) <= names
    assert {f"dsr1/launcher/recipe/builtin/{path.name}" for path in recipes} <= names
    assert "dsr1/launcher/triage/rules.yaml" in names
    assert {f"dsr1/{root}/py.typed" for root in ("launcher", "slurm", "hosts", "env")} <= names
    assert "dsr1/__init__.py" not in names


def test_every_module_imports(installed: Path, tmp_path: Path) -> None:
    names = run(installed / "python", "-W", "error", "-c", WALK, cwd=tmp_path).split()
    assert {"dsr1.launcher", "dsr1.slurm", "dsr1.hosts", "dsr1.env"} <= set(names)


def test_the_command_runs(installed: Path, tmp_path: Path) -> None:
    assert "launch" in run(installed / "dsr1", "--help", cwd=tmp_path)
    assert "fell off the bus" in run(installed / "dsr1", "explain", "gpu.xid", cwd=tmp_path)
    assert '"properties"' in run(installed / "dsr1", "schema", "site", cwd=tmp_path)
