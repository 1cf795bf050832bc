"""How a model is read best from where it lies, by what this vLLM offers: notes of the plan. Pure.

vLLM 0.31 reads ahead by itself from NFS and Lustre alone, and only what fits in 90 % of the
available memory (vllm/model_executor/model_loader/weight_utils.py).
"""

from collections.abc import Collection, Iterator, Mapping

from dsr1.env.checks.judging import NONSENSE, UnknownFact, known
from dsr1.env.checks.model.files import GB, file_size, files_of
from dsr1.env.checks.model.storage import CACHED, LARGE, PREFETCHED
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.flag_table import LOAD_FORMAT

STRATEGY, FILTER = "safetensors-load-strategy", "enable-ep-weight-filter"
OWN_READERS = (
    "fastsafetensors",
    "instanttensor",
    "runai_streamer",
    "runai_streamer_sharded",
    "ipc_cache",
)
"""Load formats that read in their own way. vLLM tells them nothing of experts, nor its threads
(model_loader/default_loader.py), and refuses a strategy beside those."""
THREADS = ("model-loader-extra-config", "enable_multithread_load")


@dataclass(frozen=True, slots=True)
class ModelDisk:
    """Where a host reads the model from, and whether its page cache can hold it."""

    kind: str
    size: int
    fits: bool

    @property
    def reads_ahead(self) -> bool:
        return self.kind in PREFETCHED and self.fits


def find_model_disk(facts: Facts) -> ModelDisk | None:
    """None: not known, or too small to matter."""
    try:
        size, memory = file_size(files_of(facts)), known(facts, "memory.available")
        disk = ModelDisk(str(known(facts, "model.fs")["type"]), size, size <= CACHED * memory)
    except (UnknownFact, *NONSENSE):
        return None
    return disk if size > LARGE else None


def loading_notes(
    engines: Mapping[str, Engine], facts: Mapping[str, Facts], answers: Collection[RuntimeAnswer]
) -> Iterator[str]:
    """For the plan as a whole: hosts that read alike are named once."""
    flags = {flag for answer in answers for parser in answer.parsers for flag in parser.flags}
    for disk, hosts in _hosts_by_disk(facts).items():
        for name, engine in engines.items():
            for note in engine_notes(engine, disk, flags, len(facts)):
                yield f"engines.{name}: {note} ({', '.join(hosts)})"


def _hosts_by_disk(facts: Mapping[str, Facts]) -> dict[ModelDisk, list[str]]:
    found: dict[ModelDisk, list[str]] = {}
    for host, own in facts.items():
        if disk := find_model_disk(own):
            found.setdefault(disk, []).append(host)
    return found


def engine_notes(
    engine: Engine, disk: ModelDisk, flags: Collection[str], hosts: int
) -> Iterator[str]:
    """What the recipe says by itself, it means. The ranks of one host need all experts between
    them: where its page cache holds them, leaving out another's saves nothing (measured,
    docs/gpus.md)."""
    if engine.has_dummy_weights:
        return
    size, parts = f"{disk.size / GB:.0f} GB", hosts > 1 or not disk.fits
    filters = f"--{FILTER}" in flags and engine.expert_parallel and not _reads_by_itself(engine)
    if parts and filters and FILTER not in engine.args:
        yield f"args: {{{FILTER}: true}} reads a rank's own experts alone of {size} on {disk.kind}"
    if not disk.fits:
        yield f"the page cache can't hold {size}: every rank reads {disk.kind} anew"
    elif f"--{STRATEGY}" in flags and not _reads_ahead(engine, disk):
        yield (
            f"args: {{{STRATEGY}: prefetch}} reads ahead, which vLLM does not by itself from"
            f" {disk.kind}"
        )


def _reads_ahead(engine: Engine, disk: ModelDisk) -> bool:
    return disk.reads_ahead or STRATEGY in engine.args or _reads_by_itself(engine)


def _reads_by_itself(engine: Engine) -> bool:
    option, threads = THREADS
    return engine.args.get(LOAD_FORMAT) in OWN_READERS or threads in str(engine.args.get(option))
