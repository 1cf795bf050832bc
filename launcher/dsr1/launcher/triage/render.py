"""A cause in words: three lines for a screen, all of it for `dsr1 why`, and JSON. Pure."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timezone

from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.signs import Sign

MATTERING = 5  # lines
LONGEST = 300


def render_cause(cause: Cause) -> Iterator[str]:
    """What a failed launch and `status` show."""
    yield f"{headline(cause.sign)}{_followed(cause)}"
    if not cause.certain and cause.runner_up:
        yield f"not certain; it may also have been {headline(cause.runner_up)}"
    if cause.sign.remedy:
        yield f"fix: {cause.sign.remedy}"
    if cause.sign.path:
        yield f"log: {place_of_line(cause.sign)}"


def render_why(cause: Cause) -> Iterator[str]:
    """`render_cause`, then the lines that matter, then who only followed."""
    yield from render_cause(cause)
    lines = [sign for sign in (cause.sign, *cause.victims) if sign.text][:MATTERING]
    if lines:
        yield ""
        yield from (f"{place_of_line(sign)}: {_short(sign.text)}" for sign in lines)
    if cause.victims:
        yield ""
        yield "Who followed:"
        yield from (f"  {headline(sign)}" for sign in cause.victims)


def cause_to_plain(cause: Cause) -> dict[str, object]:
    """For JSON."""
    return {
        "cause": asdict(cause.sign),
        "certain": cause.certain,
        "runner_up": asdict(cause.runner_up) if cause.runner_up else None,
        "victims": [asdict(sign) for sign in cause.victims],
    }


def headline(sign: Sign) -> str:
    """`node5 rank 37 (decode): a worker was ended by SIGILL at 11:49:53`."""
    who = f" rank {sign.rank}" if sign.rank is not None else f" {sign.process}".rstrip()
    engine = f" ({sign.engine})" if sign.engine else ""
    return f"{sign.host}{who}{engine}: {sign.what}{_at(sign.time)}"


def place_of_line(sign: Sign) -> str:
    line = f":{sign.line}" if sign.line else ""
    return f"{sign.host}:{sign.path}{line}"


def _followed(cause: Cause) -> str:
    ranks = {(sign.host, sign.process) for sign in cause.victims}
    many = len(ranks)
    return f"; {many} other process{'es' if many != 1 else ''} followed" if many else ""


def _at(time: float | None) -> str:
    if time is None:
        return ""
    return f" at {datetime.fromtimestamp(time, timezone.utc):%H:%M:%S} UTC"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
