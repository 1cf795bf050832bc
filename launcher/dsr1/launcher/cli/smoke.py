"""`dsr1 smoke`: a known-answer check of a run, on every rank."""

import contextlib
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.inventory.names import counted
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import (
    find_any,
    refuse_elsewhere,
    refuse_ended,
    refuse_unplanned,
)
from dsr1.launcher.run.record.smoked import SmokedRank, SmokeRecord, save_smoke
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.completion import Reply, tokens_per_s
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.judge import Answers, problems
from dsr1.launcher.smoke.metrics import make_reader
from dsr1.launcher.smoke.readiness import describe_missing
from dsr1.launcher.smoke.run import ASKING, smoke_all


def smoke(
    run: RunName = None,
    texts: Annotated[
        bool, typer.Option("--answers", help="Also print what each rank answered.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask every rank the same questions and compare the answers.

    Only a known answer proves that a rank serves. Exit code 4 names the ranks that fail.
    """
    found = find_any(run)
    refuse_ended(found)
    refuse_elsewhere(found)
    refuse_unplanned(found)
    try:
        answers = _ask_all(found)
    except LaunchFailed as error:
        save_smoke(found, SmokeRecord(time.time(), problems=(str(error),)))
        raise
    wrong = problems(answers, not found.recipe().is_meaningless)
    verdict = "" if wrong else _verdict(found, answers)
    ranks = tuple(_kept(one) for one in answers)
    save_smoke(found, SmokeRecord(time.time(), verdict, tuple(wrong), ranks))
    if as_json:
        rows = [_json_row(one) for one in answers]
        ANSWER.put("smoke", {"passed": not wrong, "answers": rows, "problems": wrong})
    else:
        _print(answers, texts)
    if wrong:
        raise LaunchFailed("\n".join(f"{found.name}: {line}" for line in wrong))
    if not as_json:
        print(verdict)


def _kept(one: Answers) -> SmokedRank:
    replies = (*one.fixed, *one.known)
    first = max((reply.first_s for reply in replies), default=None)
    return SmokedRank(one.target.name, one.error, first, tokens_per_s(replies))


def _verdict(run: Run, answers: Sequence[Answers]) -> str:
    """What has been proven, and no more."""
    known = "the known answers are right" if any(one.known for one in answers) else ""
    alike = "" if run.recipe().is_meaningless else "they begin alike"
    what = ", ".join(filter(None, ("all answered", alike, known)))
    return f"{run.name}: passed: {counted(len(answers), 'rank')}: {what}"


def _ask_all(run: Run) -> Sequence[Answers]:
    recipe, service = run.recipe(), run.plan().service
    known = recipe.model.is_r1 and not recipe.is_meaningless
    client = make_client(run.settings().access)
    hosts = contextlib.closing(backend_of(run).transport(run))
    try:
        with client, hosts as transport, make_console(stderr=True).status("asking") as shown:
            read = make_reader(run.plan(), transport, client)
            return smoke_all(
                service, client, known, lambda who: shown.update(f"asking {who}"), read
            )
    except ASKING as error:
        raise LaunchFailed(f"{run.name}: no completion: {describe_missing(error)}") from None


def _json_row(one: Answers) -> dict[str, object]:
    """`text` and `tokens` are those of the first question; `replies` all of them, with their
    times."""
    first = one.fixed[0] if one.fixed else None
    target = one.target
    return {
        "name": target.name,
        "worker_id": _text(target.worker),
        "rank": target.rank,
        "prefill_worker_id": _text(target.prefill),
        "prefill_rank": target.prefill_rank,
        "text": first.text if first else None,
        "tokens": first.tokens if first else 0,
        "error": one.error,
        "tokens_per_s": rounded(tokens_per_s((*one.fixed, *one.known))),
        "replies": [_json_reply(reply) for reply in (*one.fixed, *one.known)],
    }


def _json_reply(reply: Reply) -> dict[str, object]:
    return {
        "question": reply.question,
        "text": reply.text,
        "thought": reply.thought,
        "tokens": reply.tokens,
        "first_token_s": round(reply.first_s, 4),
        "tokens_per_s": rounded(tokens_per_s([reply])),
    }


def rounded(pace: float | None) -> float | None:
    return None if pace is None else round(pace, 2)


def _text(number: int | None) -> str | None:
    """Above 2^53 a number is rounded by whoever reads JSON's numbers as floats."""
    return None if number is None else str(number)


def _print(answers: Sequence[Answers], texts: bool) -> None:
    for one in answers:
        print(f"{one.target.name}: {one.error or _pace(one)}")
        for reply in (*one.fixed, *one.known) if texts else ():
            print(f"  {reply.question} {(reply.text or reply.thought)[-200:]!r}")


def _pace(one: Answers) -> str:
    """The slowest first token, and the pace of all its tokens."""
    replies = (*one.fixed, *one.known)
    pace = tokens_per_s(replies)
    speed = "too few tokens for a rate" if pace is None else f"{pace:.1f} tokens/s"
    return f"first token within {max(reply.first_s for reply in replies):.2f} s, {speed}"
