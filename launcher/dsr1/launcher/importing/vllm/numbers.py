"""Numbers and switches as vLLM's command line writes them: 16384, 16k, 16K, true. Pure."""

import re

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_count(text: str) -> int | None:
    """A whole number above zero: vLLM's k is 1000 and its K 1024. None for anything else."""
    match = re.fullmatch(r"(\d{1,15})(\.\d{1,6})?([kKmMgGtT]?)", text.strip(), re.ASCII)
    if not match or (match[2] and not match[3]):
        return None
    base = 1024 if match[3].isupper() else 1000
    number = float(match[1] + (match[2] or "")) if match[2] else int(match[1])
    count = int(number * base ** _POWERS[match[3].lower()])
    return count if count > 0 else None


def parse_number(text: str) -> float | None:
    match = re.fullmatch(r"\d{0,15}\.?\d{0,15}", text.strip(), re.ASCII)
    return float(text) if match and any(char.isdigit() for char in text) else None


def parse_switch(text: str) -> bool | None:
    return {"": True, "true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
