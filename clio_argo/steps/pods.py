"""What plan and solve tell a workflow: the parts of the stages behind them, and the memory of their pods.

Parts are objects, so that a workflow's tasks say which slices they are about; numbers in them are strings, as
Argo wants them.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence

from clio_argo.errors import UserError
from clio_argo.model.alignment import Inspection
from clio_argo.model.plan import FanOut, Plan, SliceUnit
from clio_argo.model.volume import VolumeSpec
from clio_argo.steps.base import Outputs

MEMORY_MAX = "CLIO_MEMORY_MAX_MIB"
MIB = 2**20
# Measured, in MiB: the interpreter with its libraries and room for requests under way; a slice's facts and fits.
BASE_MIB, MIB_PER_SLICE = 384, 0.04
# Decoded pixels, their copy while they are reduced, and the file.
PLANES_OF_REDUCE = 4


def plan_outputs(plan: Plan, units: Sequence[SliceUnit]) -> Outputs:
    """Parts and memory of reduce and match, memory of solve."""

    def of_slices(part: range) -> str:
        return _span(units[part[0]].slices[0].z, units[part[-1]].slices[-1].z)

    return {
        "reduce_parts": part_items(plan.reduce, "slices", of_slices),
        "match_parts": part_items(plan.match, "slices", of_slices),
        **memory_of_alignment(plan),
    }


def inspect_outputs(inspection: Inspection) -> Outputs:
    """Parts of relink."""

    def of_links(part: range) -> str:
        links = [link for i in part for link in inspection.relinks[i].pairs]
        return _span(links[0][0], max(z1 for _, z1 in links))

    return {"relink_parts": part_items(inspection.relink, "slices", of_links)}


def solve_outputs(spec: VolumeSpec) -> Outputs:
    """Parts and memory of all that makes the volumes."""

    def of_slabs(part: range) -> str:
        return _span(spec.slab_box(part[0]).begin[0], spec.slab_box(part[-1]).end[0] - 1)

    def of_blocks(part: range) -> str:
        return _span(part[0], part[-1])

    return {
        "render_parts": part_items(spec.render, "slices", of_slabs),
        "write_parts": part_items(spec.write, "blocks", of_blocks),
        "coarsen_parts": part_items(spec.coarsen, "blocks", of_blocks),
        **memory_of_volumes(spec),
    }


def part_items(work: FanOut, what: str, name: Callable[[range], str]) -> list[dict[str, str]]:
    """One object per part: its number, and what it is about."""
    return [{"part": str(p), what: name(work.part(p))} for p in range(work.parts)]


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else f"{first}"


def memory_of_alignment(plan: Plan) -> dict[str, int]:
    """MiB of the pods of reduce, match, and of those that read all slices' facts."""
    plane = plan.width * plan.height * (1 if plan.dtype == "uint8" else 2) / MIB
    whole = math.ceil(BASE_MIB + MIB_PER_SLICE * plan.depth)
    return {
        "reduce_mib": math.ceil(BASE_MIB + PLANES_OF_REDUCE * plane),
        "match_mib": 2 * BASE_MIB,
        "solve_mib": whole,
    }


def memory_of_volumes(spec: VolumeSpec) -> dict[str, int]:
    """MiB of the pods of render, write, coarsen, and of those that read every object's record."""
    stages = {f"{s}_mib": math.ceil(spec.memory_gib(s) * 1024) for s in ("render", "write", "coarsen")}
    return {**stages, "publish_mib": math.ceil(2 * BASE_MIB + MIB_PER_SLICE * spec.scales[0].size[0])}


def refuse_too_large(needs: Mapping[str, int]) -> None:
    """Refuse pods that no node of the cluster can hold: they would wait for ever.

    Raises:
        UserError: names each stage that needs more than CLIO_MEMORY_MAX_MIB says.
    """
    limit = int(os.environ.get(MEMORY_MAX) or 0)
    large = [f"{n.removesuffix('_mib')} needs {mib} MiB" for n, mib in needs.items() if limit and mib > limit]
    if large:
        raise UserError.all(
            f"the cluster's pods can have {limit} MiB (memory_max_mib). Set a smaller memory_gib, or use larger nodes:",
            large,
        )
