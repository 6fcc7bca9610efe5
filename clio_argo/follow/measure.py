"""Plans and measures the slices that arrived, as a run of the whole stack will."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clio_argo.errors import UserError
from clio_argo.follow.arrivals import Chosen
from clio_argo.kernels.features import Reduced
from clio_argo.model.alignment import SliceStatistics
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.request import Request
from clio_argo.store.slices import Entry
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.followed import mask_checksum, write_followed
from clio_argo.workspace.headers import Known
from clio_argo.workspace.measure_slice import largest, measure_slice
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import survey
from clio_argo.workspace.user_inputs import read_mask

# what may be wrong with a file because it is not complete yet
UNFINISHED = ("truncated", "zero-byte", "unreadable")


class Unusable(NamedTuple):
    """Files that are no usable slice by their headers, each with its stamp, as a slice that does not decode.

    whole: whether they will be none when they are complete, either.
    """

    files: Mapping[str, str]
    statistics: SliceStatistics
    whole: bool


@dataclass(frozen=True)
class Found:
    """What some files of a source are: their plan, and the slices among them."""

    plan: Plan
    slices: tuple[SliceFile, ...]

    @property
    def unusable(self) -> list[Unusable]:
        """Slices that cannot be used."""
        return [Unusable({p.file: p.stamp}, SliceStatistics(z=p.z, digest="", valid=0.0, error=p.remark.reason),
                         whole=p.kind not in UNFINISHED)
                for p in self.plan.problems if p.z is not None and p.file and p.costs_slice]  # fmt: skip


def find_slices(request: Request, source: StackSource, entries: Sequence[Entry], read: Known) -> Found:
    """The slices of some entries. read: known headers, which gets the others.

    Raises `UserError` if there is none, or if what a run makes of their values would change as the stack grows.
    """
    plan, units, _ = survey(request, Chosen.of(source, entries), read)
    if plan.values and not plan.values.fits and request.value_window is None:
        raise UserError(
            f"source {request.source}: which grey values {plan.values.type_name} values become depends on the whole "
            "stack: set value_window: [LOW, HIGH] to follow it"
        )
    return Found(plan, tuple(s for unit in units for s in unit.slices))


class Measuring:
    """Measures slices as the step `reduce` of a run does, and keeps the result for it.

    run: as `reduce` sees it, with a plan of slices that arrived.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._excluded = read_mask(run.request, run.plan)
        self._mask = mask_checksum(self._excluded)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest slice in pixels."""
        return largest(self._run)

    def measure(self, slice_file: SliceFile) -> tuple[SliceStatistics, Reduced | None]:
        """Decode a slice, keep what was measured, and return its statistics, and the slice in small if it decodes."""
        measured = measure_slice(self._run, slice_file, self._excluded)
        if measured.statistics.error is None:
            write_followed(self._run, slice_file, self._mask, measured)
        return measured.statistics, measured.reduced
