"""push.py [MB [HOSTS...]]: a model from one host to many, by `dsr1 model push` and by plain rsync
to each at once.

Hosts are namespaces of this machine (tests/cluster), each behind a link of its own that carries
RATE_MB a second each way (tc, tbf): links are to limit, not the cores and the disk that all hosts
share. Needs root, sshd and rsync. Default: 1000 MB to 4 and to 16 hosts.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm"))]

from tests.cluster.hosts import Cluster  # noqa: E402
from tests.cluster.layout import USERS  # noqa: E402
from tests.cluster.login import Login  # noqa: E402
from tests.packages import ensure_tools  # noqa: E402
from tests.unit.hosts.agent.model.test_model import header_of  # noqa: E402

RATE_MB, SHARDS, SOURCE = 50, 16, "n0"
LINK = f"root tbf rate {RATE_MB * 8}mbit burst 512kb latency 100ms"


def shape(cluster: Cluster, host: str) -> None:
    """Both ends of its cable: what it sends, and what it gets."""
    box = cluster.boxes[host]
    assert (
        cluster.run(
            host, ("tc", "qdisc", "add", "dev", "eth0", *LINK.split()), user="root"
        ).returncode
        == 0
    )
    enter = ("nsenter", "-t", str(cluster.bridge_pid), "-n")
    subprocess.run((*enter, "tc", "qdisc", "add", "dev", box.cable, *LINK.split()), check=True)


def make_model(cluster: Cluster, megabytes: int) -> None:
    folder = cluster.path(SOURCE, "/home/launch/R1")
    folder.mkdir()
    each, piece = megabytes * 10**6 // SHARDS, os.urandom(10**6)
    for number in range(1, SHARDS + 1):
        with (folder / f"model-{number:05}-of-{SHARDS:06}.safetensors").open("wb") as file:
            file.write(header_of(("a",), each))
            for _ in range(each // len(piece)):
                file.write(piece)
            file.write(piece[: each % len(piece)])
    (folder / "config.json").write_text('{"model_type": "deepseek_v3"}')
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_text("{}")
    own(folder, USERS["launch"])


def own(folder: Path, uid: int) -> None:
    subprocess.run(("chown", "-R", f"{uid}:{uid}", str(folder)), check=True)


def by_dsr1(cluster: Cluster, hosts: Sequence[str]) -> None:
    names = ",".join((SOURCE, *hosts))
    done = Login(cluster).dsr1("model", "push", "/home/launch/R1", "--hosts", names, timeout=1800)
    assert done.returncode == 0, done.stderr


def by_rsync(cluster: Cluster, hosts: Sequence[str]) -> None:
    each = " ".join(f"rsync -a R1/ {host}:R1-rsync/ & pids+=($!);" for host in hosts)
    script = f"pids=(); {each} for pid in ${{pids[@]}}; do wait $pid || exit 1; done"
    done = cluster.run(SOURCE, ("bash", "-c", script), timeout=1800)
    assert done.returncode == 0, done.stderr


def sent(cluster: Cluster) -> int:
    return int(cluster.run(SOURCE, ("cat", "/sys/class/net/eth0/statistics/tx_bytes")).stdout)


def measure(
    name: str, work: Callable[[Cluster, Sequence[str]], None], megabytes: int, cluster: Cluster
) -> float:
    hosts = [host for host in cluster.boxes if host not in (SOURCE, "login")]
    before, began = sent(cluster), time.monotonic()
    work(cluster, hosts)
    seconds, times = time.monotonic() - began, (sent(cluster) - before) / (megabytes * 1e6)
    print(
        f"{name:<6} {len(hosts):>3} hosts {seconds:7.1f} s   {times:5.2f} times its bytes over the"
        " source's link",
        flush=True,
    )
    return seconds


def main(megabytes: int, counts: Sequence[int]) -> None:
    ensure_tools({"rsync": "rsync"})
    print(f"{megabytes} MB, links of {RATE_MB} MB/s")
    for count in counts:
        names = [f"n{number}" for number in range(count + 1)]
        with (
            tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
            Cluster.up(Path(folder), names) as cluster,
        ):
            make_model(cluster, megabytes)
            for name in names:
                shape(cluster, name)
            ours = measure("dsr1", by_dsr1, megabytes, cluster)
            print(
                f"       {ours / measure('rsync', by_rsync, megabytes, cluster):.2f} of rsync's"
                " time"
            )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if sys.argv[1:] else 1000,
        [int(count) for count in sys.argv[2:]] or [4, 16],
    )
