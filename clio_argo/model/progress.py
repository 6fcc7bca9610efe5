"""How far a run is, and how fast its stages went."""

from collections.abc import Sequence
from itertools import pairwise

from pydantic import Field

from clio_argo.model.base import Value, counted, html_table
from clio_argo.model.costs import MINUTE_S
from clio_argo.model.run import Attempt

# an attempt of no duration did its work at once
INSTANT_S = 1e-3


class StageProgress(Value):
    """How much of one stage is done."""

    step: str
    title: str
    done: int = Field(description="Units of work that are done.")
    units: int | None = Field(description="All of them; None: a stage before it decides how many.")
    kind: str = Field(description="What `amount` counts: slice, block, or unit of work.")
    amount: int = Field(description="What all units hold together.")

    @property
    def share(self) -> float:
        """The fraction that is done; of a stage with nothing to do all of it."""
        if self.units is None:
            return 0.0
        return min(1.0, self.done / self.units) if self.units else 1.0

    def __str__(self) -> str:
        if self.units is None:
            return "not known yet"
        done = f"{round(self.share * self.amount)} of {counted(self.amount, self.kind)}"
        return done if self.units else "nothing to do"


class Progress(Value):
    """What of a run is done, and when that was done."""

    stages: tuple[StageProgress, ...]
    attempts: tuple[Attempt, ...] = Field(description="Tries that have ended, of parts of stages, by their start.")
    left_s: float | None = Field(description="Seconds by the clock until all is done; None: nobody knows.")

    def __getitem__(self, step: str) -> StageProgress:
        return next(s for s in self.stages if s.step == step)

    @property
    def lost(self) -> tuple[Attempt, ...]:
        """Tries that did not come to their end."""
        return tuple(a for a in self.attempts if a.lost)

    def rate(self, step: str, every_s: float = MINUTE_S) -> list[tuple[float, float]]:
        """What a stage did: (the middle of an interval in seconds since 1970, slices or blocks or units per minute).

        Intervals are about `every_s` long. What a part did is spread over the time that it took, and known when it has
        ended.
        """
        tries = [a for a in self.attempts if a.step == step and a.done]
        edges = _edges(tries, every_s) if tries else []
        done = [sum(a.done * _fraction(a, edge) for a in tries) for edge in edges]
        each = MINUTE_S * self[step].amount / (self[step].units or 1)
        middles = [(a + b) / 2 for a, b in pairwise(edges)]
        rates = [each * (b - a) / (edges[1] - edges[0]) for a, b in pairwise(done)]
        return list(zip(middles, rates, strict=True))

    def __repr__(self) -> str:
        """How far the run is in one line: tries fill screens."""
        left = f", about {self.left_s / MINUTE_S:.1f} min left" if self.left_s else ""
        done = sum(s.share == 1 for s in self.stages)
        return f"<Progress: {done} of {len(self.stages)} stages are done{left}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """A line for each stage, for notebooks."""
        rows = {f"{s.step}: {s.title}": f"{s.share:.0%}, {s}" for s in self.stages}
        return html_table(str(self)[1:-1], rows)


def _edges(tries: Sequence[Attempt], every_s: float) -> list[float]:
    """Borders of equal intervals of about `every_s`, from the first start to the last end."""
    begin, end = min(a.started for a in tries), max(map(_end, tries))
    count = max(1, round((end - begin) / every_s))
    return [*(begin + i * (end - begin) / count for i in range(count)), end]


def _end(attempt: Attempt) -> float:
    return attempt.started + max(attempt.wall_s, INSTANT_S)


def _fraction(attempt: Attempt, at: float) -> float:
    """How much of an attempt lies before a time."""
    if at >= _end(attempt):
        return 1.0
    return max(0.0, at - attempt.started) / (_end(attempt) - attempt.started)
