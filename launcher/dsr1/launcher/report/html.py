"""A report as one page of HTML that needs nothing else: no script, no request, no font."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dsr1.launcher.benchmark.table import HEADS
from dsr1.launcher.commands.phases import PHASES
from dsr1.launcher.metrics.words import show_number, show_time
from dsr1.launcher.report.charts import HEIGHT, WIDTH
from dsr1.launcher.report.comparing import differences
from dsr1.launcher.report.contents import ReportPage
from dsr1.launcher.report.timeline import phase_words
from dsr1.launcher.terminal import escape_text

TEMPLATES = Path(__file__).parent / "templates"
MOST_RANKS = 64
"""Rows of a timeline: the slowest."""


def render_html(pages: Sequence[ReportPage], redact: Callable[[str], str], now: float) -> str:
    """Of one run, or of two beside each other. Every text passes `redact` and is escaped, its
    control characters, too; `now`: seconds since the epoch."""

    def clean(value: object) -> object:
        return escape_text(redact(value)) if type(value) is str else value

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "clock": show_time,
        "number": show_number,
        "phases": PHASES,
        "phase_words": phase_words,
        "bench_heads": HEADS,
        "width": WIDTH,
        "height": HEIGHT,
        "most_ranks": MOST_RANKS,
    }
    differing = differences(*pages) if len(pages) == 2 else ()
    template = environment.get_template("report.html.j2")
    return template.render(pages=pages, differences=differing, now=now)
