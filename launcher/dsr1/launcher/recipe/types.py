"""Types that every part of a recipe is made of: strict, closed and frozen models, and the scalars
of YAML."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from dsr1.launcher.recipe.flags import check_flags

Number = Annotated[float, Field(allow_inf_nan=False)]
ScalarValue = str | int | Number | bool
Seconds = Annotated[float, Field(gt=0, le=30 * 86400, allow_inf_nan=False, strict=False)]
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


Text = Annotated[str, AfterValidator(_no_nul)]
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
