"""Words of failures that others met, from public issues: which line is shown, and whether it is the
machine's, the process's own, or a peer's failure. Written before the rules for them; what was
right at first is in the commit's message."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dsr1.launcher.triage.folder import read_folder
from dsr1.launcher.triage.judge import find_cause
from dsr1.launcher.triage.rules import ITSELF, MACHINE, OWN_ERROR, PEER_GONE, WAITING, load_rules

CORE = "(EngineCore_DP0 pid=219) ERROR 05-24 18:57:02 [core.py:1165] "
WORKER = "(Worker_DP0_EP0 pid=1034) ERROR 08-11 04:29:42 [multiproc_executor.py:1020] "
OWN = (ITSELF, OWN_ERROR)
PEER = (WAITING, PEER_GONE)
# Lines of the log in their order; the one to be shown begins with `>`.
CASES: Mapping[str, tuple[tuple[int, ...] | str, ...]] = {
    "DeepEP#289": (
        OWN,
        ">/nvshmem/src/modules/transport/ibrc/ibrc.cpp:418: non-zero status: 110 ibv_modify_qp",
        "/nvshmem/src/modules/transport/ibrc/ibrc.cpp:1433: non-zero status: 7 ep_connect failed",
        "NVSHMEM API called before NVSHMEM initialization has completed",
    ),
    "DeepEP#55": (
        OWN,
        "WARN: init failed for remote transport: ibrc",
        ">/src/host/transport/transport.cpp:nvshmemi_transport_init:275: init failed for "
        "transport: IBGDA",
        "/src/host/init/init.cu:989: non-zero status: 7 nvshmem detect topo failed",
    ),
    "sglang#12533": (
        OWN,
        ">/opt/nvshmem/src/modules/transport/ibgda/ibgda.cpp:1889: NULL value cannot allocate "
        "mlx5dv_devx_uar",
    ),
    "DeepEP#202": (
        OWN,
        "WARN: device erdma_0 is not enumerated as an mlx5 device. Skipping...",
        ">/src/host/transport/transport.cpp:nvshmemi_transport_init:287: Unable to initialize any "
        "transports. returning error.",
    ),
    "DeepEP#223": (
        PEER,
        ">ncclsocket_socket.cpp:socketProgressOpt:39: socketProgressOpt: Call to recv from "
        "10.179.114.196<38229> failed : Broken pipe",
        "/src/host/init/init.cu:nvshmemi_check_state_and_init:1080: nvshmem initialization failed, "
        "exiting",
    ),
    "vllm#6732": (
        OWN,
        ">node1:843:843 [5] transport/nvls.cc:157 NCCL WARN Cuda failure 1 'invalid argument'",
        WORKER + "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO)",
    ),
    "vllm#10626": (
        OWN,
        ">"
        + WORKER
        + "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO)",
    ),
    "nixl#1614": (OWN, ">nixl_cu13._bindings.nixlBackendError: NIXL_ERR_BACKEND"),
    "sglang#27894": (
        OWN,
        ">[1784273406.684686] [iv:994396:0]      ib_mlx5_dv.c:452  UCX  ERROR   "
        "mlx5dv_devx_obj_create(CQ) failed on mlx5_1, syndrome 0x2aac7c: Remote I/O error",
        "E0717 07:30:06.719655  994396 nixl_agent.cpp:359] createBackend: backend 'UCX' "
        "encountered error during intra-agent transfer setup with status NIXL_ERR_BACKEND",
    ),
    "sglang#6694": (
        OWN,
        ">[gpu-1:12796:1:13303] Caught signal 11 (Segmentation fault: invalid permissions for "
        "mapped object at address 0x7fbd60001400)",
    ),
    "vllm#2798": (
        OWN,
        ">[a9970a74a52a:279  :0:279] Caught signal 8 (Floating point exception: integer divide "
        "by zero)",
    ),
    "LMCache#605": (
        OWN,
        "[1746690477.974497] [llm206:611  :0]     ucp_context.c:1268 UCX  WARN  transports "
        "'cuda_ipc','cuda_copy' are not available, please use one or more of: mm, posix, tcp",
        ">" + CORE + "nixl._bindings.nixlBackendError: NIXL_ERR_BACKEND",
    ),
    "dynamo#1188": (
        PEER,
        ">2025-05-23T08:00:01.000000Z ERROR dynamo_runtime::worker: Application shutdown with "
        "error: Failed to connect to etcd server with config ClientOptions { etcd_url: [",
    ),
    "beam#36966": (
        PEER,
        "thread '<unnamed>' panicked at /opt/dynamo/lib/runtime/src/storage/kv.rs:440:29:",
        ">called `Result::unwrap()` on an `Err` value: BuildError(Unable to create lease. Check "
        "etcd server status at http://localhost:2379",
    ),
    "vllm#5731": (
        OWN,
        ">" + WORKER + "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling "
        "cublasLtMatmul with transpose_mat1 t transpose_mat2 n",
    ),
    "vllm#41106": (OWN, ">" + WORKER + "torch._inductor.exc.InductorError: AssertionError: "),
    "vllm#12498": (
        OWN,
        ">triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 66560, "
        "Hardware limit: 65536. Reducing block sizes or `num_stages` may help.",
    ),
    "vllm-backport#18": (OWN, ">" + WORKER + "RuntimeError: Triton Error [CUDA]: out of memory"),
    "vllm#29737": (
        (MACHINE,),
        ">RuntimeError: Failed to initialize NVML: Driver/library version mismatch",
        "RuntimeError: Failed to infer device type, please set the environment variable",
    ),
    "DeepSeek-VL2#125": (
        OWN,
        ">ValueError: The checkpoint you are trying to load has model type `deepseek_vl_v2` but "
        "Transformers does not recognize this architecture.",
    ),
    "vllm#12860": (
        OWN,
        ">ERROR 02-07 08:54:39 engine.py:387] ValueError: Following weights were not initialized "
        "from checkpoint: {'model.layers.47.mlp.gate_up_proj.weight'}",
    ),
    "vllm#16450": (OWN, ">" + WORKER + "KeyError: 'layers.61.mlp.experts.w2_weight'"),
    "sglang#3820": (
        PEER,
        ">node5:240:240 [6] misc/socket.cc:533 NCCL WARN socketPollConnect: Connect to "
        "10.0.0.4<56849> returned 113(No route to host) errno 115(Operation now in progress)",
    ),
    "nccl#1105": (
        PEER,
        ">ps-8:795:822 [0] include/socket.h:409 NCCL WARN Net : Connect to 192.168.1.9<54263> "
        "failed : No route to host",
    ),
    "OpenRLHF#265": (
        PEER,
        ">[E socket.cpp:922] [c10d] The client socket has timed out after 1800s while trying to "
        "connect to (172.17.0.2, 44737).",
    ),
    "vllm#6042": (
        PEER,
        ">[rank1]:[E ProcessGroupNCCL.cpp:563] [Rank 1] Watchdog caught collective operation "
        "timeout: WorkNCCL(SeqNum=158046, OpType=GATHER, NumelIn=2867200, NumelOut=0)",
    ),
    "nextflow#5932": (
        (MACHINE,),
        ">slurmstepd: error: Detected 1 oom_kill event in StepId=11300781.0. Some of the step "
        "tasks have been OOM Killed.",
        "srun: error: sdumont6156: task 0: Out Of Memory",
    ),
    "HAFS#101": (
        (MACHINE,),
        ">slurmstepd: error: Detected 1 oom-kill event(s) in step 3495064.0 cgroup. Some of your "
        "processes may have been killed by the cgroup out-of-memory handler.",
        "slurmstepd: error: *** STEP 3495064.0 ON orion-01-01 CANCELLED AT 2021-10-27T19:35:36 ***",
    ),
    "CSC4005#51": (OWN, ">srun: error: node25: task 11: Killed"),
    "ArjunaUsers#52": (
        OWN,
        ">/var/spool/slurmd/job00191/slurm_script: line 28:  8156 Killed                  python3",
    ),
    "vllm#21882": (
        OWN,
        ">RuntimeError: Engine core initialization failed. See root cause above. Failed core "
        "proc(s): {'EngineCore_0': -11}",
    ),
    "Megatron-Bridge#5050": (
        OWN,
        ">/dvs/nvshmem/src/modules/transport/ibgda/ibgda.cpp:2234: NULL value Unable to create ah.",
        "/dvs/nvshmem/src/host/transport/transport.cpp:420: non-zero status: 7 connect EPS failed",
    ),
    "Pai-Megatron-Patch#338": (
        OWN,
        ">RuntimeError: Error(s) in loading state_dict for GPTModel:",
    ),
    "vllm-backport#33": (
        PEER,
        ">nixl_cu12._bindings.nixlRemoteDisconnectError: NIXL_ERR_REMOTE_DISCONNECT",
        "genNotif: no specified or potential backend could send the inter-agent notifications",
        "nixl_cu12._bindings.nixlNotFoundError: NIXL_ERR_NOT_FOUND",
    ),
    "dynamo#3493": (
        OWN,
        ">2025-10-08T13:03:56.027000Z ERROR dynamo_runtime::transports::etcd::lease: keep-alive: "
        "lease 7587 expired or was revoked",
    ),
    "nccl#1657": (
        OWN,
        ">leader-0:1639:1915 [0] misc/ibvwrap.cc:206 NCCL WARN Call to ibv_modify_qp failed with "
        "error No such device errno 19",
        "leader-0:1639:1915 [0] NCCL INFO transport/net_ib.cc:937 -> 2",
    ),
    "DeepEP#165": (
        OWN,
        ">RuntimeError: Failed: Assertion error /opt/DeepEP/csrc/deep_ep.cpp:1025 'x.size(0) == "
        "topk_idx.size(0) and x.size(0) <= num_max_dispatch_tokens_per_rank'",
    ),
    "vllm#40987": (
        OWN,
        ">" + WORKER + "RuntimeError: Assertion error (/opt/deepgemm-src/csrc/apis/attention.hpp"
        ":200): context_lens.is_contiguous()",
        CORE + "RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer "
        "[10.0.0.3]:41234",
    ),
    "sglang#4857": (
        PEER,
        ">node5:75:99 [0] NCCL WARN NET/IB : Got completion from peer 10.0.0.7 with error 12, "
        "opcode 0, len 0, vendor err 129 (Recv)",
    ),
}
ECHOES = (
    "(EngineCore_DP0 pid=219) ERROR 05-24 18:57:09 [core.py:1165] Exception: WorkerProc "
    "initialization failed due to an exception in a background process. See stack trace.",
    "(MainProcess pid=12) RuntimeError: Engine core initialization failed. See root cause above. "
    "Failed core proc(s): {}",
)


@pytest.mark.parametrize("name", CASES)
def test_words_of_a_public_issue(name: str, tmp_path: Path) -> None:
    tiers, *given = CASES[name]
    lines = [str(line) for line in given]
    quiet = "(Worker_DP0_EP0 pid=1034) INFO 08-11 04:29:12 [gpu_worker.py:1] Loading took 3 s"
    text = "\n".join([quiet, *(line.removeprefix(">") for line in lines), *ECHOES, ""])
    (tmp_path / "main-0.log").write_text(text)
    cause = find_cause(read_folder(tmp_path, {}), load_rules(), {})
    assert cause is not None
    shown = next(line for line in lines if line.startswith(">"))
    assert cause.sign.text == shown[1:]
    assert cause.sign.tier in tiers
