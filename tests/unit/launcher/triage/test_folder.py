"""Folders of logs that somebody sent: whose a log is, by what its launcher calls it."""

from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.operate.why import explain_folder
from dsr1.launcher.triage.folder import HERE, place_of, read_addresses

USING = "node:12:12 [0] NCCL INFO Bootstrap: Using ens3:10.0.0.{}<0>\n"
CLOSED = (
    "(Worker_DP{rank}_EP{rank} pid=9) ERROR 11-26 11:49:53 [x.py:1] RuntimeError: [gloo/transport/"
    "tcp/pair.cc:553] Connection closed by peer [10.0.0.3]:9095\n"
)


@pytest.mark.parametrize(
    ("name", "host", "engine"),
    [
        ("node07_decode_w0.err", "node07", "decode_w0"),
        ("gpu-h100_a1.site_prefill_w12.out", "gpu-h100_a1.site", "prefill_w12"),
        ("node07_agg_w0_profile.log", "node07", "agg_w0"),
        ("hosts/node5/logs/main-0.log", "node5", ""),
        ("bundle/logs/node5/main-0.log", "node5", ""),
        ("main-0.log", HERE, ""),
        ("logs/benchmark.out", HERE, ""),
        ("_decode_w0.err", HERE, ""),
    ],
)
def test_whose_a_log_is(tmp_path: Path, name: str, host: str, engine: str) -> None:
    assert place_of(tmp_path / name, tmp_path) == (host, engine)


def test_several_hosts_in_one_folder_as_srt_slurm_leaves_them(tmp_path: Path) -> None:
    """All peers name the address of a host that says nothing of itself."""
    for number, role in ((1, "prefill_w0"), (2, "decode_w0"), (3, "decode_w0"), (4, "decode_w0")):
        text = USING.format(number)
        if role == "decode_w0":
            text += CLOSED.format(rank=number - 2) if number != 3 else ""
            text += (
                f"(Worker_DP{number - 2}_EP0 pid=9) ERROR 11-26 11:49:54 [x.py:1] RuntimeError: "
            )
            text += "cancelled\n" if number != 3 else "remote process exited or there was a network"
            text += "" if number != 3 else " error\n"
        (tmp_path / f"node{number}_{role}.err").write_text(text)
        (tmp_path / f"node{number}_{role}.out").write_text("")
    (tmp_path / "benchmark.out").write_text("requests: 10\n")
    assert read_addresses(tmp_path) == {
        f"10.0.0.{number}": f"node{number}" for number in range(1, 5)
    }
    cause = explain_folder(tmp_path).cause
    assert cause is not None
    assert (cause.sign.host, cause.sign.engine, cause.sign.rank) == ("node3", "decode_w0", 1)


def test_plain_logs_of_vllm(tmp_path: Path) -> None:
    (tmp_path / "leader.txt").write_text(CLOSED.format(rank=0))
    (tmp_path / "other.txt").write_text(
        "(Worker_DP1_EP1 pid=9) ERROR 11-26 11:49:53 [x.py:1] RuntimeError: CUDA error: "
        "device-side assert triggered\n"
    )
    cause = explain_folder(tmp_path).cause
    assert cause is not None
    assert (cause.sign.process, cause.sign.rank, cause.sign.rule) == ("other", 1, "cuda.assert")
    assert cause.sign.path.endswith("other.txt")


def test_a_main_process_tells_of_one_of_its_engines(tmp_path: Path) -> None:
    (tmp_path / "main-0.log").write_text(
        "ERROR 11-26 11:31:05 [utils.py:565] RuntimeError: Engine core process EngineCore_DP3 died "
        "unexpectedly.\n"
    )
    cause = explain_folder(tmp_path).cause
    assert cause is not None
    assert (cause.sign.rank, cause.sign.rule) == (3, "vllm.engine_died")


def test_a_folder_without_logs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no logs"):
        explain_folder(tmp_path)
