"""A plan against the answers of its hosts' runtimes: what they don't know, and what they refuse.
Pure."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import product

from dsr1.env.retired import FLAGS, VALUES, VARIABLES, Retired
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.runtime import CommandLine, FlagParser, RuntimeAnswer, RuntimeQuestion
from dsr1.hosts.transport.parallel import answered
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.runtime_knowledge import is_asked_for, knows, runtime_answers
from dsr1.launcher.preflight.draft import Draft
from dsr1.launcher.preflight.runtime_question import command_lines, make_question

VARIABLES_ID, FLAGS_ID, ARGUMENTS_ID = "sw.variables", "sw.flags", "sw.arguments"
HANDSHAKE_ID = "sw.handshake"
IDS = (VARIABLES_ID, FLAGS_ID, ARGUMENTS_ID, HANDSHAKE_ID)
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
    draft: Draft, facts_by_host: FactsByHost, ids: Collection[str]
) -> Iterator[Finding]:
    """Findings of the hosts that were asked; they are those of all hosts of the same runtime."""
    wanted = [check for check in IDS if check in ids]
    asked = RuntimeQuestions(draft.plan, make_question(draft.recipe, draft.plan))
    for host, answer in runtime_answers(answered(facts_by_host)).items():
        problem = draft.problem or ("" if answer.parsers else answer.problem)
        for check in wanted:
            rows = [_unknown(problem)] if problem else JUDGES[check](asked, answer)
            for row in rows:
                yield Finding(host, check, *row)


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
    lost = retired and retired.lost and not _has_todays_flag(retired, asked)
    seen = f"{name}: {who} does not know it, and goes on without"
    return ("FAIL" if lost else "WARN", seen, "variables that it knows", fix)


def _has_todays_flag(retired: Retired, asked: RuntimeQuestions) -> bool:
    """Whether the recipe has today's flag, too, so that nothing is lost."""
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
        yield (verdict, f"{name_few(names)}: {seen}", *rest)  # type: ignore[misc]
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
        seen = f"python -m {command.module}: {problem}"
        yield ("UNKNOWN", seen, "a module that can be asked", ASK_FIX)
        return
    for flag, value in flags_of(command.argv):
        if flag.partition(".")[0] not in parser.flags:
            yield _flag_row(flag, command.module, parser)
        else:
            yield from _value_rows(flag, value, command.module, answer)


def _value_rows(flag: str, value: str, module: str, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    """Of a flag that is known, nothing where its value is good."""
    if retired := VALUES.get((flag.removeprefix("--"), value)):
        seen = f"{flag} {value}: {module} takes it, and does something else"
        yield ("FAIL" if retired.lost else "WARN", seen, "values of today", retired.advice)
    elif flag == "--load-format" and answer.load_formats and value not in answer.load_formats:
        seen = f"{flag} {value}: vLLM {answer.vllm} has no such"
        fix = "A plugin may add it; else choose one of these."
        yield ("WARN", seen, ", ".join(answer.load_formats), fix)


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
    for judged in answer.verdicts:
        row = (engines.get(judged.name, ""), judged.verdict, judged.text)
        found.setdefault(row, []).append(judged.name)
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
        f"{engine} ({name_few(names)}): {text}",
        wanted,
        fix,
    )


def judge_handshake(asked: RuntimeQuestions, answer: RuntimeAnswer) -> Iterator[VerdictRow]:
    """Prefill and decode, by what the installed vLLM hashes of each."""
    wanted = "prefill and decode that NIXL's handshake takes for the same"
    roles = {worker.process: worker.role for worker in asked.plan.service.workers}
    texts = {one.name: one.text for one in answer.verdicts if one.verdict == "accepted"}
    apart = [name for name, role in roles.items() if role in ("prefill", "decode")]
    if not apart:
        yield ("SKIP", "the plan has no prefill apart from decode", "", "")
        return
    told = {name: texts[name] for name in apart if texts.get(name)}
    if {roles[name] for name in told} != {"prefill", "decode"}:
        yield ("UNKNOWN", f"vLLM {answer.vllm} does not tell what it hashes", wanted, ASK_FIX)
        return
    differing = sorted(set(_handshake_differences(told, roles)))
    if differing:
        fix = "Give both the same: the first completion fails otherwise, after all is loaded."
        yield ("FAIL", "; ".join(differing), wanted, fix)
    else:
        yield ("PASS", f"the same for vLLM {answer.vllm}", wanted, "")


def _handshake_differences(told: Mapping[str, str], roles: Mapping[str, str]) -> Iterator[str]:
    factors = {name: _factors(text) for name, text in told.items()}
    for giver, taker in product(factors, factors):
        if (roles[giver], roles[taker]) == ("prefill", "decode"):
            for key in sorted({*factors[giver], *factors[taker]}):
                one, other = factors[giver].get(key), factors[taker].get(key)
                if one != other:
                    yield f"{key} is {one} in {giver} and {other} in {taker}"


def _factors(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


AnswerCheck = Callable[[RuntimeQuestions, RuntimeAnswer], Iterator[VerdictRow]]
JUDGES: Mapping[str, AnswerCheck] = {
    VARIABLES_ID: judge_variables,
    FLAGS_ID: judge_flags,
    ARGUMENTS_ID: judge_arguments,
    HANDSHAKE_ID: judge_handshake,
}
