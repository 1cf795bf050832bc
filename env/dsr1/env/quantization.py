"""How many bytes a weight takes, by the quantization_config of a model's config.json. Pure.

Read as vLLM's quantization methods do (model_executor/layers/quantization): a method, its bits,
scales for a group of weights, and modules that are left alone.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from dsr1.hosts.dataclass import dataclass

BF16 = 2.0
SCALE_BITS = 16
BYTE_METHODS = ("fp8", "fbgemm_fp8", "ptpc_fp8", "mxfp8")
BITS = {"NVFP4": 4 + 8 / 16, "FP8": 8.0, "FP8_PB_WO": 8.0, "MXFP4": 4 + 8 / 32, "MXFP8": 8 + 8 / 32}
LEFT_ALONE = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude")


@dataclass(frozen=True, slots=True)
class WeightSizes:
    """Bytes a weight: of routed experts, of attention, and of dense layers and shared experts."""

    experts: float
    attention: float
    dense: float


def parse_weight_sizes(config: Mapping[str, Any], asked: str = "") -> WeightSizes:
    """`asked` is vLLM's --quantization, which quantizes at loading what isn't. ValueError for a
    method that is not known here."""
    quantization = config.get("quantization_config") or config.get("compression_config")
    if not quantization and not asked:
        return WeightSizes(BF16, BF16, BF16)
    if asked == "experts_int8" and not quantization:
        return WeightSizes(1.0, BF16, BF16)
    settings = quantization or {"quant_method": asked}
    if not isinstance(settings, Mapping):
        raise ValueError(f"config.json: quantization_config is {settings!r}, an object is wanted")
    layer = f"model.layers.{max(0, int(config.get('num_hidden_layers') or 1) - 1)}"
    samples = (f"{layer}.mlp.experts.0.up_proj", f"{layer}.self_attn.o_proj")
    experts, attention = (_bytes_of(settings, name) for name in samples)
    shared = f"{layer}.mlp.shared_experts.up_proj"
    return WeightSizes(experts, attention, _bytes_of(settings, shared))


def _bytes_of(settings: Mapping[str, Any], module: str) -> float:
    nested = settings.get("quantization")
    own = {**nested, **settings} if isinstance(nested, Mapping) else settings
    alone = (name for key in LEFT_ALONE for name in _names(own.get(key)))
    if any(_covers(pattern, module) for pattern in alone):
        return BF16
    return _bits(own, module) / 8


def _names(value: object) -> Iterable[str]:
    return [str(name) for name in value] if isinstance(value, list | tuple) else ()


def _covers(pattern: str, module: str) -> bool:
    """compressed-tensors' `re:` expressions, ModelOpt's globs, names or parts of them."""
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), module) is not None
    if "*" in pattern:
        return fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*")
    return re.search(rf"(^|\.){re.escape(pattern.strip('.'))}(\.|$)", module) is not None


def _bits(own: Mapping[str, Any], module: str) -> float:
    method = str(own.get("quant_method") or "").lower()
    algorithm = str(own.get("quant_algo") or method.removeprefix("modelopt_")).upper()
    if method.startswith("compressed"):
        return _group_bits(own, module)
    if method == "quark":
        return _quark_bits(own)
    if algorithm in BITS:
        return BITS[algorithm]
    if method in BYTE_METHODS:
        return 8.0
    if method == "bitsandbytes":
        return 8.0 if own.get("load_in_8bit") else 4.5
    bits = own.get("bits") or own.get("w_bit")
    if not isinstance(bits, int | float):
        raise ValueError(f"config.json: quantization {method or 'of no method'!r} is not known")
    group = own.get("group_size") or own.get("q_group_size")
    return _with_scales(float(bits), group, bool(own.get("zero_point")) or own.get("sym") is False)


def _with_scales(bits: float, group: object, has_zeros: bool) -> float:
    if not isinstance(group, int) or group <= 0:
        return bits
    return bits + (SCALE_BITS + (bits if has_zeros else 0)) / group


def _group_bits(own: Mapping[str, Any], module: str) -> float:
    """compressed-tensors: what targets modules of this name, else what targets all of a class."""
    groups = own.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError("config.json: quantization_config has no config_groups")
    named = [group for group in groups.values() if _targets(group, module)]
    by_class = [group for group in groups.values() if "Linear" in _names(group.get("targets"))]
    untold = [group for group in groups.values() if not _names(group.get("targets"))]
    group = next(iter((*named, *by_class, *untold)), None)
    weights = group.get("weights") if group else None
    if not isinstance(weights, Mapping):
        return BF16 * 8
    bits, size = float(weights["num_bits"]), weights.get("group_size")
    if weights.get("type") == "float" and bits == 4:
        return BITS["NVFP4"] if size == 16 else BITS["MXFP4"]
    return _with_scales(bits, size, weights.get("symmetric") is False)


def _targets(group: Mapping[str, Any], module: str) -> bool:
    return any(_covers(target, module) for target in _names(group.get("targets")))


def _quark_bits(own: Mapping[str, Any]) -> float:
    """Quark says the type, `fp8_e4m3` or `int4`, and scales by groups."""
    weight = (own.get("global_quant_config") or {}).get("weight") or {}
    weight = weight[0] if isinstance(weight, list) else weight
    found = re.match(r"[a-z]+(\d+)", str(weight.get("dtype")))
    if found is None:
        raise ValueError("config.json: quantization 'quark' says no type of weights")
    return _with_scales(float(found[1]), weight.get("group_size"), False)
