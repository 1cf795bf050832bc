"""Checks of what happens on the GPUs: who uses them, and the driver's errors in the log."""

from typing import Any

from dsr1.env.checks.gpu.values import (
    GIB,
    GpuProblem,
    NvmlValues,
    fail,
    judge_gpus,
    planned_gpus,
    warn,
)
from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    for_gpus,
    known,
    known_or,
    pass_if,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.hosts.protocol.facts.fact import Facts

BUSY_BYTES = GIB
RECENT_S = 2 * 3600
SHOWN_XIDS = 8
# Azure's and NVIDIA Health Validation's list; 68 and 92 count when they repeat, 63 is a remapping
# that went well.
FATAL = frozenset((46, 48, 56, 57, 58, 62, 64, 65, 69, 73, 74, 79, 80, 81, 95, 119, 120))
FATAL_WHEN_REPEATED = frozenset((68, 92))
XID_MEANINGS = {
    31: "an application's bad access",
    45: "an application ended",
    48: "uncorrectable memory error",
    63: "a row remapped",
    64: "row remapping failed",
    74: "NVLink",
    79: "fell off the bus",
    94: "contained memory error",
    95: "uncontained memory error",
    119: "GSP timed out",
    120: "GSP error",
}


def idle(facts: Facts, requirements: Requirements) -> Verdict:
    """The user's own processes may be a run of dsr1's: a warning, since `launch` will find its
    ports taken anyway; unless they leave too little for any engine of the host."""
    user = known_or(facts, "user", "")
    gpus = planned_gpus(facts, requirements)
    alive = {
        process["pid"]: process for process in known(facts, "gpu.processes") if process["alive"]
    }

    vllm = known_or(facts, "software", {}).get("vllm", "")
    share = min((one.share_of_gpu(vllm) for one in requirements.engines_here), default=0.0)

    def problem_of(gpu: NvmlValues) -> GpuProblem | None:
        processes = [alive[pid] for pid in gpu["processes"] if pid in alive]
        if not processes:
            return _memory_left(gpu)
        return _too_full(gpu, processes, share) or _used_by(processes, user)

    fix = (
        "End the process (`dsr1 ps` lists your runs), or wait for it; memory without a process"
        " needs a reset of the GPU."
    )
    wanted = "no process and less than 1 GiB in use on any GPU"
    return judge_gpus(problem_of, gpus, wanted, fix)


def _used_by(processes: list[dict[str, Any]], user: str) -> GpuProblem:
    text = f"is used by {_names_of(processes)}"
    return warn(text) if all(one["user"] == user for one in processes) else fail(text)


def _names_of(processes: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"pid {one['pid']} ({one['user']}: {one['command'][:60]})" for one in processes
    )


def _too_full(gpu: NvmlValues, processes: list[dict[str, Any]], share: float) -> GpuProblem | None:
    """vLLM (v1/worker/utils.py, request_memory) refuses to start unless its share of the whole
    memory is free then. None also where NVML doesn't tell."""
    try:
        total, used = gpu["memory"], gpu["memory_used"]
    except UnknownFact:
        return None
    if total - used >= share * total:
        return None
    left = f"{max(0, total - used) / GIB:.1f} of {total / GIB:.1f} GiB free"
    return fail(
        f"is used by {_names_of(processes)}, with {left}: vLLM wants {share * total / GIB:.1f}"
        f" ({share:g}) at its start, and refuses"
    )


def _memory_left(gpu: NvmlValues) -> GpuProblem | None:
    used = gpu["memory_used"]
    if used <= BUSY_BYTES:
        return None
    pids = ", ".join(map(str, gpu["processes"]))
    holder = f"pid {pids}, which this user or container can't see" if pids else "no process"
    return fail(f"has {used / GIB:.1f} GiB in use by {holder}")


def xids(facts: Facts, requirements: Requirements) -> Verdict:
    events: list[dict[str, Any]] = known(facts, "kernel.xids")
    recent = [event["xid"] for event in events if _is_recent(event)]
    fatal = any(_is_fatal(xid, recent.count(xid)) for xid in recent)
    seen = ", ".join(map(_describe_xid, events[-SHOWN_XIDS:])) or "none since boot"
    fix = (
        "79: reboot. 119, 120: reset the GPU. 48, 63, 64, 94, 95: memory, see gpu.remap. 74:"
        " NVLink, see nvl.links."
    )
    wanted = "no Xid in the kernel's log"
    return pass_if(not events, "FAIL" if fatal else "WARN", seen, wanted, fix)


def _is_recent(event: dict[str, Any]) -> bool:
    return event["ago_s"] is None or event["ago_s"] < RECENT_S


def _is_fatal(xid: int, count: int) -> bool:
    return xid in FATAL or (xid in FATAL_WHEN_REPEATED and count > 1)


def _describe_xid(event: dict[str, Any]) -> str:
    meaning = XID_MEANINGS.get(event["xid"])
    note = f" ({meaning})" if meaning else ""
    ago = "" if event["ago_s"] is None else f" {event['ago_s'] / 60:.0f} min ago"
    return f"Xid {event['xid']}{note} on {event['pci']}{ago}"


CHECKS: dict[str, CheckFunction] = {
    "gpu.idle_procs": for_gpus(idle),
    "gpu.xid": for_gpus(xids),
}
