"""A start in a terminal: a line a rank, a letter a phase."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.report.timeline import PhaseSpan, RankStart, Timeline

LETTERS = dict(zip(PHASES, "SmiolcpwgrR", strict=True))
COLOURS = dict(
    zip(
        PHASES,
        (
            *("dim", "blue", "cyan", "bright_cyan", "green", "magenta", "yellow", "red"),
            *("bright_blue", "white", ""),
        ),
        strict=True,
    )
)
NAME_WIDTH, MOST_RANKS = 34, 24


def timeline_lines(timeline: Timeline, width: int, show_all: bool = False) -> Iterator[Text]:
    """The slowest ranks first; the others are counted, unless all are wanted."""
    ranks = timeline.ranks if show_all else timeline.ranks[:MOST_RANKS]
    bar = max(10, width - NAME_WIDTH - 12)
    yield _scale(timeline.seconds, bar)
    for rank in ranks:
        yield _rank_line(rank, timeline.seconds, bar)
    if len(ranks) < len(timeline.ranks):
        yield Text(f"and {len(timeline.ranks) - len(ranks)} more ranks, none slower (--all)")
    yield _legend(timeline.ranks)


def _scale(seconds: float, bar: int) -> Text:
    return Text(f"{'':{NAME_WIDTH}} 0{f'{seconds:.0f} s':>{bar - 1}}", style="dim")


def _rank_line(rank: RankStart, seconds: float, bar: int) -> Text:
    name = f"{rank.engine}/{rank.rank} {rank.host}"
    text = Text(f"{name:<{NAME_WIDTH}.{NAME_WIDTH}} ")
    cells = [_phase_at(rank.spans, (n + 0.5) * seconds / bar) for n in range(bar)]
    for phase in cells:
        text.append(LETTERS.get(phase, " "), style=COLOURS.get(phase, ""))
    text.append(f" {rank.done:7.1f} s")
    return text


def _phase_at(spans: Sequence[PhaseSpan], moment: float) -> str:
    return next((one.phase for one in spans if one.begin <= moment < one.end), "")


def _legend(ranks: Sequence[RankStart]) -> Text:
    seen = {span.phase for rank in ranks for span in rank.spans}
    text = Text()
    for phase in (one for one in PHASES if one in seen):
        text.append(f"{LETTERS[phase]} {phase}  ", style=COLOURS[phase])
    return text
