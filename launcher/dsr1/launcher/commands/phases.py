"""The phases of a start and the log lines that begin them, taken from real logs of vLLM 0.23 and
0.31, Dynamo 1.6."""

from dsr1.hosts.protocol.process import PhaseRule

PHASES = (
    "starting",
    "importing",
    "initialising",
    "connecting",
    "loading",
    "compiling",
    "profiling",
    "warming up",
    "capturing",
    "registering",
    "ready",
)
"""In order. `starting` is a process without a log line yet; `ready` is said by the supervisor, not
by a log.
"""
IMPORTS = {"starting": "server", "importing": "engine", "initialising": "worker"}
"""Which process loads its modules meanwhile: vLLM does it in each anew, one after the other. A
worker's is over with `connecting`, its first line."""

# `(EngineCore_DP1 pid=..)`, `(Worker_DP1_EP1 pid=..)`, `(Worker_DP1_TP0_EP2 pid=..)`; others tell
# no DP rank.
# Every repeat has an end, so that no line takes long; a test holds that.
_RANK = r"(?:\(\w{0,40}?_DP(?P<rank>\d{1,6})\w{0,40} pid=\d{1,10}\).{0,200}?)?"
_BAR = r"\s{1,9}\d{1,3}%[^|]{0,99}\|[^|]{0,99}?(?P<done>\d{1,9})/(?P<total>\d{1,9}) \["
_TQDM = r"\s{1,9}\d{1,3}%\|[^|]{0,300}\|\s{0,9}(?P<done>\d{1,9})/(?P<total>\d{1,9}) \["


def _rule(phase: str, text: str) -> PhaseRule:
    return PhaseRule(phase, _RANK + text)


# vLLM 0.31 captures graphs twice, first to know their memory: only what follows is the capture.
_GRAPHS = rf"Capturing CUDA graphs \([^)]{{0,99}}\):{_TQDM}"
_CAPTURES_FOLLOW = r"JIT kernel warmup starting|Profiling CUDA graph memory"
_IMPORTING = _rule("importing", r"\S")
_DYNAMO_REGISTERING = _rule("registering", r"Registering model with endpoint types")
_MOCKER_REGISTERING = _rule("registering", r"Registered endpoint '[^']{0,300}\.generate'")

VLLM_PHASES: tuple[PhaseRule, ...] = (
    _IMPORTING,
    _rule("initialising", r"Initializing a V1 LLM engine"),
    _rule("connecting", r"world_size=\d{1,9} rank=\d{1,9} local_rank=\d{1,9} distributed_init"),
    _rule("loading", r"Starting to load model"),
    _rule("loading", r"Loading model from scratch"),
    _rule("loading", rf"Loading safetensors checkpoint shards:{_BAR}"),
    _rule("compiling", r"Using cache directory: .{0,999} for vLLM's torch\.compile"),
    _rule("compiling", r"Dynamo bytecode transform time"),
    _rule("profiling", r"torch\.compile (?:took|takes) [\d.]{1,20} s in total"),
    _rule("profiling", r"Initial profiling/warmup run took"),
    _rule("profiling", r"Profiling CUDA graph memory"),
    _rule("profiling", _GRAPHS),
    _rule("warming up", r"JIT kernel warmup starting"),
    _rule("warming up", rf"DeepGEMM warmup:{_TQDM}"),
    _rule("warming up", r"\[Autotuner\]: Autotuning process starts"),
    PhaseRule("capturing", _RANK + _GRAPHS, after=_CAPTURES_FOLLOW),
    _rule("registering", r"init engine \(profile, create kv cache, warmup model\) took"),
)

DYNAMO_PHASES: tuple[PhaseRule, ...] = (*VLLM_PHASES, _DYNAMO_REGISTERING)

MOCKER_PHASES: tuple[PhaseRule, ...] = (_IMPORTING, _DYNAMO_REGISTERING, _MOCKER_REGISTERING)
