"""The sizes of a model that a mapping must divide, read from its config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.yaml_text import read_bounded_text
from dsr1.launcher.recipe.models import Recipe

R1_CONFIG = Path(__file__).with_name("deepseek-r1.json")
_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")
_MOE_SIZES = ("moe_intermediate_size", "intermediate_size")


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Numbers of config.json; `experts` 0: no MoE. `block` is the side of a square FP8 block of
    weights with one scale, 0: none. `has_latent_cache`: MLA, whose KV cache every GPU of a tensor
    parallel rank has whole."""

    experts: int
    heads: int
    kv_heads: int
    intermediate: int
    moe_intermediate: int
    block: int
    has_latent_cache: bool

    @property
    def is_moe(self) -> bool:
        return self.experts > 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A config.json, and what it was read from, in words."""

    values: Mapping[str, Any]
    source: str


def read_model_config(recipe: Recipe) -> ModelConfig:
    """The model's own where its folder is here, else R1's, where it is R1 or V3 by its name.

    InputError: neither, or the file is none that can be used.
    """
    file = Path(recipe.model.path, "config.json")
    if file.is_absolute() and file.is_file():
        return ModelConfig(_read(file), str(file))
    if recipe.model.has_r1_sizes:
        return ModelConfig(_read(R1_CONFIG), f"R1 as dsr1 knows it ({file} isn't here)")
    raise InputError(
        f"model.path: {recipe.model.path} isn't a folder here with a config.json, which says"
        " whether the model is MoE and what can be divided; give --model FOLDER"
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        values = parse_bounded(read_bounded_text(file, "a model's config.json"))
    except ValueError as error:
        raise InputError(f"{file}: can't be read: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{file}: is {type(values).__name__}; a JSON object is wanted")
    return values


def parse_dimensions(config: ModelConfig, overrides: Mapping[str, Any]) -> Dimensions:
    """With what an engine replaces of it. InputError names the key that is missing or no number."""
    values = {**config.values, **overrides}
    inner = values.get("text_config")
    values = {**values, **inner} if isinstance(inner, dict) else values
    heads = _number(config.source, values, "num_attention_heads")
    experts = _first(config.source, values, _EXPERTS)
    return Dimensions(
        experts=experts,
        heads=heads,
        kv_heads=_first(config.source, values, ("num_key_value_heads",)) or heads,
        intermediate=_number(config.source, values, "intermediate_size"),
        moe_intermediate=_first(config.source, values, _MOE_SIZES) if experts else 0,
        block=_block(values.get("quantization_config")),
        has_latent_cache=bool(values.get("kv_lora_rank")),
    )


def _number(source: str, values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{source}: {key} is {value!r}; a whole number above 0 is wanted")
    return value


def _first(source: str, values: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    """Of the first key that is there; 0: none is."""
    found = next((key for key in keys if values.get(key)), "")
    return _number(source, values, found) if found else 0


def _block(quantization: object) -> int:
    size = quantization.get("weight_block_size") if isinstance(quantization, dict) else None
    first = size[0] if isinstance(size, list) and size else 0
    return first if isinstance(first, int) and first > 0 else 0
