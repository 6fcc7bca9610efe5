"""Similarity of neighbouring planes in the rendered volume."""

from typing import Self

from pydantic import Field

from clio_argo.model.base import Document, Value, counted, former_names


class PairSimilarity(Value):
    """Two neighbouring planes that their own slices fill, z0 < z1."""

    _former = former_names({"usual": "local_median", "low": "outlier"})
    z0: int
    z1: int
    correlation: float | None = Field(description="None: the two slices cover no common part of the canvas.")
    local_median: float | None = Field(None, description="Median correlation of the pairs around it.")
    outlier: bool = Field(False, description="Far below the local median, compared with the scatter of the stack.")

    displaced_px: float | None = Field(None, description="Median displacement of windows; None: it cannot be seen.")
    displaced_p90_px: float | None = Field(None, description="Displacement that nine of ten windows do not exceed.")

    def __str__(self) -> str:
        return f"z {self.z0}/{self.z1}: correlation {self.correlation or 0:.2f}, around it {self.local_median or 0:.2f}"


class Quality(Document):
    """Similarity of all neighbouring planes of the volume, ordered by z."""

    SCHEMA_VERSION = 2
    pairs: tuple[PairSimilarity, ...]
    displaced_px: float | None = Field(None, description="Median displacement of all windows of all pairs.")
    displaced_p90_px: float | None = Field(None, description="Displacement that nine of ten windows do not exceed.")
    notes: tuple[str, ...] = Field((), description="What is wrong with the volume as a whole.")

    @property
    def outliers(self) -> tuple[PairSimilarity, ...]:
        """Pairs far less similar than those around them."""
        return tuple(p for p in self.pairs if p.outlier)

    def __repr__(self) -> str:
        """The pairs in one line: all of them would fill screens."""
        return f"<Quality: {counted(len(self.pairs), 'pair')}, {counted(len(self.outliers), 'outlier')}>"

    __str__ = __repr__


class QualitySummary(Value):
    """Summary for complete.json; quality.json has every pair."""

    _former = former_names({"low": "outliers"})
    pairs: int
    median: float | None
    lowest: PairSimilarity | None
    displaced_px: float | None = Field(None, description="Median displacement of windows of neighbouring planes.")
    displaced_p90_px: float | None = Field(None, description="Displacement that nine of ten windows do not exceed.")
    outliers: tuple[PairSimilarity, ...] = Field((), description="Pairs far less similar than those around them.")

    @classmethod
    def of(cls, quality: Quality) -> Self:
        """The summary of all pairs."""
        known = sorted((p.correlation, p.z0, p) for p in quality.pairs if p.correlation is not None)
        return cls(
            pairs=len(quality.pairs),
            median=known[len(known) // 2][0] if known else None,
            lowest=known[0][-1] if known else None,
            displaced_px=quality.displaced_px,
            displaced_p90_px=quality.displaced_p90_px,
            outliers=quality.outliers,
        )
