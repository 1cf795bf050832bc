"""Times of a mapping's steps, and what lies between those that are known. Pure."""

from bisect import bisect_left

from dsr1.hosts.dataclass import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class TimeTable:
    """`prefill`: tokens of a prompt, ms, one prompt on every rank at once. `decode`: sequences of a
    rank, ms a step. Both ascend."""

    prefill: tuple[Point, ...]
    decode: tuple[Point, ...]

    def prefill_ms(self, tokens: float) -> float:
        return between(((0.0, 0.0), *self.prefill), tokens)

    def decode_ms(self, sequences: float) -> float:
        return between(self.decode, max(1.0, sequences))


def between(points: tuple[Point, ...], at: float) -> float:
    """On the line through the two neighbours; beyond the last, through the last two."""
    if len(points) == 1:
        return points[0][1]
    places = [place for place, _ in points]
    right = min(max(bisect_left(places, at), 1), len(points) - 1)
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
