"""What is known of a stack that is watched while it is recorded."""

from pydantic import Field

from clio_argo.model.alignment import PairFit, SliceStatistics
from clio_argo.model.base import Document, Value
from clio_argo.model.plan import Remark, Verdict

# so many slices share a document: each look writes those that changed, and a restart reads them all
SLICES_PER_LOG = 256


class FollowedSlice(Value):
    """A slice that was judged while its stack was recorded."""

    statistics: SliceStatistics
    files: dict[str, str] = Field(description="Its files by name, each with what changes when its content does.")
    fits: tuple[PairFit, ...] = Field((), description="Fits of it onto slices below.")
    remark: Remark | None = Field(None, description="What is wrong with it; None if it is good.")
    jump: str = Field("", description="How far it is shifted, if that is far.")
    seen_s: float = Field(0.0, description="When it was judged first, in seconds since 1970.")
    written: int = Field(1, description="How often its number was written.")
    told: tuple[str, ...] = Field((), description="Of what people were notified.")

    @property
    def z(self) -> int:
        """Its number."""
        return self.statistics.z

    @property
    def verdict(self) -> Verdict:
        """The verdict on it so far: its next neighbours may still change it."""
        return self.remark.verdict if self.remark else "good"

    @property
    def wrong(self) -> dict[str, str]:
        """What people may be notified of, and why."""
        remarks = [(self.remark.verdict, self.remark.reason)] if self.remark else []
        return dict([*remarks, *([("jump", self.jump)] if self.jump else [])])

    @property
    def text(self) -> str:
        """Number, verdict and reasons in a line."""
        return f"z {self.z}: {'; '.join(f'{kind}, {why}' for kind, why in self.wrong.items()) or 'good'}"


class FollowLog(Document):
    """Slices that were judged, of a stretch of the stack; stored under process/."""

    slices: tuple[FollowedSlice, ...] = ()


class FollowState(Document):
    """How watching a stack stands; stored under process/, and written at each look."""

    idle_s: float = Field(0.0, description="Seconds of looking since a slice arrived.")
    looked_s: float = Field(0.0, description="When the source was looked at last, in seconds since 1970.")
    waiting: tuple[str, ...] = Field((), description="Files that are not complete yet, or are not read, and why.")
    missing: tuple[int, ...] = Field((), description="Numbers without a slice below the last one.")
    notes: tuple[str, ...] = Field((), description="What is wrong with the source.")
    size: tuple[int, int] = Field((0, 0), description="Width and height of the largest slice, in pixels.")
    told: tuple[str, ...] = Field((), description="Of what people were notified that concerns no judged slice.")
    ended: bool = Field(False, description="Whether nothing came for as long as was said.")
