"""Processes in containers are refused in words, wherever the program is named."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.containers import NOT_YET, container_problem
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.site.load import load_site

REFUSED = (
    "apptainer exec x.sif python",
    "/usr/bin/env FOO=1 apptainer exec x.sif python",
    "env FOO=1 BAR=2 /opt/apptainer/bin/apptainer exec x.sif python",
    'bash -c "apptainer exec x.sif python"',
    "bash -c 'cd /x;podman run y'",
    "srun --container-image=nvcr.io#nvidia/x python",
    "srun --container-image nvcr.io#nvidia/x python",
    "sudo -n docker run --gpus all x",
    "$(which singularity) exec x",
    "exec `command -v enroot` start x",
    "nice -n 5 nerdctl run x",
    "podman-hpc run x",
)
FINE = (
    "python3",
    "/opt/docker/venv/bin/python",
    "/opt/containers/bin/python3",
    "/srv/apptainer-images/venv/bin/python",
    "",
)


@pytest.mark.parametrize("command", REFUSED)
def test_a_container_program_is_found_behind_other_words(command: str) -> None:
    with pytest.raises(InputError) as refused:
        load_recipe("dsr1-dep", (f"runtime.python={command!r}",))
    assert NOT_YET in str(refused.value)
    assert "runtime" in str(refused.value)


@pytest.mark.parametrize("command", FINE)
def test_a_path_that_only_sounds_like_one(command: str) -> None:
    assert container_problem(command) == ""


@pytest.mark.parametrize(
    "change",
    [
        "runtime.venv='docker run x /opt/venv'",
        "slurm.directives=['--container-image=x']",
        "slurm.srun=['--container-mounts=/a:/b']",
    ],
)
def test_other_keys_that_would_start_one(change: str) -> None:
    with pytest.raises(InputError, match="containers aren't there yet"):
        load_recipe("dsr1-dep", (change,))


def test_a_site_file_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("runtime:\n  python: env A=1 apptainer exec x.sif python3\n")
    monkeypatch.setenv("DSR1_SITE", str(file))
    with pytest.raises(InputError) as refused:
        load_site()
    assert NOT_YET in str(refused.value)
    assert f"{file}:" in str(refused.value)
