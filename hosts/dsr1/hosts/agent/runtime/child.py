"""In a child of the agent: imports vLLM and Dynamo and prints, a JSON line each, what they know and
what they refuse.

Every module is run as `python -m` would, until it wants to parse its command line: so the flags are
the installed version's own, whatever they are called inside. Nothing is started: what follows the
parsing is never reached.
"""

import argparse
import contextlib
import io
import json
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from dsr1.hosts.protocol.plain import parse_json
from dsr1.hosts.protocol.runtime import CommandLine, RuntimeQuestion

SERVE = "vllm.entrypoints.cli.main"
SendAnswer = Callable[[str, object], None]
# What vLLM and Dynamo raise of a configuration that they don't like; anything else is a runtime
# that can't tell, or one whose functions are called another way than here.
REFUSALS = (ValueError, KeyError, AssertionError, NotImplementedError, argparse.ArgumentError)
NO_CONFIG = "its flags are understood; the rest needs {}/config.json, which isn't there"
PYDANTIC = re.compile(
    r" \[type=.*?, input_type=.*?\]$|^ *For further information visit .*$", re.MULTILINE
)


class ReachedParser(BaseException):
    """A module has come to parse its command line. Not an Exception: nothing on the way may take it
    for its own."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def main() -> None:
    """stdout is ours alone: what vLLM prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = parse_json(RuntimeQuestion, sys.stdin.read())

    def send(kind: str, value: object) -> None:
        out.write(json.dumps({kind: value}) + "\n")
        out.flush()

    answer(question, send)
    out.flush()
    os._exit(0)  # no thread of theirs keeps us


def answer(question: RuntimeQuestion, send: SendAnswer) -> None:
    if question.variables:
        send("variables", known_variables())
    for module in question.modules:
        send("parsers", describe_module(module))
    if question.variables:
        send("load_formats", known_load_formats())
    for command in question.commands:
        verdict, text = judge_command(command, question.model)
        send("verdicts", {"name": command.name, "verdict": verdict, "text": text})


def known_variables() -> list[str]:
    from vllm import envs

    return sorted(envs.environment_variables)


def known_load_formats() -> list[str]:
    from vllm.model_executor import model_loader

    return sorted(getattr(model_loader, "_LOAD_FORMAT_TO_MODEL_LOADER", {}))


def describe_module(module: str) -> dict[str, object]:
    try:
        actions = list(_actions(serve_parser() if module == SERVE else parser_of(module)))
    except Exception as error:  # noqa: BLE001 - a foreign module can raise anything; it is reported, not hidden
        return {"module": module, "problem": f"{type(error).__name__}: {error}"}
    flags = sorted({flag for action in actions for flag in action.option_strings})
    choices = [
        {"flag": flag, "words": [str(word) for word in action.choices]}
        for action in actions
        for flag in action.option_strings
        if action.choices
    ]
    return {"module": module, "flags": flags, "choices": choices}


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Dynamo hangs vLLM's actions into a group, past the parser's own list."""
    hung = (action for group in parser._action_groups for action in group._group_actions)
    yield from dict.fromkeys((*parser._actions, *hung))


def parser_of(module: str) -> argparse.ArgumentParser:
    """`--help` is for a module that parses some other way: it ends there, too, and starts
    nothing."""

    def catch(self: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise ReachedParser(self)

    before, argv = argparse.ArgumentParser.parse_known_args, sys.argv
    argparse.ArgumentParser.parse_known_args = catch  # type: ignore[method-assign]
    sys.argv = [module, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ReachedParser as caught:
        return caught.parser
    except SystemExit as end:
        raise ValueError(
            f"python -m {module} ended with {end.code} before it parsed its flags"
        ) from None
    finally:
        argparse.ArgumentParser.parse_known_args, sys.argv = before, argv  # type: ignore[method-assign]
    raise ValueError(f"python -m {module} has no argparse")


def serve_parser() -> argparse.ArgumentParser:
    _, parser, _ = _serve()
    return parser


def _serve() -> tuple[Any, argparse.ArgumentParser, argparse.ArgumentParser]:
    """vLLM's `serve`: the command, its own parser, and the one above it."""
    import vllm.entrypoints.cli.serve as serve

    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:  # before 0.12
        from vllm.utils import FlexibleArgumentParser

    whole = FlexibleArgumentParser()
    (command,) = serve.cmd_init()
    return command, command.subparser_init(whole.add_subparsers(dest="subparser")), whole


