"""`--json` for verbs that have none of their own: they put an answer, whoever wants it, and print
words."""

import inspect
from functools import wraps
from inspect import Parameter

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.bundles import VerbFunction
from dsr1.launcher.cli.options.common import AsJson

OWN = {"as_json", "ndjson"}


def with_json(verb: VerbFunction) -> VerbFunction:
    signature = inspect.signature(verb)
    if OWN & signature.parameters.keys():
        return verb

    @wraps(verb)
    def called(as_json: bool, **values: object) -> None:
        with ANSWER.in_place_of_words(as_json):
            verb(**values)

    own = Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=AsJson)
    parameters = (*signature.parameters.values(), own)
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called
