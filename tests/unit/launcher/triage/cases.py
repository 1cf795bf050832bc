"""Labelled failures: what hosts showed, in real public words, and who was to blame."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dsr1.hosts.protocol.evidence import (
    CollectiveState,
    GpuState,
    HostEvidence,
    KernelLine,
    MemberState,
    ProcessDeath,
    ProcessLog,
    ProcessRanks,
)
from dsr1.hosts.protocol.log_scan import scan_log
from dsr1.launcher.triage.rules import load_rules, patterns

HOSTS = ("node1", "node2", "node3", "node4")  # rank 0 to 3, one a host
ADDRESSES = {f"10.0.0.{number}": host for number, host in enumerate(HOSTS, 1)}
T0 = 1795693793.0  # 2026-11-26 11:49:53 UTC
QUIET = "(Worker_DP{rank}_EP{rank} pid=9) INFO 11-26 11:40:01 [gpu_worker.py:1] Loading took 3 s"
ENGINE_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack"
)


def worker(rank: int, text: str, second: int = 53) -> str:
    stamp = f"11-26 11:49:{second:02}"
    return f"(Worker_DP{rank}_EP{rank} pid=1{rank}) ERROR {stamp} [executor.py:1058] {text}"


def core(rank: int, text: str, second: int = 53) -> str:
    return f"(EngineCore_DP{rank} pid=2{rank}) ERROR 11-26 11:49:{second:02} [core.py:14] {text}"


def died(rank: int, code: object, second: int = 53) -> str:
    words = f"Worker proc VllmWorker-0 died unexpectedly (exit code: {code}), shutting down."
    return core(rank, words, second)


def closed(rank: int, peer: int, second: int = 53) -> str:
    words = "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection"
    return worker(rank, f"{words} closed by peer [10.0.0.{peer + 1}]:9095.", second)


def reset(rank: int, peer: int, second: int = 53) -> str:
    words = "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error"
    return worker(rank, f"{words} [10.0.0.{peer + 1}]:9095: Connection reset by peer", second)


def rpc(rank: int, second: int = 53) -> str:
    return core(rank, "TimeoutError: RPC call to sample_tokens timed out.", second)


def last_work(rank: int, begun: int) -> str:
    words = f"Timeout at NCCL work: 41, last enqueued NCCL work: {begun}, last completed NCCL"
    return f"[rank{rank}]:[E ProcessGroupNCCL.cpp:1537] [PG ID 2 PG GUID 3 Rank {rank}] {words}"


def dead(rank: int) -> str:
    return f"(MainProcess pid=3{rank}) ERROR 11-26 11:49:55 [async_llm.py:871] {ENGINE_DEAD}"


def ended(rank: int, component: str, code: int | None, at: float = 0.0) -> ProcessDeath:
    name = component if component == "main" else f"{component}_DP{rank}"
    return ProcessDeath(f"main-{rank}", name, 100 + rank, code, T0 + at)


def state(rank: int, letter: str, component: str = "Worker") -> MemberState:
    return MemberState(f"main-{rank}", f"{component}_DP{rank}", 100 + rank, letter, "rpc_wait_bit")


def kernel(text: str, at: float = 0.0) -> KernelLine:
    return KernelLine(T0 + at, text)


@dataclass(frozen=True)
class Case:
    """`logs`, `deaths` and `members` by rank, the rest by host. `blamed`: host, rank, rule; `shown`
    stands in the line that is shown."""

    name: str
    blamed: tuple[str, int | None, str]
    logs: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    shown: str = ""
    deaths: tuple[ProcessDeath, ...] = ()
    members: tuple[MemberState, ...] = ()
    kernels: Mapping[str, tuple[KernelLine, ...]] = field(default_factory=dict)
    hosts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def evidence_of(case: Case, folder: Path) -> dict[str, HostEvidence]:
    return {host: _host(case, rank, host, folder) for rank, host in enumerate(HOSTS)}


def _host(case: Case, rank: int, host: str, folder: Path) -> HostEvidence:
    path = folder / f"main-{rank}.log"
    quiet = [QUIET.format(rank=rank)] * 40
    path.write_text("\n".join([*quiet, *case.logs.get(rank, ()), ""]))
    scan = scan_log(path, patterns(load_rules()))
    more = dict(case.hosts.get(host, {}))
    logs = (
        ()
        if more.get("lost")
        else (ProcessLog(ProcessRanks(f"main-{rank}", "main", (rank,)), scan),)
    )
    return HostEvidence(
        host,
        now=T0 + 3,
        deaths=tuple(one for one in case.deaths if one.process == f"main-{rank}"),
        members=tuple(one for one in case.members if one.process == f"main-{rank}"),
        logs=logs,
        kernel=case.kernels.get(host, ()),
        **more,  # type: ignore[arg-type]
    )


def alone(name: str, rank: int, line: str, rule: str) -> Case:
    """One rank says why; the others lost it at the same second, or a little later."""
    others = [other for other in range(4) if other != rank]
    logs = {other: (reset(other, rank), dead(other)) for other in others}
    logs[rank] = (line, dead(rank))
    return Case(name, (HOSTS[rank], rank, rule), logs, line[-40:])


CUDA = "RuntimeError: CUDA error: "
CASES = (
    # -- ends by a signal, as vLLM saw them, as the agent saw them, or both
    alone("SIGILL in a worker", 2, died(2, -4), "vllm.worker_sigill"),
    alone("SIGKILL of a worker", 1, died(1, -9), "vllm.worker_sigkill"),
    alone("SIGBUS in a worker", 3, died(3, -7), "vllm.worker_sigbus"),
    alone("SIGSEGV in a worker", 0, died(0, -11), "vllm.worker_crashed"),
    alone("SIGABRT in a worker", 0, died(0, -6), "vllm.worker_crashed"),
    alone("a worker died, vLLM lost the code", 2, died(2, None), "vllm.worker_died"),
    Case(
        "vLLM lost the code, the agent has it",
        ("node3", 2, "process.died"),
        {2: (died(2, None),), 0: (closed(0, 2),), 1: (dead(1),), 3: (reset(3, 2),)},
        "exit code: None",
        (ended(2, "Worker", -4), ended(2, "EngineCore", 1, 0.2), ended(0, "EngineCore", 1, 0.3)),
    ),
    Case(
        "an EngineCore killed: no line names it",
        ("node4", 3, "process.died"),
        {0: (closed(0, 3, 55),), 1: (dead(1),)},
        "",
        (ended(3, "EngineCore", -9), ended(3, "Worker", -9, 0.02), ended(0, "Worker", 1, 1.9)),
    ),
    Case(
        "an EngineCore killed, its peers' workers went with exit code 0",
        ("node2", 1, "process.died"),
        {0: (died(0, 0, 55),), 2: (died(2, 0, 55),), 3: (dead(3),)},
        "",
        (ended(1, "EngineCore", -9), ended(0, "EngineCore", -15, 0.1)),
    ),
    Case(
        "two deaths 20 ms apart on two hosts: not certain, the earlier is named",
        ("node1", 0, "process.died"),
        {},
        "",
        (ended(0, "Worker", -11), ended(1, "Worker", -9, 0.02)),
    ),
    Case(
        "engines that vLLM killed itself, after one failed",
        ("node3", 2, "cuda.illegal_access"),
        {
            2: (worker(2, f"{CUDA}an illegal memory access was encountered", 50),),
            0: (
                "(MainProcess pid=30) WARNING 11-26 11:49:58 [utils.py:663] [shutdown] Process "
                "manager: force killing remaining process EngineCore_DP0 pid 100",
            ),
        },
        "illegal memory access",
        (ended(2, "EngineCore", 1, 0.1), ended(0, "EngineCore", -9, 5.0)),
    ),
    Case(
        "a coordinator killed",
        ("node1", 0, "process.died"),
        {1: (dead(1),)},
        "",
        (ProcessDeath("main-0", "DPCoordinator", 99, -9, T0),),
    ),
    Case(
        "a main process could not be started",
        ("node2", 1, "process.died"),
        {},
        "",
        (ProcessDeath("main-1", "main", 0, 127, T0, False, "could not be started: No such file"),),
    ),
    Case(
        "somebody sent SIGTERM to a main",
        ("node2", 1, "process.died"),
        {0: (dead(0),)},
        "",
        (ended(1, "main", -15, -2.0),),
    ),
    Case(
        "somebody sent SIGTERM to a main, which killed its engine and so the worker, and lives yet",
        ("node2", 1, "process.died"),
        {
            1: (
                "(MainProcess pid=30) WARNING 11-26 11:49:53 [utils.py:663] [shutdown] Process "
                "manager: force killing remaining process EngineCore_DP1 pid 101",
            ),
        },
        "",
        (ended(1, "EngineCore", -9), ProcessDeath("main-1", "Worker_DP1", 201, -9, T0 + 0.09)),
    ),
    # -- memory
    alone(
        "CUDA out of memory",
        1,
        worker(1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."),
        "cuda.out_of_memory",
    ),
    alone(
        "no room for the KV cache",
        0,
        core(0, "ValueError: No available memory for the cache blocks. Try increasing"),
        "vllm.kv_none",
    ),
    alone(
        "the KV cache is too small",
        3,
        core(3, "ValueError: To serve at least one request with the models's max seq len (163840)"),
        "vllm.kv_small",
    ),
    alone(
        "another process has the GPU's memory",
        2,
        worker(2, "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) is less than desired"),
        "vllm.memory_not_free",
    ),
    Case(
        "killed by the kernel in a cgroup",
        ("node2", 1, "host.oom"),
        {1: (died(1, -9),), 0: (closed(0, 1),)},
        "exit code: -9",
        (ended(1, "Worker", -9),),
        hosts={"node2": {"oom_kills": 1}},
    ),
    Case(
        "killed by the kernel, only dmesg says so",
        ("node3", 2, "host.oom"),
        {0: (closed(0, 2),)},
        "Out of memory: Killed process 12",
        (ended(2, "Worker", -9),),
        kernels={"node3": (kernel("Out of memory: Killed process 12 (VLLM::Worker_DP)"),)},
    ),
    Case(
        "a full /dev/shm",
        ("node4", 3, "process.died"),
        {3: (died(3, -7),), 0: (reset(0, 3),)},
        "exit code: -7",
        (ended(3, "Worker", -7),),
        hosts={"node4": {"full": ("/dev/shm",)}},
    ),
    alone(
        "a full disk", 0, worker(0, "OSError: [Errno 28] No space left on device"), "os.no_space"
    ),
    Case(
        "a full disk, on which no log could be written",
        ("node1", 0, "process.died"),
        {1: (reset(1, 0, 59),)},
        "",
        (ended(0, "EngineCore", 1),),
        hosts={"node1": {"full": ("/var/lib/dsr1",)}},
    ),
    alone(
        "NCCL has no room in /dev/shm",
        2,
        "node3:12:99 [0] NCCL WARN Error: failed to extend /dev/shm/nccl-x to 9637892 bytes, "
        "while creating shared memory segment /dev/shm/nccl-x: No space left on device",
        "nccl.no_shm",
    ),
    # -- the machine
    Case(
        "a GPU fell off the bus",
        ("node2", None, "kernel.xid_79"),
        {1: (worker(1, f"{CUDA}unspecified launch failure"),), 0: (rpc(0),), 2: (closed(2, 1),)},
        "Xid (PCI:0000:3b:00): 79",
        (ended(1, "Worker", -6, 0.5),),
        kernels={"node2": (kernel("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off", -1.0),)},
    ),
    Case(
        "an ECC error",
        ("node4", 3, "cuda.ecc"),
        {3: (worker(3, f"{CUDA}uncorrectable ECC error encountered"),), 0: (closed(0, 3),)},
        "uncorrectable ECC",
    ),
    Case(
        "a host was rebooted",
        ("node3", None, "host.rebooted"),
        {0: (closed(0, 2),), 1: (closed(1, 2),)},
        hosts={"node3": {"rebooted": True}},
    ),
    Case(
        "a host is gone",
        ("node4", None, "host.lost"),
        {0: (closed(0, 3),), 1: (rpc(1),), 2: (reset(2, 3),)},
        hosts={"node4": {"lost": "No route to host"}},
    ),
    Case(
        "an adapter's link went down",
        ("node1", None, "kernel.link_down"),
        {
            1: (
                "node2:12:99 [0] NCCL WARN NET/IB: Got completion from peer 10.0.0.1<45123> with "
                "status=12 opcode=0 len=0 vendor err 129",
            ),
        },
        "Link down",
        kernels={"node1": (kernel("mlx5_core 0000:5e:00.0 ens3: Link down", -7.0),)},
    ),
    Case(
        "Slurm's time limit",
        ("node1", 0, "slurm.time_limit"),
        {0: ("slurmstepd: error: *** STEP 7.0 ON node1 CANCELLED AT 2026 DUE TO TIME LIMIT ***",)},
        "TIME LIMIT",
    ),
    alone(
        "the fabric manager is not up",
        2,
        worker(2, "RuntimeError: Unexpected error: Error 802: system not yet initialized"),
        "cuda.not_ready",
    ),
    # -- waiting: the culprit does not wait
    Case(
        "a stopped worker, vLLM's own timeout in all others",
        ("node2", 1, "stuck"),
        {rank: (rpc(rank), dead(rank)) for rank in range(4)},
        "",
        tuple(ended(rank, "EngineCore", 1, 0.1) for rank in range(4)),
        (state(0, "S"), state(1, "T"), state(2, "R"), state(3, "S")),
    ),
    Case(
        "a stopped worker, before anybody complains",
        ("node3", 2, "stuck"),
        {},
        "",
        (),
        (state(0, "R"), state(1, "R"), state(2, "T"), state(3, "R")),
    ),
    Case(
        "a worker blocked in a file system",
        ("node4", 3, "stuck"),
        {rank: (rpc(rank),) for rank in range(3)},
        "",
        (),
        (state(0, "R"), state(3, "D")),
    ),
    Case(
        "the silent rank of a collective that timed out",
        ("node1", 0, "silent"),
        {
            rank: (
                worker(rank, "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL("),
            )
            for rank in (1, 2, 3)
        },
    ),
    Case(
        "DeepEP's dispatch waits for a rank that says nothing",
        ("node3", 2, "silent"),
        dict.fromkeys((0, 1, 3), ("DeepEP timeout check failed: dst_rank = 2",)),
    ),
    Case(
        "a host that does not answer in time",
        ("node2", None, "host.late"),
        {0: (rpc(0),), 2: (rpc(2),)},
        hosts={"node2": {"late": True}},
    ),
    Case(
        "one rank has begun fewer collectives: torch's own numbers in the logs",
        ("node3", 2, "behind"),
        {rank: (last_work(rank, 40 if rank == 2 else 41),) for rank in range(4)},
        "last enqueued NCCL work: 40",
    ),
    Case(
        "one rank has begun fewer collectives, by the flight recorder, and nothing ended",
        ("node2", 1, "behind"),
        hosts={
            host: {
                "hang": True,
                "collectives": (CollectiveState(rank, "0", 6 + (rank != 1), 6, "allreduce", ""),),
            }
            for rank, host in enumerate(HOSTS)
        },
    ),
    Case(
        "one GPU is idle, while the others wait at full speed",
        ("node4", 3, "idle"),
        {1: (worker(1, f"{CUDA}an illegal memory access was encountered", 2),)},
        members=tuple(state(rank, "R") for rank in range(4)),
        hosts={
            host: {
                "hang": True,
                "gpus": (GpuState(0, (100 + rank,), 1, 2, 3 if rank == 3 else 100),),
            }
            for rank, host in enumerate(HOSTS)
        },
    ),
    # -- votes: who went is named by its peers' words
    Case(
        "three peers name a host that says nothing",
        ("node3", 2, "silent"),
        {0: (closed(0, 2),), 1: (closed(1, 2),), 3: (reset(3, 2),)},
    ),
    Case(
        "both are victims: the one that others point at",
        ("node2", 1, "nccl.remote"),
        {
            0: (closed(0, 1),),
            1: (worker(1, "ncclRemoteError: remote process exited or there was a network error"),),
            2: (closed(2, 1),),
            3: (closed(3, 1),),
        },
    ),
    # -- its own fault, at the start
    Case(
        "a port taken: the store of rank 0",
        ("node1", 0, "net.port_taken"),
        {
            0: (
                worker(
                    0,
                    "torch.distributed.DistNetworkError: The server socket has failed to "
                    "listen on any local network address. port: 29500, name: EADDRINUSE",
                ),
            ),
            1: ("[W1126 11:49:53.684 TCPStore.cpp:125] [c10d] recvValue failed on SocketImpl(",),
        },
        "EADDRINUSE",
    ),
    alone(
        "a port taken: ZMQ",
        1,
        core(1, "zmq.error.ZMQError: Address already in use (addr='tcp://10.0.0.2:5557')"),
        "net.port_in_use",
    ),
    alone(
        "a wrong model",
        0,
        core(0, "OSError: /models/R1 does not appear to have a file named config.json."),
        "model.no_config",
    ),
    alone(
        "a broken weights file",
        2,
        worker(2, "safetensors_rust.SafetensorError: Error while deserializing header: Invalid"),
        "model.safetensors",
    ),
    alone(
        "a library that lacks a symbol",
        2,
        "Capturing CUDA graphs:   0%|   | 0/5 [00:00<?, ?it/s]VLLM::Worker_DP2_EP2: symbol lookup "
        "error: fp8_blockscale_gemm_90.so: undefined symbol: cuLibraryLoadData",
        "ld.symbol_lookup",
    ),
    alone(
        "two packages that don't fit",
        3,
        worker(3, "ImportError: /opt/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDevice"),
        "ld.undefined",
    ),
    alone(
        "no kernel for this GPU",
        1,
        worker(1, f"{CUDA}no kernel image is available for execution on the device"),
        "cuda.no_image",
    ),
    alone(
        "NVSHMEM can't address its peer",
        0,
        "/nvshmem/src/modules/transport/ibgda/ibgda.cpp:1793: NULL value Unable to create ah.",
        "nvshmem.create_ah",
    ),
    alone(
        "pinned memory for RDMA",
        2,
        "node3:12:99 [0] NCCL WARN Call to ibv_reg_mr_iova2 failed with error Cannot allocate "
        "memory",
        "nccl.reg_mr",
    ),
    alone(
        "DeepGEMM can't compile",
        3,
        worker(3, "RuntimeError: NVCC compilation failed: nvcc not found, set CUDA_HOME"),
        "deepgemm.nvcc",
    ),
    alone(
        "prefill and decode don't agree",
        1,
        worker(1, "RuntimeError: NIXL compatibility hash mismatch. Local: a1, remote: b2"),
        "nixl.incompatible",
    ),
    alone(
        "an error of a worker that no rule knows",
        2,
        worker(2, "RuntimeError: The size of tensor a (7168) must match the size of tensor b", 51),
        "vllm.own_error",
    ),
    # -- one cause below very many echoes
    Case(
        "one line of cause under 40,000 echoes",
        ("node4", 3, "cuda.assert"),
        {
            3: (
                worker(3, f"{CUDA}device-side assert triggered", 50),
                *(f"{core(3, ENGINE_DEAD)} {number}" for number in range(40_000)),
            ),
            0: (closed(0, 3),),
        },
        "device-side assert",
    ),
    Case(
        "the clock of the culprit's host is an hour ahead",
        ("node2", 1, "process.died"),
        {0: (closed(0, 1),)},
        "",
        (ended(1, "Worker", -11, 3600.0), ended(0, "Worker", -6, 0.9)),
        hosts={"node2": {"ahead_s": 3600.0}},
    ),
)
