"""Types that every part of a recipe is made of: strict, closed and frozen models, and the scalars
of YAML."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dsr1.hosts.inventory.addresses import address_problem
from dsr1.launcher.recipe.flags import check_flags

_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|m|h|d)")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds_of_text(value: object) -> object:
    """`90`, or with a unit: `90s`, `1.5m`, `1h`, `2d`."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if not (found or _NUMBER.fullmatch(value.strip())):
        raise ValueError("must be a span of time in seconds, or with a unit: 90, 30s, 5m, 2h, 7d")
    return float(found[1]) * _UNITS[found[2]] if found else value


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT])?(i)?B")


def _bytes_of_text(value: object) -> object:
    """`1GB`, `512MiB`, or a number of bytes."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        return value
    power = " kMGT".index(found[2] or " ")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** power)


def _off_of_false(value: object) -> object:
    """`off` without quotes is false in YAML."""
    return "off" if value is False else value


Security = Annotated[Literal["tls", "off"], BeforeValidator(_off_of_false)]
Number = Annotated[float, Field(allow_inf_nan=False)]
ScalarValue = str | int | Number | bool
Seconds = Annotated[
    float,
    Field(gt=0, le=30 * 86400, allow_inf_nan=False, strict=False),
    BeforeValidator(_seconds_of_text),
]
LongSeconds = Annotated[
    float,
    Field(gt=0, le=3650 * 86400, allow_inf_nan=False, strict=False),
    BeforeValidator(_seconds_of_text),
]
Size = Annotated[int, Field(ge=2**20, lt=2**50), BeforeValidator(_bytes_of_text)]
Count = Annotated[int, Field(gt=0, lt=2**31)]
MOST_NODES, MOST_RANKS = 1024, 16384
NodeCount = Annotated[int, Field(gt=0, le=MOST_NODES)]
LocalCount = Annotated[int, Field(gt=0, le=64)]
RankCount = Annotated[int, Field(gt=0, le=MOST_RANKS)]
PortNumber = Annotated[int, Field(ge=1024, le=65535)]


def _json(value: dict[str, Any]) -> dict[str, Any]:
    """vLLM is given it as JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"must become JSON ({error}); put a date into quotes") from None
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", value):
        raise ValueError("a name has lower case, digits and dashes between, 32 at most")
    return value


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("a NUL byte can't be passed to a process")
    return value


def _listened(value: str) -> str:
    """An address that servers listen on, and that is in URLs; all of a host's are meant by
    0.0.0.0 and ::."""
    problem = "" if value in ("::", "") else address_problem(value)
    if problem:
        raise ValueError(problem)
    return value


Text = Annotated[str, AfterValidator(_no_nul)]
ListenAddress = Annotated[Text, AfterValidator(_listened)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
EnvValue = Annotated[Text, BeforeValidator(_text_of_number)]
Environment = dict[EnvName, EnvValue]
Name = Annotated[str, AfterValidator(_name)]
Json = Annotated[dict[str, Any], AfterValidator(_json)]
FlagValue = ScalarValue | None | list[ScalarValue] | Json
Arguments = Annotated[dict[str, FlagValue], AfterValidator(check_flags)]


class RecipePart(BaseModel):
    """Every part of a recipe: strict, closed and frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())
