"""What else the hosts showed: what comes into question no more, stacks, GPUs. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from dsr1.hosts.protocol.evidence import GpuState, HostEvidence, MemberState
from dsr1.launcher.triage.signs import Sign

MOST_STACKS, GIB = 8, 1 << 30


def render_ruled_out(evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    """Of hosts that were asked; a folder of logs rules out nothing."""
    asked = [host for host in evidence.values() if host.now]
    if not asked or len(asked) < len(evidence):
        return
    if not any(host.rebooted for host in asked):
        yield "a reboot or a lost host: all answered, and none was started anew"
    if not any(host.oom_kills or "Killed process" in _kernel(host) for host in asked):
        yield "want of host memory: the kernel killed nothing of it"
    if not any(host.kernel or "kernel's log" in "".join(host.problems) for host in asked):
        yield "GPUs, links, disks: nothing of them in the kernels' logs"
    if not any(host.full for host in asked):
        yield "a full disk or /dev/shm: there is room"
    gpus = [gpu for host in asked for gpu in host.gpus]
    if gpus and not any(gpu.problem or gpu.ecc_uncorrected for gpu in gpus):
        yield f"a lost GPU or broken GPU memory: all {len(gpus)} answered, without such errors"


def _kernel(host: HostEvidence) -> str:
    return "\n".join(line.text for line in host.kernel)


def render_gpus(evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    for host in evidence.values():
        yield from (f"{host.host} GPU {gpu.index}: {_gpu(gpu)}" for gpu in host.gpus)


def _gpu(gpu: GpuState) -> str:
    if gpu.used_bytes is None or gpu.total_bytes is None:
        return gpu.problem or "NVML gave nothing of it"
    memory = f"{gpu.used_bytes / GIB:.1f} of {gpu.total_bytes / GIB:.1f} GiB used"
    busy = f", {gpu.busy_percent} % at work" if gpu.busy_percent is not None else ""
    ecc = f", {gpu.ecc_uncorrected} errors that can't be corrected" if gpu.ecc_uncorrected else ""
    return f"{memory}{busy}{ecc}"


def render_stacks(culprit: Sign, evidence: Mapping[str, HostEvidence]) -> Iterator[str]:
    """The culprit's process first, then some of the others'."""
    found = [(host.host, one) for host in evidence.values() for one in host.members if one.stack]
    own = (culprit.host, culprit.process)
    found.sort(key=lambda pair: (pair[0], pair[1].process) != own)
    yield from (line for host, one in found[:MOST_STACKS] for line in _stack(host, one))


def _stack(host: str, member: MemberState) -> Sequence[str]:
    who = f"{host} {member.process} {member.component} (pid {member.pid}, state {member.state})"
    return [f"{who}:", *(f"  {frame}" for frame in member.stack)]
