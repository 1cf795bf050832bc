"""A plan against what the runtimes of its hosts told: what they don't know, and what they refuse.
Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from dsr1.env.retired import FLAGS, VALUES, VARIABLES, Retired
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.runtime import CommandLine, FlagParser, RuntimeAnswer, RuntimeQuestion
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.runtime_knowledge import is_asked_for, knows, runtime_answers
from dsr1.launcher.preflight.runtime_question import command_lines, make_question
from dsr1.launcher.recipe.models import Recipe

VARIABLES_ID, FLAGS_ID, ARGUMENTS_ID = "sw.variables", "sw.flags", "sw.arguments"
IDS = (VARIABLES_ID, FLAGS_ID, ARGUMENTS_ID)
VerdictRow = tuple[str, str, str, str]
"""Verdict, seen, wanted, fix."""


@dataclass(frozen=True, slots=True)
class RuntimeQuestions:
    """What the runtimes were asked about."""

    plan: Plan
    question: RuntimeQuestion


SKIP: VerdictRow = ("SKIP", "no vLLM in this plan", "", "")
ASK_FIX = "Run the runtime's Python there by hand: `python -m dynamo.vllm --help`."


def judge_runtimes(
    recipe: Recipe, hosts: Sequence[Host], told: FactsByHost, ids: Collection[str]
) -> Iterator[Finding]:
    """Findings of the hosts that were asked; they stand for all hosts of the same runtime."""
    answers = runtime_answers(
        {host: facts for host, facts in told.items() if not isinstance(facts, HostError)}
    )
    wanted = [check for check in IDS if check in ids]
    if not answers or not wanted:
        return
    try:
        asked = make_runtime_questions(recipe, hosts)
    except (
        InputError
    ) as error:  # these hosts can't hold the plan: there is nothing to hold against the runtime
        yield from (
            Finding(host, check, *_unknown(str(error))) for host in answers for check in wanted
        )
        return
    for host, answer in answers.items():
        yield from (
            Finding(host, check, *row) for check in wanted for row in _rows(check, asked, answer)
        )


def make_runtime_questions(recipe: Recipe, hosts: Sequence[Host]) -> RuntimeQuestions:
    plan = make_plan(recipe, hosts, "asked", "asked")
    return RuntimeQuestions(plan, make_question(recipe, plan))


def _rows(check: str, asked: RuntimeQuestions, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    yield from JUDGES[check](asked, answer) if answer.parsers else (_unknown(answer.problem),)


def _unknown(why: str) -> VerdictRow:
    return ("UNKNOWN", why, "a runtime that answers", ASK_FIX)


def judge_variables(asked: RuntimeQuestions, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    """Those that the recipe asks for; what dsr1 adds by itself is left out of the plan instead."""
    if not asked.question.variables:
        yield SKIP
        return
    named = sorted(
        {v.name for process in asked.plan.processes for v in process.env if is_asked_for(v)}
    )
    rows = [_variable_row(name, asked, answer) for name in named if not knows(answer, name)]
    yield from rows or [
        ("PASS", f"vLLM {answer.vllm} knows {len(answer.variables)}", "variables that it knows", "")
    ]


def _variable_row(name: str, asked: RuntimeQuestions, answer: RuntimeAnswer) -> VerdictRow:
    retired, near = VARIABLES.get(name), get_close_matches(name, answer.variables, n=1, cutoff=0.85)
    who = f"vLLM {answer.vllm}" if name.startswith("VLLM_") else f"Dynamo {answer.dynamo}"
    fix = retired.advice if retired else f"Did you mean {near[0]}?" if near else "Leave it out."
    verdict = "FAIL" if retired and retired.lost and not _is_said_today(retired, asked) else "WARN"
    return (
        verdict,
        f"{name}: {who} does not know it, and goes on without",
        "variables that it knows",
        fix,
    )


def _is_said_today(retired: Retired, asked: RuntimeQuestions) -> bool:
    """Whether the recipe says it in today's way, too, so that nothing is lost."""
    flag = f"--{retired.key.removeprefix('args.').replace('_', '-')}"
    return bool(asked.question.commands) and all(
        flag in command.argv for command in asked.question.commands
    )


