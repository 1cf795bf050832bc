"""`dsr1 smoke`: a known-answer check of a run, on every rank."""

import json
from typing import TYPE_CHECKING

from dsr1.launcher.cli.options import AsJson, RunName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsr1.launcher.smoke.completion import Reply
    from dsr1.launcher.smoke.judge import Answers


def smoke(run: RunName = None, as_json: AsJson = False) -> None:
    """Ask every rank the same questions, and compare.

    A known answer is the only proof that it serves. Exit code 4 names who fails.
    """
    import httpx
    from rich.console import Console

    from dsr1.hosts.errors import LaunchFailed
    from dsr1.launcher.operate.status import find_any, refuse_ended, refuse_unplanned
    from dsr1.launcher.smoke.judge import problems
    from dsr1.launcher.smoke.readiness import describe_missing
    from dsr1.launcher.smoke.run import ASKING, smoke_all

    found = find_any(run)
    refuse_ended(found)
    refuse_unplanned(found)
    recipe, service = found.recipe(), found.plan().service
    meant = not recipe.is_meaningless
    try:
        with (
            Console(stderr=True).status("asking") as shown,
            httpx.Client(timeout=found.settings().chat_s, trust_env=False) as client,
        ):
            answers = smoke_all(
                service,
                client,
                recipe.model.is_r1 and meant,
                lambda who: shown.update(f"asking {who}"),
            )
    except ASKING as error:
        raise LaunchFailed(f"{found.name}: no completion: {describe_missing(error)}") from None
    wrong = problems(answers, meant)
    if as_json:
        print(json.dumps({"answers": [_row(one) for one in answers], "problems": wrong}, indent=2))
    else:
        _print(answers)
    if wrong:
        raise LaunchFailed("\n".join(f"{found.name}: {line}" for line in wrong))


def _row(one: "Answers") -> dict[str, object]:
    """`text` and `tokens` are those of the first question; `replies` all of them, with their
    times."""
    first = one.fixed[0] if one.fixed else None
    return {
        "name": one.target.name,
        **{key: getattr(one.target, key) for key in ("worker", "rank", "prefill", "prefill_rank")},
        "text": first.text if first else None,
        "tokens": first.tokens if first else 0,
        "error": one.error,
        "replies": [_reply(reply) for reply in (*one.fixed, *one.known)],
    }


def _reply(reply: "Reply") -> dict[str, object]:
    return {
        "question": reply.question,
        "text": reply.text,
        "thought": reply.thought,
        "tokens": reply.tokens,
        "first_token_s": round(reply.first_s, 4),
        "tokens_per_s": reply.tokens_per_s and round(reply.tokens_per_s, 2),
    }


def _print(answers: "Sequence[Answers]") -> None:
    for one in answers:
        print(f"{one.target.name}: {one.error or _pace(one)}")
        for reply in (*one.fixed, *one.known):
            print(f"  {reply.question} {(reply.text or reply.thought)[-200:]!r}")


def _pace(one: "Answers") -> str:
    """The slowest first token, and the median pace."""
    from statistics import median

    replies = (*one.fixed, *one.known)
    paces = [pace for reply in replies if (pace := reply.tokens_per_s) is not None]
    speed = f", {median(paces):.1f} tokens/s" if paces else ""
    return f"first token within {max(reply.first_s for reply in replies):.2f} s{speed}"
