"""What the site file decides for verbs that check hosts."""

import datetime
import sys

from dsr1.launcher.preflight.preflight import choose_checks
from dsr1.launcher.site.load import load_site


def skip_of_site() -> tuple[str, ...]:
    """The checks that it skips today; a person is told of each, and of those whose day is over.
    InputError: there is no such check."""
    site, today = load_site(), datetime.date.today()
    for note in site.notes(today):
        print(f"dsr1: note: {note}", file=sys.stderr)
    skip = tuple(one.check for one in site.skipped(today))
    choose_checks((), skip)
    return skip
