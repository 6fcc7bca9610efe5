"""How alike neighbouring slices are in the rendered volume."""

from typing import Self

from pydantic import Field

from clio_argo.model.base import Document, Value


class PairLikeness(Value):
    """Two neighbouring planes that show their own slices, z0 < z1."""

    z0: int
    z1: int
    correlation: float | None = Field(description="None: no part of the canvas is covered by both slices.")
    usual: float | None = Field(None, description="Median over the pairs around it.")
    low: bool = Field(False, description="Far below what is usual there, as the stack scatters.")

    def __str__(self) -> str:
        return (
            f"z {self.z0}/{self.z1}: correlation {self.correlation or 0:.2f}, around it {self.usual or 0:.2f}"
        )


class Quality(Document):
    """All pairs of the volume, by z."""

    pairs: tuple[PairLikeness, ...]

    @property
    def low(self) -> tuple[PairLikeness, ...]:
        return tuple(p for p in self.pairs if p.low)


class QualitySummary(Value):
    """What complete.json says of the rendered volume; `quality.json` has every pair."""

    pairs: int
    median: float | None
    lowest: PairLikeness | None
    low: tuple[PairLikeness, ...] = Field((), description="Pairs far below what is usual around them.")

    @classmethod
    def of(cls, quality: Quality) -> Self:
        known = sorted((p.correlation, p.z0, p) for p in quality.pairs if p.correlation is not None)
        return cls(
            pairs=len(quality.pairs),
            median=known[len(known) // 2][0] if known else None,
            lowest=known[0][-1] if known else None,
            low=quality.low,
        )
