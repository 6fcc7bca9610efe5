"""Lines over any axis as inline SVG, for notebooks; the report's own plots run along z."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from clio_argo.report.html import environment
from clio_argo.report.plots import WIDTH, Axis, Sample, Series, decimate, levels, path, ticks, value_axis

# of lines, in their order, legible on white and on black
COLOURS = ("#1f77b4", "#d95f02", "#2ca02c", "#b455c4", "#8c6d31", "#17a2a2", "#e05263", "#7f7f7f")


@dataclass(frozen=True)
class Chart:
    """Lines of one chart: samples (x, y) by name, ordered by x; a y of None interrupts a line.

    across, up: what the axes count, with the unit.
    """

    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[Sample]]

    def _repr_html_(self) -> str:
        """The chart as notebooks show it."""
        return environment().get_template("chart.html.j2").render(chart=self)

    @cached_property
    def x(self) -> Axis:
        """The axis across."""
        values = [x for line in self.lines.values() for x, _ in line]
        low, high = min(values, default=0.0), max(values, default=1.0)
        # one sample stands in the middle
        return Axis(low, high, 0, WIDTH) if high > low else Axis(low - 1, low + 1, 0, WIDTH)

    @cached_property
    def y(self) -> Axis:
        """The axis upwards, which holds 0."""
        return value_axis([Series(name, line) for name, line in self.lines.items()], (0.0,))

    @property
    def marks(self) -> list[tuple[float, str]]:
        """The values that are written below, as (x, text)."""
        return [(self.x(v), f"{v:g}") for v in ticks(self.x.low, self.x.high, 10)]

    @property
    def levels(self) -> list[tuple[float, str]]:
        """The values that are written beside it, as (y, text)."""
        return levels(self.y)

    @property
    def strokes(self) -> list[tuple[str, str, str]]:
        """The lines as (name, colour, path data)."""
        drawn = {
            name: path(decimate((self.x(x), None if y is None else self.y(y)) for x, y in line))
            for name, line in self.lines.items()
        }
        return [(name, COLOURS[i % len(COLOURS)], data) for i, (name, data) in enumerate(drawn.items())]
