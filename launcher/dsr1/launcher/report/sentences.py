"""What is worth saying of a start, in words. Pure."""

from collections.abc import Iterator

from dsr1.launcher.report.timeline import Timeline, compare_starts

SAVED_S, PARTS = 1.0, 4
COMPILING = ("compiling", "profiling", "warming up", "capturing")
"""What kernels and graphs that an earlier start has compiled make short."""


def start_sentences(now: Timeline, before: tuple[str, Timeline] | None) -> Iterator[str]:
    slowest = now.slowest
    after = f"{now.seconds:.1f} s after the agents had begun"
    if now.ready:
        yield f"ready {after}; the slowest rank was {slowest.name}, done after {slowest.done:.1f} s"
    else:
        last = slowest.spans[-1]
        yield f"not ready {after}; {slowest.name} was {last.phase} since {last.begin:.1f} s"
    parts = sorted(now.phases.items(), key=lambda part: part[1], reverse=True)[:PARTS]
    if now.seconds > 0:
        shares = (
            f"{name} {s:.1f} s ({100 * s / now.seconds:.0f} %)" for name, s in parts if s >= 0.05
        )
        yield f"most of its time: {', '.join(shares)}"
    if whose := now.imports:
        each = ", ".join(f"{name} {s:.1f} s" for name, s in whose.items())
        share = 100 * sum(whose.values()) / max(now.seconds, 1e-9)
        yield (
            f"{sum(whose.values()):.1f} s ({share:.0f} %) were imports, in one process after the"
            f" other: {each}"
        )
    for span in now.silent:
        yield f"{span.phase} said nothing for {span.seconds:.1f} s"
    if before:
        yield from _against(now, *before)


def _against(now: Timeline, name: str, before: Timeline) -> Iterator[str]:
    less = before.seconds - now.seconds
    how = "faster" if less >= 0 else "slower"
    yield f"{abs(less):.1f} s {how} than {name} ({before.seconds:.1f} s)"
    differences = compare_starts(now, before)
    saved = [one for one in differences if one.phase in COMPILING and one.saved > SAVED_S]
    if saved:
        parts = " and ".join(f"{one.saved:.1f} s of {one.phase}" for one in saved)
        yield f"caches saved {parts}, beside {name}"
    less_of = [one for one in differences if one.phase not in COMPILING and one.saved > SAVED_S]
    if less_of:
        yield "shorter were " + ", ".join(f"{one.phase} by {one.saved:.1f} s" for one in less_of)
    lost = [one for one in differences if one.saved < -SAVED_S]
    if lost:
        yield "longer were " + ", ".join(f"{one.phase} by {-one.saved:.1f} s" for one in lost)
