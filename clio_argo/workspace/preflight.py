"""All that can be known before anything is spent: one check for `plan`, `run`, `submit` and the library."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from clio_argo.errors import BrokenInvariant, GateStopped, UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.base import share
from clio_argo.model.grid import build_volume, memory_for_slab, slab_depth
from clio_argo.model.name_order import HINT
from clio_argo.model.plan import FanOut, Plan, SliceUnit
from clio_argo.model.problems import problem_lines
from clio_argo.model.request import Request
from clio_argo.model.user_inputs import UserInputs
from clio_argo.model.values import ITEMSIZE
from clio_argo.model.volume import Box, VolumeSpec, plus, zyx
from clio_argo.placement.gates import allow_bad, gap_problem
from clio_argo.placement.replacement import longest_gap
from clio_argo.placement.shapes import TOP, volume_channels
from clio_argo.workspace.arrival import arrival_warning
from clio_argo.workspace.outputs import memory_of_alignment, memory_of_volumes, memory_problems
from clio_argo.workspace.parts import cut_slices, cut_volume, cutting_here
from clio_argo.workspace.survey import survey
from clio_argo.workspace.user_inputs import GivenFiles, read_user_inputs
from clio_argo.workspace.values import value_window_problem

T = TypeVar("T")


@dataclass(frozen=True)
class Preflight:
    """A request compared with its source.

    plan, units: what the source holds.
    user_inputs, imported: what the request's files say; `imported` transforms replace alignment.
    volume: the volume as it will be if no slice has to move; None if there can be none.
    faults: why the request or its source cannot be used.
    stops: gates that fail because of missing and unusable slices, whatever the others look like.
    warning: signs that the source still arrives, and doubts about what its files tell; empty without any.
    """

    plan: Plan
    units: tuple[SliceUnit, ...]
    given: GivenFiles
    volume: VolumeSpec | None
    faults: tuple[str, ...]
    stops: tuple[str, ...]
    warning: str

    @property
    def need_volume(self) -> VolumeSpec:
        """The volume of a request that was not refused. Raises `BrokenInvariant` otherwise."""
        if self.volume is None:
            raise BrokenInvariant("a volume is needed of a request that has none")
        return self.volume

    def refuse(self, elsewhere: str = "; clio-argo plan shows all") -> None:
        """Stop before anything is spent, and name all problems at once; `elsewhere` says who shows the rest of many.

        Raises:
            UserError: the stack cannot become a volume.
            GateStopped: too many slices are missing or unusable.
        """
        if self.faults:
            raise UserError.all("the stack cannot be used:", [*self.faults, *self.stops])
        if self.stops:
            details = [f"  - {line}" for line in problem_lines(self.plan.problems, elsewhere)]
            raise GateStopped("\n".join([*self.stops, *details]))


def preflight(request: Request) -> Preflight:
    """Compare a request with its source: reads headers and the request's files, writes nothing.

    Raises:
        UserError: there is nothing to check: no source, no slice, no way to number the files.
    """
    began_s = time.time()
    plan, units, entries = survey(request)
    request = request.model_copy(update={"resolution": plan.voxel_nm})
    arriving = arrival_warning(entries, (name for unit in units for s in unit.slices for name in s.files), began_s)
    warning = "; ".join(filter(None, (arriving, *plan.warnings)))
    faults = problem_lines([p for p in plan.problems if p.kind == "duplicate"])
    faults += [*_memory_problem(plan, request), *_crop_problem(plan, request), *_background_problem(plan, request)]
    faults += [*_source_crop_problems(plan, request), *value_window_problem(plan, request)]
    given = _attempt(lambda: read_user_inputs(request, plan, units), faults) or GivenFiles(UserInputs())
    # without room for a slab there is no volume, and a fault says so already
    volume = None if faults else _attempt(lambda: planned_volume(plan, request), faults)
    cutting = cutting_here(request)
    plan = cut_slices(without_alignment(plan, request, given.imported), cutting)
    volume = cut_volume(volume, plan, cutting) if volume else None
    faults += memory_problems({**memory_of_alignment(plan), **(memory_of_volumes(volume, plan) if volume else {})})
    return Preflight(plan, units, given, volume, tuple(faults), tuple(_stops(plan, request)), warning)


def _attempt(check: Callable[[], T], faults: list[str]) -> T | None:
    """The result of a check; None if it raises a `UserError`, which is added to the faults."""
    try:
        return check()
    except UserError as error:
        faults.append(str(error))
        return None


def planned_volume(plan: Plan, request: Request) -> VolumeSpec:
    """The volume as it will be if no slice has to move."""
    begin, size = (plan.minz, 0, 0), (plan.depth, plan.height, plan.width)
    whole = Box(begin=begin, end=plus(begin, size))
    spans = zip((request.crop.z, request.crop.y, request.crop.x), zip(whole.begin, whole.end, strict=True), strict=True)
    low, high = zip(*((span[0], span[1] + 1) if span else sides for span, sides in spans), strict=True)
    cropped = Box(begin=zyx(low), end=zyx(high)).clip(whole)
    # what lies beyond is part of a canvas that grows when slices move
    kept = whole if cropped.empty else cropped
    return build_volume(request, kept.begin, kept.shape, plan.dtype, None, volume_channels(request, plan))


def without_alignment(plan: Plan, request: Request, imported: Transforms | None) -> Plan:
    """The plan without the work that imported transforms replace: all of match, and reduce if nothing else needs it."""
    if imported is None:
        return plan
    known = {s.z for s in imported.slices if s.flagged or s.digest}
    # statistics even out flicker, tell which values were clipped, and the digest of slices that transforms do not know
    statistics = request.contrast.flicker or plan.values or set(plan.usable_numbers) - known
    # histograms give 16-bit volumes the window of the viewer
    window = plan.dtype == "uint8" or request.viewer.window or imported.window
    none = FanOut(units=0, parts=0)
    return plan.model_copy(update={"match": none, **({} if statistics or not window else {"reduce": none})})


def _stops(plan: Plan, request: Request) -> list[str]:
    allowed, bad, gap = request.allowed_bad(plan.depth), len(plan.unusable), longest_gap(plan.unusable)
    stops = []
    if bad > allowed:
        hint = f"; {HINT}" if plan.is_sparse else ""
        stops.append(f"{share(bad, plan.depth, 'slice')} missing or unusable, at most {allowed} may be (max_bad); "
                     f"repair the source, or show others in their place: {allow_bad(bad)}{hint}")  # fmt: skip
    return stops + ([gap_problem(gap, request)] if len(gap) > request.max_gap else [])


def _crop_problem(plan: Plan, request: Request) -> list[str]:
    low, high = request.crop.z or (plan.minz, plan.maxz)
    inside = plan.minz <= low and high <= plan.maxz
    return [] if inside else [f"crop.z {low} to {high}: the stack has z {plan.minz} to {plan.maxz}"]


def _source_crop_problems(plan: Plan, request: Request) -> list[str]:
    """Parts of the files that are on none of them, or leave nothing of the smallest."""
    crop, smallest = request.source_crop, (min(s.width for s in plan.sizes), min(s.height for s in plan.sizes))
    axes = zip("xy", (crop.x, crop.y), smallest, (plan.width, plan.height), strict=True)
    return [
        f"source_crop.{axis} {span[0]} to {span[1]}: the files have 0 to {least - 1}"
        for axis, span, least, most in axes
        if span and (span[0] >= least or span[1] >= most)
    ]


def _background_problem(plan: Plan, request: Request) -> list[str]:
    wrong = plan.dtype == "uint8" and request.background > TOP[plan.dtype]
    return [f"background {request.background}: slices of 8 bit hold at most {TOP[plan.dtype]}"] if wrong else []


def _memory_problem(plan: Plan, request: Request) -> list[str]:
    plane = plan.width * plan.height * ITEMSIZE[plan.dtype]
    if slab_depth(request.memory_gib, plan.depth, plane):
        return []
    return [
        f"memory_gib {request.memory_gib:g}: slices of {plan.width} x {plan.height} need workers with "
        f"at least {memory_for_slab(plane):g} GiB"
    ]
