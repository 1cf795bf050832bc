"""How a model is read best from where it lies, by what this vLLM offers: notes of the plan. Pure.

vLLM 0.31 reads ahead by itself from NFS and Lustre alone, and only what fits in 90 % of the
available memory (vllm/model_executor/model_loader/weight_utils.py).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from dsr1.env.checks.judging import NONSENSE, UnknownFact, known
from dsr1.env.checks.model.files import GB, file_size, files_of
from dsr1.env.checks.model.storage import CACHED, LARGE, PREFETCHED
from dsr1.hosts.protocol.fact import Facts
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.launcher.recipe.engine import Engine

STRATEGY, FILTER, FORMAT = "safetensors-load-strategy", "enable-ep-weight-filter", "load-format"
OWN_READERS = (
    "fastsafetensors",
    "instanttensor",
    "runai_streamer",
    "runai_streamer_sharded",
    "ipc_cache",
)
"""Load formats that read ahead in their own way."""


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
        return (
            ModelDisk(str(known(facts, "model.fs")["type"]), size, size <= CACHED * memory)
            if size > LARGE
            else None
        )
    except (UnknownFact, *NONSENSE):
        return None


def loading_notes(
    engines: Mapping[str, Engine], facts: Mapping[str, Facts], answers: Collection[RuntimeAnswer]
) -> Iterator[str]:
    """For the plan as a whole: hosts that read alike are named once."""
    flags = {flag for answer in answers for parser in answer.parsers for flag in parser.flags}
    places: dict[ModelDisk, list[str]] = {}
    for host, told in facts.items():
        if place := find_model_disk(told):
            places.setdefault(place, []).append(host)
    for place, hosts in places.items():
        for name, engine in engines.items():
            yield from (
                f"engines.{name}: {note} ({', '.join(hosts)})"
                for note in engine_notes(engine, place, flags)
            )


def engine_notes(engine: Engine, place: ModelDisk, flags: Collection[str]) -> Iterator[str]:
    """What the recipe says by itself, it means."""
    said = {name.replace("_", "-"): value for name, value in engine.args.items()}
    if said.get(FORMAT) == "dummy":
        return
    if f"--{FILTER}" in flags and engine.expert_parallel and FILTER not in said:
        yield (
            f"args: {{{FILTER}: true}} reads a rank's own experts alone of {place.size / GB:.0f} GB"
            f" on {place.kind}"
        )
    if not place.fits:
        yield (
            f"the page cache can't hold {place.size / GB:.0f} GB: every rank reads {place.kind}"
            " anew"
        )
    elif f"--{STRATEGY}" in flags and not (
        place.reads_ahead or STRATEGY in said or said.get(FORMAT) in OWN_READERS
    ):
        yield (
            f"args: {{{STRATEGY}: prefetch}} reads ahead, which vLLM does not by itself from"
            f" {place.kind}"
        )
