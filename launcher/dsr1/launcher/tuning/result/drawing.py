"""The front as a picture: SVG for a report, and characters for a terminal. Pure."""

from collections.abc import Iterator, Sequence
from html import escape

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.terminal import escape_line

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 900, 520, 70, 50, 20, 300
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#e377c2")
X_NAME, Y_NAME = "tokens/s/user", "tokens/s/GPU"


@dataclass(frozen=True, slots=True)
class Series:
    """Of one deployment: (tokens/s/user, tokens/s/GPU), in the order of the load. `style`:
    measured, predicted or extrapolated."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: str = "measured"


DASHES = {"measured": "", "predicted": "6 4", "extrapolated": "2 4"}


def render_svg(title: str, series: Sequence[Series]) -> str:
    """Measured as lines with dots, predicted dashed, extrapolated dotted."""
    scale = _scale(series)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_axes(scale),
    ]
    colours = {
        name: COLOURS[number % len(COLOURS)]
        for number, name in enumerate(dict.fromkeys(one.name for one in series))
    }
    for number, one in enumerate(series):
        lines += _drawn(one, scale, colours[one.name])
        lines += _legend(number, one, colours[one.name])
    return "\n".join([*lines, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    most_x: float
    most_y: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + x / self.most_x * wide, HEIGHT - BOTTOM - y / self.most_y * high


def _scale(series: Sequence[Series]) -> _Scale:
    points = [point for one in series for point in one.points] or [(1.0, 1.0)]
    return _Scale(max(x for x, _ in points) * 1.05 or 1.0, max(y for _, y in points) * 1.05 or 1.0)


def _axes(scale: _Scale) -> Iterator[str]:
    x0, y0 = scale.at(0, 0)
    x1, y1 = scale.at(scale.most_x, scale.most_y)
    yield f'<path d="M{x0:.0f} {y1:.0f}V{y0:.0f}H{x1:.0f}" fill="none" stroke="black"/>'
    for part in range(6):
        x, y = scale.most_x * part / 5, scale.most_y * part / 5
        at_x, at_y = scale.at(x, y)
        yield f'<text x="{at_x:.0f}" y="{y0 + 16:.0f}" text-anchor="middle">{x:.3g}</text>'
        yield f'<text x="{x0 - 6:.0f}" y="{at_y + 4:.0f}" text-anchor="end">{y:.3g}</text>'
    yield f'<text x="{(x0 + x1) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{X_NAME}</text>'
    yield f'<text x="{LEFT + 6}" y="{TOP + 4}">{Y_NAME}</text>'


def _drawn(one: Series, scale: _Scale, colour: str) -> Iterator[str]:
    places = [scale.at(x, y) for x, y in one.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = f' stroke-dasharray="{DASHES[one.style]}"' if DASHES[one.style] else ""
    yield f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>'
    if one.style == "measured":
        yield from (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places
        )


def _legend(number: int, one: Series, colour: str) -> Iterator[str]:
    y = TOP + 16 * number + 10
    x = WIDTH - RIGHT + 10
    dash = f' stroke-dasharray="{DASHES[one.style]}"' if DASHES[one.style] else ""
    yield f'<path d="M{x} {y - 4}h24" stroke="{colour}"{dash}/>'
    yield f'<text x="{x + 30}" y="{y}">{_text(f"{one.name}, {one.style}")}</text>'


def _text(words: str) -> str:
    return escape(escape_line(words))


def draw_text(series: Sequence[Series], width: int = 90, height: int = 22) -> str:
    """What was measured by a letter each, predicted in braille. By plotext: kept, pure Python
    without dependencies; rich draws no plots, and others want NumPy."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, height)
    measured = [one for one in series if one.style == "measured"]
    letters = {one.name: chr(ord("A") + number % 26) for number, one in enumerate(measured)}
    for one in sorted(series, key=lambda one: one.style == "measured"):
        x, y = [point[0] for point in one.points], [point[1] for point in one.points]
        marker = letters[one.name] if one.style == "measured" else "braille"
        plotext.scatter(x, y, marker=marker)
    plotext.xlabel(X_NAME)
    plotext.ylabel(Y_NAME)
    drawn = str(plotext.uncolorize(plotext.build())).rstrip()
    legend = [f"{letter}  {escape_line(name)}" for name, letter in letters.items()]
    return "\n".join(
        [drawn, *legend, *(["\u2802  predicted"] if len(series) > len(legend) else [])]
    )
