"""Whether what was imported is a recipe: it loads, and it can be laid out on as many hosts as it
asks for."""

import re

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.importing.importer import Imported
from dsr1.launcher.importing.manifest.ledger import Note
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.recipe.models import Recipe

_ANY_MODEL = "model.path=/model"
_TRIES = 4


def prove(imported: Imported, text: str, source: str) -> int:
    """How many hosts of eight GPUs it needs. Raises InputError with the manifest's place."""
    try:
        recipe = parse_recipe(text, "the recipe", [_ANY_MODEL])
        return _fewest_hosts(recipe)
    except InputError as error:
        why = re.sub(r"^the recipe(:\d+)?: ", "", str(error), flags=re.MULTILINE)
        raise InputError(f"{_where(imported, why, source)}: it makes no recipe: {why}") from None


def _fewest_hosts(recipe: Recipe) -> int:
    """Engines may share hosts: the first number that a plan can be made for, up to one beside the
    other."""
    engines = recipe.engines.values()
    beside = [engine.least_nodes for engine in engines]
    gpus = [hosts * _gpus_of(engine) for hosts, engine in zip(beside, engines, strict=True)]
    most, least = max(sum(beside), recipe.frontend.replicas), max(-(-sum(gpus) // GPUS_PER_NODE), 1)
    for count in range(least, min(least + _TRIES, most)):
        try:
            _plan_for(recipe, count)
        except InputError:
            continue
        return count
    _plan_for(recipe, most)
    return most


def _gpus_of(engine: Engine) -> int:
    return (engine.ranks_per_node or 1) * engine.tensor_parallel_size


def _plan_for(recipe: Recipe, count: int) -> None:
    hosts = [Host(f"host{n}", f"192.0.2.{n}", "eth0", GPUS_PER_NODE) for n in range(count)]
    make_plan(recipe, hosts, "r", "/r")


def _where(imported: Imported, message: str, source: str) -> str:
    """The place of the manifest whose key the message speaks of, the most exact of several."""
    known: list[Note] = [
        note for note in imported.notes if note.key and note.places and note.key in message
    ]
    if not known:
        return source
    place = max(known, key=lambda note: len(note.key)).places[0]
    return f"{source}:{place.line}: {place}"