def judge_command(command: CommandLine, model: str) -> tuple[str, str]:
    """Parsed as the process itself will, then made into vLLM's own configuration, which is where it
    checks it."""
    errors = io.StringIO()
    with scratch_environment(command.env), contextlib.redirect_stderr(errors):
        try:
            engine = ENGINES[command.module](list(command.argv))
            if lacks_config(model):
                return "unknown", NO_CONFIG.format(model)
            told = handshake_text(engine.create_engine_config(_usage()), command.module)
        except SystemExit:
            return "refused", shorten_words(errors.getvalue().rpartition("error: ")[2])
        except Exception as error:  # noqa: BLE001 - foreign code; what it raises is the answer
            return _refusal(error)
    return "accepted", told


def handshake_text(config: Any, module: str) -> str:
    """Of an engine that hands KV caches over: what this vLLM hashes for NIXL's handshake, as JSON.
    Empty where it hashes nothing that we can find."""
    if getattr(config, "kv_transfer_config", None) is None:
        return ""
    try:
        factors = _handshake_factors(config, module)
    except Exception:  # noqa: BLE001 - another version's hash, made in another way
        return ""
    return json.dumps({str(name): str(value) for name, value in factors.items()}, sort_keys=True)


def _handshake_factors(config: Any, module: str) -> dict[str, object]:
    """Its own function is called, with a hash that keeps what it is given."""
    import vllm.config.utils as utils
    from vllm.distributed.kv_transfer.kv_connector.v1.nixl import metadata

    if module == "dynamo.vllm":
        from dynamo.vllm import kv_connector_protocols as protocols

        protocols.disable_hybrid_kv_cache_manager_for_incompatible_pd_connector(config)
    kept: dict[str, object] = {}
    before = utils.hash_factors
    utils.hash_factors = lambda factors: str(kept.update(factors))
    try:
        metadata.compute_nixl_compatibility_hash(config, str(config.attention_config.backend))
    finally:
        utils.hash_factors = before
    return kept


def _refusal(error: Exception) -> tuple[str, str]:
    name, text = type(error).__name__, shorten_words(str(error))
    foreign = type(error).__module__.partition(".")[0] in ("huggingface_hub", "requests", "httpx")
    if foreign or not isinstance(error, REFUSALS):
        return "unknown", f"{name}: {text}"
    return "refused", text if isinstance(error, ValueError) and text else f"{name}: {text}"


def shorten_words(text: str) -> str:
    """Without what pydantic adds for programmers."""
    lines = (line.strip() for line in PYDANTIC.sub("", text).splitlines())
    return " ".join(line.removeprefix("Value error, ") for line in lines if line)[:1500]


def lacks_config(model: str) -> bool:
    return model.startswith(("/", ".")) and not (Path(model) / "config.json").is_file()


def _usage() -> Any:
    """That of a server: vLLM's defaults follow from it."""
    from vllm.usage.usage_lib import UsageContext

    return UsageContext.OPENAI_API_SERVER


@contextlib.contextmanager
def scratch_environment(env: tuple[tuple[str, str], ...]) -> Iterator[None]:
    """The process's own environment, for as long as its command is judged."""
    before = dict(os.environ)
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def dynamo_engine(argv: list[str]) -> Any:
    """By sys.argv, as every version reads it; not all take another."""
    from dynamo.vllm.args import parse_args

    before, sys.argv = sys.argv, ["dynamo.vllm", *argv]
    try:
        return parse_args().engine_args
    finally:
        sys.argv = before


def serve_engine(argv: list[str]) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs

    command, _, parser = _serve()
    args = parser.parse_args(argv)
    command.validate(args)
    args.model = getattr(args, "model_tag", None) or args.model
    return AsyncEngineArgs.from_cli_args(args)


ENGINES: Mapping[str, Callable[[list[str]], Any]] = {
    "dynamo.vllm": dynamo_engine,
    SERVE: serve_engine,
}
