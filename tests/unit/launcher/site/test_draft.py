"""`dsr1 init`: what is made of what hosts and Slurm tell, and that it reads back."""

import os
import subprocess
from pathlib import Path

import pytest

from dsr1.launcher.site.draft import host_sets, name_of_set, render_site
from dsr1.launcher.site.files import read_site_layers
from dsr1.launcher.site.load import load_site
from dsr1.launcher.site.look import (
    HERE,
    SeenHost,
    SeenPartition,
    SeenSlurm,
    parse_look,
    parse_partitions,
)
from dsr1.launcher.site.models import Site

H100 = SeenHost(("NVIDIA H100 80GB HBM3",) * 8, ("/opt/vllm", "/opt/other"), ("/models/R1",))
H200 = SeenHost(("NVIDIA H200",) * 8, ("/opt/vllm",), ("/models/R1",))
SLURM = SeenSlurm(
    parse_partitions("cpu*|9|(null)|infinite\nh100|16|gpu:h100:8|4:00:00\n"), ("a1", "b")
)


def site_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    monkeypatch.setenv("DSR1_SITE", str(file))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    return load_site().site


def test_what_it_writes_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"node01": H100, "node02": H100, "x9": H200}
    found = site_of(render_site(seen, "me@node[01-02],x9", SLURM), tmp_path, monkeypatch)
    assert found.hosts == {"h100": "me@node[01-02]", "h200": "me@x9"}
    assert found.runtime.venv == "/opt/vllm"
    assert found.models == {"deepseek-ai/DeepSeek-R1": "/models/R1"}
    assert (found.slurm.partition, found.slurm.account) == ("h100", "a1")


def test_nothing_found_is_a_file_of_comments_and_every_comment_is_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = render_site({HERE: SeenHost()}, "", SeenSlurm())
    assert site_of(text, tmp_path, monkeypatch) == Site()
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ") and ": {" in line]
    lines += [line[2:] for line in text.splitlines() if line.startswith(("# spares", "# control"))]
    assert len(lines) == 10
    site_of("\n".join(lines), tmp_path, monkeypatch)


@pytest.mark.parametrize("odd", ["a: b", "'; id", "#x", "é", "*x", "- y", "$(id)"])
def test_odd_names_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    seen = {"a": SeenHost((), (f"/opt/{odd}",), (f"/m/{odd}",))}
    slurm = SeenSlurm((SeenPartition(odd, 1, "gpu:8", "1:00", False),), (odd,))
    found = site_of(render_site(seen, "a", slurm), tmp_path, monkeypatch)
    assert (found.runtime.venv, found.slurm.partition) == (f"/opt/{odd}", odd)


@pytest.mark.parametrize(
    ("gpu", "name"),
    [("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA GH200 480GB", "gh200"), ("odd", "gpus")],
)
def test_a_set_is_named_by_its_gpus(gpu: str, name: str) -> None:
    assert name_of_set([gpu]) == name
    assert name_of_set([]) == "hosts"


def test_a_file_of_hosts_stays_one_set() -> None:
    assert host_sets({"a": H100, "b": H200}, "@/etc/hosts.yaml") == {"h100": "@/etc/hosts.yaml"}


def test_the_look_finds_what_is_there(tmp_path: Path) -> None:
    """The very script, on this machine."""
    import dsr1.launcher.site.look as look

    venv = tmp_path / "vllm"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").write_text("#!/bin/sh\n")
    (venv / "bin/python").chmod(0o755)
    (venv / "lib/python3.12/site-packages/vllm-0.31.0.dist-info").mkdir(parents=True)
    script = Path(look.__file__).with_name("look.sh")
    env = {**os.environ, "HOME": str(tmp_path), "VIRTUAL_ENV": ""}
    done = subprocess.run(("sh", script), capture_output=True, text=True, check=True, env=env)
    assert str(venv) in parse_look(done.stdout).venvs
    assert parse_look("gpu H100\nMOTD of the day\nvenv \x1b[2J\n") == SeenHost(("H100",))


def test_no_place_is_read_twice(tmp_path: Path) -> None:
    assert read_site_layers((tmp_path / "none",), "").values == {}
