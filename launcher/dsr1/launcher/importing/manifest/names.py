"""Names of Kubernetes to a recipe's: lower case, digits and dashes, and no two alike. Pure."""

import re
from collections.abc import Container

_LONGEST = 32


def recipe_name(name: str, taken: Container[str] = ()) -> str:
    """VllmDecodeWorker is vllm-decode-worker; one that is taken already gets a number."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_LONGEST].strip("-") or "imported"
    number, chosen = 2, plain
    while chosen in taken:
        chosen = f"{plain[: _LONGEST - 4].strip('-')}-{number}"
        number += 1
    return chosen
