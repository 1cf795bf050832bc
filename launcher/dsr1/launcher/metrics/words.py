"""Values in few letters, for people. Pure."""

import time

from dsr1.launcher.metrics.rates import Value

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def show_number(value: Value) -> str:
    """`12.3k`; `-`: nobody tells."""
    if value is None:
        return "-"
    for unit, letter in UNITS:
        if abs(value) >= unit:
            return f"{value / unit:.1f}{letter}"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def show_share(value: Value) -> str:
    return "-" if value is None else f"{100 * value:.0f}%"


def show_seconds(value: Value) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"


def show_time(epoch_s: float) -> str:
    """To the second, wherever it is read."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch_s))
