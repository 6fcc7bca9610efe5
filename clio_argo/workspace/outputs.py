"""Parts of the later stages, and the memory of their pods."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from clio_argo.errors import UserError
from clio_argo.model.alignment import Suspects
from clio_argo.model.plan import FanOut, Plan, SliceUnit
from clio_argo.model.step import Part
from clio_argo.model.volume import VolumeSpec

MEMORY_MAX = "CLIO_MEMORY_MAX_MIB"
MIB = 2**20  # bytes
# Measured (docs/design.md): the interpreter with its libraries and room for requests under way; statistics and fits of
# a slice, 270 MiB for 14,000 slices with three links each and their solution.
BASE_MIB, MIB_PER_SLICE = 384, 0.04
# Decoded pixels, their copy while they are reduced, and the file: 0.13 GiB and 4 planes were measured (docs/design.md).
PLANES_OF_REDUCE = 4
# A page may hold so many samples of each pixel, which are decoded together: 10,000 x 10,000 in red, green and blue of
# 16 bits took 1.6 GiB, as much as 7 planes.
MOST_SAMPLES, PLANES_OF_SAMPLE = 4, 2
Parts = dict[str, tuple[Part, ...]]


def parts_of_slices(plan: Plan, units: Sequence[SliceUnit]) -> Parts:
    """Parts of reduce and match, by the slices that they hold."""

    def span(part: range) -> tuple[int, int]:
        return units[part[0]].slices[0].z, units[part[-1]].slices[-1].z

    return {"reduce_parts": _parts(plan.reduce, "slices", span), "match_parts": _parts(plan.match, "slices", span)}


def rematch_parts(suspects: Suspects) -> Parts:
    """Parts of rematch, by the slices that their pairs reach."""

    def span(part: range) -> tuple[int, int]:
        pairs = [pair for i in part for pair in suspects.rematch_units[i].pairs]
        return pairs[0][0], max(z1 for _, z1 in pairs)

    return {"rematch_parts": _parts(suspects.rematch, "slices", span)}


def parts_of_volumes(spec: VolumeSpec) -> Parts:
    """Parts of render, by slices, and of write and coarsen, by blocks."""

    def slabs(part: range) -> tuple[int, int]:
        return spec.slab_box(part[0]).begin[0], spec.slab_box(part[-1]).end[0] - 1

    def blocks(part: range) -> tuple[int, int]:
        return part[0], part[-1]

    return {
        "render_parts": _parts(spec.render, "slices", slabs),
        "write_parts": _parts(spec.write, "blocks", blocks),
        "coarsen_parts": _parts(spec.coarsen, "blocks", blocks),
    }


def _parts(work: FanOut, kind: str, span: Callable[[range], tuple[int, int]]) -> tuple[Part, ...]:
    spans = [span(work.part(p)) for p in range(work.parts)]
    return tuple(Part(part=p, kind=kind, first=first, last=last) for p, (first, last) in enumerate(spans))


def memory_of_alignment(plan: Plan) -> dict[str, int]:
    """MiB of the pods of reduce, of match, and of the steps that read the statistics of all slices."""
    # values of files are larger than grey values where they are floats
    plane = plan.width * plan.height * np.dtype(plan.type_name).itemsize / MIB
    beside = max(0, min(len(plan.channels), MOST_SAMPLES) - 1) + plan.alpha
    planes = PLANES_OF_REDUCE + PLANES_OF_SAMPLE * beside
    reduce_mib = math.ceil(BASE_MIB + planes * plane) + plan.together_mib
    whole = math.ceil(BASE_MIB + MIB_PER_SLICE * plan.depth)
    # match holds slices of fixed size, whatever the source has
    return {"reduce_mib": reduce_mib, "match_mib": 2 * BASE_MIB, "solve_mib": whole}


def memory_of_volumes(spec: VolumeSpec, plan: Plan) -> dict[str, int]:
    """MiB of the pods of render, write, coarsen, and of the steps that read the records of all objects."""
    stages = {f"{stage}_mib": math.ceil(spec.memory_gib(stage) * 1024) for stage in spec.work}
    stages["render_mib"] += plan.together_mib
    return {**stages, "publish_mib": math.ceil(2 * BASE_MIB + MIB_PER_SLICE * spec.scales[0].size[0])}


def memory_problems(needs: Mapping[str, int]) -> list[str]:
    """Stages whose pods no node can hold, by the limit in CLIO_MEMORY_MAX_MIB; Kubernetes never schedules such pods."""
    limit = int(os.environ.get(MEMORY_MAX) or 0)
    return [
        f"{output.removesuffix('_mib')} needs {mib} MiB, pods of this cluster can have {limit} MiB (memory_max_mib): "
        "set a smaller memory_gib, or use larger nodes"
        for output, mib in needs.items()
        if limit and mib > limit
    ]


def refuse_too_large(needs: Mapping[str, int]) -> None:
    """Raise `UserError`, naming each stage, if no node of the cluster can hold its pods."""
    if problems := memory_problems(needs):
        raise UserError.all("the cluster cannot run this request:", problems)
