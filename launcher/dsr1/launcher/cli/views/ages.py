"""How long ago, and for how long, as a person says it."""

import time

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def seconds_since(epoch_s: float) -> float:
    """To be shown, and nothing else: the clock may have been set meanwhile."""
    return max(0.0, time.time() - epoch_s)


def age_text(seconds: float) -> str:
    """`45 s`, `1 min 5 s`, `3 h 12 min`, `5 d 3 h`: two units at most, and the second if it is
    any."""
    left, parts = max(0, round(seconds)), list[str]()
    for word, size in _UNITS:
        parts.append(f"{left // size} {word}" if left >= size else "")
        left %= size
    first = next((at for at, part in enumerate(parts) if part), len(parts) - 1)
    return " ".join(filter(None, parts[first : first + 2])) or "0 s"
