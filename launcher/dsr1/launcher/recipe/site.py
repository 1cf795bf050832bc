"""What a site says of every recipe: values below a recipe's own, profiles, and where models lie.
Pure."""

from collections.abc import Mapping
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.recipe.layers import Keys, Layer, assign, location_of, value_at, without_keys

MODEL_PATH: Keys = ("model", "path")
_ONE_OF: tuple[Keys, Keys] = (("runtime", "venv"), ("runtime", "python"))


@dataclass(frozen=True, slots=True)
class SiteValues:
    """`models`: by the name that a recipe or --model gives, where the model lies on the hosts;
    `locations`: where that is written."""

    below: Layer = Layer("site", {}, {})
    profiles: Mapping[str, Layer] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, str] = field(default_factory=dict)


NO_SITE = SiteValues()


def with_model_of_site(tree: Layer, site: SiteValues) -> Layer:
    """A model's path in the place of its name, where the site knows that."""
    name = value_at(tree, MODEL_PATH)
    if not isinstance(name, str) or name not in site.models:
        return tree
    return assign(tree, MODEL_PATH, site.models[name], site.locations[name])


def with_one_runtime(tree: Layer, site: SiteValues) -> Layer:
    """Of venv and python a recipe has one: the site's gives way."""
    if any(value_at(tree, keys) is None for keys in _ONE_OF):
        return tree
    of_site = [keys for keys in _ONE_OF if _is_of(tree, site.below, keys)]
    return without_keys(tree, of_site[0]) if len(of_site) == 1 else tree


def _is_of(tree: Layer, below: Layer, keys: Keys) -> bool:
    said = value_at(below, keys) is not None
    return said and location_of(tree, keys) == location_of(below, keys)
