"""`dsr1 smoke`: a known-answer check of a run, on every rank."""

import contextlib
import json
from collections.abc import Sequence
from statistics import median

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import find_any, refuse_ended, refuse_unplanned
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.completion import Reply
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.judge import Answers, problems
from dsr1.launcher.smoke.metrics import make_reader
from dsr1.launcher.smoke.readiness import describe_missing
from dsr1.launcher.smoke.run import ASKING, smoke_all


def smoke(run: RunName = None, as_json: AsJson = False) -> None:
    """Ask every rank the same questions and compare the answers.

    Only a known answer proves that a rank serves. Exit code 4 names the ranks that fail.
    """
    found = find_any(run)
    refuse_ended(found)
    refuse_unplanned(found)
    answers = _ask_all(found)
    wrong = problems(answers, not found.recipe().is_meaningless)
    if as_json:
        rows = [_json_row(one) for one in answers]
        print(json.dumps({"answers": rows, "problems": wrong}, indent=2))
    else:
        _print(answers)
    if wrong:
        raise LaunchFailed("\n".join(f"{found.name}: {line}" for line in wrong))


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
        "worker": target.worker,
        "rank": target.rank,
        "prefill": target.prefill,
        "prefill_rank": target.prefill_rank,
        "text": first.text if first else None,
        "tokens": first.tokens if first else 0,
        "error": one.error,
        "replies": [_json_reply(reply) for reply in (*one.fixed, *one.known)],
    }


def _json_reply(reply: Reply) -> dict[str, object]:
    return {
        "question": reply.question,
        "text": reply.text,
        "thought": reply.thought,
        "tokens": reply.tokens,
        "first_token_s": round(reply.first_s, 4),
        "tokens_per_s": reply.tokens_per_s and round(reply.tokens_per_s, 2),
    }


def _print(answers: Sequence[Answers]) -> None:
    for one in answers:
        print(f"{one.target.name}: {one.error or _pace(one)}")
        for reply in (*one.fixed, *one.known):
            print(f"  {reply.question} {(reply.text or reply.thought)[-200:]!r}")


def _pace(one: Answers) -> str:
    """The slowest first token, and the median pace."""
    replies = (*one.fixed, *one.known)
    paces = [pace for reply in replies if (pace := reply.tokens_per_s) is not None]
    speed = f", {median(paces):.1f} tokens/s" if paces else ""
    return f"first token within {max(reply.first_s for reply in replies):.2f} s{speed}"
