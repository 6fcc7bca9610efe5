"""A stack that is planned and never read: what the steps say of it, by their own functions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clio_argo.model.alignment import RematchUnit, Suspects
from clio_argo.model.costs import Estimate, UnitCosts
from clio_argo.model.cutting import Cutting, fits_one_pod
from clio_argo.model.grid import build_volume
from clio_argo.model.plan import FanOut, Plan, SliceFile, SliceUnit, slices_per_unit
from clio_argo.model.request import Request
from clio_argo.model.sizes import SizeRun
from clio_argo.model.step import SINGLE_MIB, Step, StepResult
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.workspace.estimate import estimate
from clio_argo.workspace.outputs import (
    memory_of_alignment,
    memory_of_volumes,
    parts_of_slices,
    parts_of_volumes,
    rematch_parts,
)
from clio_argo.workspace.parts import cut_pairs, cut_slices, cut_volume

# around a slice in doubt
PAIRS = 6


@dataclass(frozen=True)
class Stack:
    """A stack of 8-bit slices of one size that stay where they are, with the documents that its run would have."""

    plan: Plan
    units: tuple[SliceUnit, ...]
    suspects: Suspects
    volume: VolumeSpec
    expected: Estimate
    single: bool

    @property
    def results(self) -> dict[str, StepResult]:
        """What the steps hand to later ones, by step."""
        published: dict[str, str | int] = {"link": "https://viewer", "volume": "gs://runs/fly/ng", "flagged": 0}
        largest = {SINGLE_MIB: self.expected.memory_mib}
        return {
            "plan": StepResult(
                parts=parts_of_slices(self.plan, self.units), single=self.single,
                memory_mib={**memory_of_alignment(self.plan), **largest},
            ),
            "suspects": StepResult(parts=rematch_parts(self.suspects)),
            "solve": StepResult(
                parts=parts_of_volumes(self.volume), memory_mib=memory_of_volumes(self.volume, self.plan)
            ),
            "publish": StepResult(published=published),
        }  # fmt: skip

    def shares(self, step: Step) -> tuple[tuple[float, ...], ...]:
        """For each part, what its units are of the step's whole work. A step without units does all or nothing."""
        document, _, field = step.units.partition(".")
        if not field:
            return ((1.0,),)
        documents: Mapping[str, Any] = {"plan": self.plan, "suspects": self.suspects, "volume": self.volume}
        work: FanOut = getattr(documents[document], field)
        sizes = [self._size(field, unit) for unit in range(work.units)]
        return tuple(tuple(sizes[unit] / sum(sizes) for unit in work.part(p)) for p in range(work.parts))

    def _size(self, field: str, unit: int) -> int:
        volume = self.volume
        if field == "render":
            return volume.slab_box(unit).shape[0]
        if field in ("write", "coarsen"):
            tier = volume.write_tier if field == "write" else volume.coarsen_tier
            return math.prod(max(side, 0) for side in volume.source_box(tier, unit).shape)
        return len(self.units[unit].slices)


def planned(request: Request, slices: int, width: int, height: int, rematched: float = 0.0, at_once: int = 0) -> Stack:
    """A stack of which `rematched`, a fraction of all units, are matched again.

    at_once: pods at a time, for which parts are cut; 0: up to max_parts, each unit is a part.
    """
    size = slices_per_unit(slices, width * height)
    numbers = [range(z, min(z + size, slices)) for z in range(0, slices, size)]
    units = tuple(
        SliceUnit(unit=i, slices=tuple(_file(z, width, height) for z in own)) for i, own in enumerate(numbers)
    )
    cutting, work = Cutting.of(request, at_once), FanOut.of(len(units))
    whole = Plan(source=request.source, minz=0, maxz=slices - 1, width=width, height=height, dtype="uint8",
                sizes=(SizeRun(z=0, slices=slices, width=width, height=height),), usable=slices, source_bytes=0,
                digest="", unit_slices=size, reduce=work, match=work)  # fmt: skip
    plan = cut_slices(whole, cutting)
    shapes = build_volume(request, (0, 0, 0), (slices, height, width), "uint8", None)
    again = tuple(
        RematchUnit(unit=u.unit, last=u.unit, pairs=tuple((s.z, s.z + 1) for s in u.slices[:PAIRS]))
        for u in units[: round(rematched * len(units))]
    )
    suspects = Suspects(remarks=(), rematch_units=again, rematch=cut_pairs(plan, again, cutting))
    volume = cut_volume(shapes, plan, cutting)
    expected = estimate(plan, volume, UnitCosts.reference(), PIPELINE)
    single = fits_one_pod(request, expected)
    return Stack(plan, units, suspects, volume, expected, single)


def _file(z: int, width: int, height: int) -> SliceFile:
    return SliceFile(z=z, name=f"{z}.png", width=width, height=height, dtype="uint8", size_bytes=0, stamp="")
