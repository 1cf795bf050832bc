"""A run's recipe for its report: every value, and where it came from. Pure."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.launcher.recipe.layers import Keys
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.render import DEFAULT, sourced_lines
from dsr1.launcher.report.masking import SECRET, mask_values
from dsr1.launcher.run.record.sources import ValueSource

CHANGED = "changed since, or by --rehearse"


def render_sourced(recipe: Recipe, sources: Mapping[str, ValueSource]) -> str:
    """As YAML that reads back as the same recipe, but for secrets. Without `sources` no value has
    one: the run is of a dsr1 that kept none."""
    masked: Any = mask_values(json.loads(recipe.model_dump_json(exclude_none=True)))
    if not sources:
        return yaml.safe_dump(masked, sort_keys=False, width=100, allow_unicode=True)

    def tell(keys: Keys, value: object) -> str:
        known = sources.get(".".join(keys))
        return _told(known, value) if known else DEFAULT

    return "\n".join(sourced_lines(masked, tell))


def _told(known: ValueSource, value: object) -> str:
    source = " ".join(known.source.split())
    if SECRET in str(value) or parse_bounded(known.value) == value:
        return source
    return f"{CHANGED}; {known.value} by {source}"
