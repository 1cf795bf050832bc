"""What a manifest says of the GPUs that it was written for."""

import re

from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import Place, YamlMapping, YamlText, leaves
from dsr1.launcher.importing.shell.secrecy import quoted

_BLACKWELL = re.compile(
    r"\bG?B[123]00\b|\bRTX-?PRO-?6000\b|blackwell|nv-?fp4|mxfp4|\bfp4\b|\bsm_?1[0-2]\da?\b"
    r"|flashinfer_(?:all2allv|nvlink|trtllm|cutedsl|mxfp)\w*|trtllm_mla|cutlass_mla|\bmnnvl\b",
    re.IGNORECASE,
)
_SHOWN, _MOST_LENGTH = 4, 400


def note_blackwell(deployment: YamlMapping, ledger: Ledger) -> None:
    """One note, where the manifest names Blackwell's GPUs or what they alone can run."""
    words: dict[str, Place] = {}
    for value in leaves(deployment):
        keys = [key for key in value.place.path[-2:] if isinstance(key, str)]
        text = value.text[:_MOST_LENGTH] if isinstance(value, YamlText) else ""
        for found in _BLACKWELL.finditer(" ".join((text, *keys))):
            words.setdefault(found[0], value.place)
    if words:
        named = ", ".join(map(quoted, list(words)[:_SHOWN]))
        text = (
            f"written for Blackwell ({named}): Hopper has no FP4 and no NVLink between hosts; give"
            " FP8 weights (--model), and look at the number of GPUs, all2all_backend, moe_backend,"
            " the attention backend and the variables"
        )
        ledger.ask(text, "", *list(words.values())[:1])