def judge_flags(asked: RuntimeQuestions, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    parsers = {parser.module: parser for parser in answer.parsers}
    found: dict[VerdictRow, list[str]] = {}
    for command in command_lines(asked.plan, len(asked.question.python)):
        for row in _command_rows(command, parsers.get(command.module), answer):
            found.setdefault(row, []).append(command.name)
    for (verdict, seen, *rest), names in found.items():
        yield (verdict, f"{_some(names)}: {seen}", *rest)  # type: ignore[misc]
    if not found:
        counts = ", ".join(
            f"{module} knows {len(parser.flags)}" for module, parser in parsers.items()
        )
        yield ("PASS", counts, "flags that it knows", "")


def _command_rows(
    command: CommandLine, parser: FlagParser | None, answer: RuntimeAnswer
) -> Iterator[VerdictRow]:
    if parser is None or parser.problem:
        problem = parser.problem if parser else "it was not asked"
        yield (
            "UNKNOWN",
            f"python -m {command.module}: {problem}",
            "a module that can be asked",
            ASK_FIX,
        )
        return
    for flag, value in flags_of(command.argv):
        if flag.partition(".")[0] not in parser.flags:
            yield _flag_row(flag, command.module, parser)
        elif retired := VALUES.get((flag.removeprefix("--"), value)):
            seen = f"{flag} {value}: {command.module} takes it, and does something else"
            yield ("FAIL" if retired.lost else "WARN", seen, "values of today", retired.advice)
        elif flag == "--load-format" and answer.load_formats and value not in answer.load_formats:
            fix = "A plugin may add it; else choose one of these."
            yield (
                "WARN",
                f"{flag} {value}: vLLM {answer.vllm} has no such",
                ", ".join(answer.load_formats),
                fix,
            )


def flags_of(argv: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Every flag and the word after it, as dsr1 writes them: `--flag value`."""
    for word, after in zip(argv, (*argv[1:], ""), strict=True):
        if word.startswith("--"):
            yield word, after


def _flag_row(flag: str, module: str, parser: FlagParser) -> VerdictRow:
    retired, near = (
        FLAGS.get(flag.removeprefix("--")),
        get_close_matches(flag, parser.flags, n=1, cutoff=0.8),
    )
    fix = (
        retired.advice
        if retired
        else f"Did you mean {near[0]}?"
        if near
        else f"See `python -m {module} --help`."
    )
    return "FAIL", f"{flag}: python -m {module} does not know it", "flags that it knows", fix


def judge_arguments(asked: RuntimeQuestions, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    """One row for an engine's commands of which the runtime says the same."""
    if not asked.question.commands:
        yield SKIP
        return
    engines = {process.name: process.group for process in asked.plan.processes}
    found: dict[tuple[str, str, str], list[str]] = {}
    for said in answer.verdicts:
        found.setdefault((engines.get(said.name, ""), said.verdict, said.text), []).append(
            said.name
        )
    for (engine, verdict, text), names in found.items():
        yield _arguments_row(engine, verdict, text, names, answer.vllm)


def _arguments_row(engine: str, verdict: str, text: str, names: list[str], vllm: str) -> VerdictRow:
    wanted = f"arguments that vLLM {vllm} takes"
    if verdict == "accepted":
        return "PASS", f"{engine}: {len(names)} accepted", wanted, ""
    fix = (
        "See the recipe's engine."
        if verdict == "refused"
        else "--skip sw.arguments goes on without."
    )
    return (
        ("FAIL" if verdict == "refused" else "UNKNOWN"),
        f"{engine} ({_some(names)}): {text}",
        wanted,
        fix,
    )


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


AnswerCheck = Callable[[RuntimeQuestions, RuntimeAnswer], Iterator[VerdictRow]]
JUDGES: Mapping[str, AnswerCheck] = {
    VARIABLES_ID: judge_variables,
    FLAGS_ID: judge_flags,
    ARGUMENTS_ID: judge_arguments,
}
