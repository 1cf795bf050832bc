"""The index of verbs, options and words that shells complete, from the commands themselves.

`python -m dsr1.launcher.cli.completion.index` writes it anew, after a change of a verb.
"""

import inspect
import json
from collections.abc import Iterable
from typing import Any

from dsr1.launcher.cli.app import load_command, load_function
from dsr1.launcher.cli.completion.answer import INDEX
from dsr1.launcher.cli.options.bundles import spread_bundles
from dsr1.launcher.cli.options.completion import (
    complete_checks,
    complete_keys,
    complete_recipes,
    complete_runs,
    complete_sets,
)
from dsr1.launcher.cli.verbs import OPTIONS, VERBS, Verb

KINDS = {
    complete_checks: "checks",
    complete_keys: "keys",
    complete_recipes: "recipes",
    complete_runs: "runs",
    complete_sets: "sets",
}
IN_INDEX = (complete_checks, complete_keys, complete_recipes)


def make_index() -> dict[str, Any]:
    own = {name: _option(text) for names, text in OPTIONS for name in names.split(", ")}
    words = {KINDS[complete]: complete("") for complete in IN_INDEX}
    return {"options": own, "verbs": _verbs(VERBS), "words": words}


def render_index() -> str:
    return json.dumps(make_index(), indent=0) + "\n"


def _verbs(verbs: Iterable[Verb]) -> dict[str, Any]:
    return {verb.name: _verb(verb) for verb in verbs}


def _verb(verb: Verb) -> dict[str, Any]:
    if verb.verbs:
        return {"help": verb.help, "options": _options(()), "verbs": _verbs(verb.verbs)}
    parameters, kinds = load_command(verb).params, _completers(verb)
    arguments = [kinds.get(one.name, "") for one in parameters if one.param_type_name == "argument"]
    options = _options(
        (name, _option(one.help or "", None if one.is_flag else kinds.get(one.name, "")))
        for one in parameters
        if one.param_type_name == "option" and not one.hidden
        for name in (*one.opts, *one.secondary_opts)
    )
    return {"help": verb.help, "options": options, "arguments": arguments}


def _options(rows: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {**dict(rows), "--help": _option("Show this message and exit.")}


def _option(text: str, takes: str | None = None) -> dict[str, Any]:
    return {"help": text} if takes is None else {"help": text, "takes": takes}


def _completers(verb: Verb) -> dict[str, str]:
    """By parameter, of those whose words are known: their kind."""
    found = {}
    for name, one in inspect.signature(spread_bundles(load_function(verb))).parameters.items():
        for about in getattr(one.annotation, "__metadata__", ()):
            complete = getattr(about, "autocompletion", None)
            if complete in KINDS:
                found[name] = KINDS[complete]
    return found


if __name__ == "__main__":
    INDEX.write_text(render_index())
