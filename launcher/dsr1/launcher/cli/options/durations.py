"""Spans of time as options: `90`, `30s`, `5m`, `7d`."""

from pydantic import TypeAdapter, ValidationError

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.types import LongSeconds

_SECONDS: TypeAdapter[float] = TypeAdapter(LongSeconds)


def parse_span(text: str, option: str) -> float:
    """In seconds. InputError names the option."""
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise InputError(
            f"{option} {text}: must be a span of time, at most ten years: 90, 30s, 5m, 2h or 7d"
        ) from None
