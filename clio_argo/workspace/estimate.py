"""What a run will take, by its plan and the shapes of its volume: nothing is decoded."""

import math
from collections.abc import Mapping

from clio_argo.model.costs import CHUNK_BYTES, Amount, Basis, Estimate, StageEstimate, StageRate, UnitCosts, slices_of
from clio_argo.model.layout import LOSSLESS, VIEWER, keeps_lossless
from clio_argo.model.plan import FanOut, Plan
from clio_argo.model.step import Pipeline, Step
from clio_argo.model.volume import VolumeSpec, Zyx
from clio_argo.workspace.outputs import memory_of_alignment, memory_of_volumes

ONE = FanOut(units=1, parts=1)
# of a unit: its record; of a part: its log; of `reduce` two arrays and sums
RECORD, LOG, REDUCED = 1, 1, 3


def estimate(
    plan: Plan, volume: VolumeSpec, costs: UnitCosts, pipeline: Pipeline, basis: Basis = "headers"
) -> Estimate:
    """What a run takes whose slices stay where they are, and of which none is matched again."""
    source, planes = slices_of(plan, volume.itemsize), Amount.of(*volume.scales[0].size, volume.itemsize)
    memory = {**memory_of_alignment(plan), **memory_of_volumes(volume, plan)}
    shards = shards_by_stage(volume)

    def stage(step: Step) -> StageEstimate:
        work = _work(step, plan, volume)
        written = _writes(step.name, work, plan, shards)
        # steps of a pipeline of one's own have no rate
        rate = costs.stages.get(step.name, StageRate()) if work.parts else StageRate()
        return StageEstimate(
            step=step.name, units=work.units, parts=work.parts, writes=written,
            cpu_s=rate.cpu_s(planes if step.makes_volumes else source),
            memory_mib=memory[step.memory.partition(".")[2]] if "." in step.memory else int(step.memory),
            reads=written + _reads(step.name, work, plan, shards),
        )  # fmt: skip

    return Estimate(
        basis=basis, machine=costs.machine, slices=plan.usable, source_bytes=plan.pixels * volume.itemsize,
        start_s=costs.start_s, stages=tuple(map(stage, pipeline.steps)), sizes_bytes=_sizes(volume, costs),
        objects=sum(shards.values()) + volume.scales[0].size[0],
    )  # fmt: skip


def _work(step: Step, plan: Plan, volume: VolumeSpec) -> FanOut:
    """Units and parts of a step."""
    document, _, field = step.units.partition(".")
    if not field:
        return ONE
    # how many units are matched again is known after `suspects`
    known = {"plan": plan, "volume": volume}.get(document)
    return getattr(known, field) if known else FanOut(units=0, parts=0)


def shards_by_stage(volume: VolumeSpec) -> dict[str, int]:
    """Shards of both volumes that each stage writes."""
    counts = {"render": _count(volume, 0, volume.scales[0].shard), "write": 0, "coarsen": 0}
    for k, scale in enumerate(volume.scales):
        stage = "write" if k <= volume.write_tier.last else "coarsen"
        counts[stage] += _count(volume, k, scale.shard) if k else 0
        counts[stage] += _count(volume, k, volume.ng_shard(k)) if k in volume.ng_scales else 0
    return counts


def _count(volume: VolumeSpec, scale: int, shard: Zyx) -> int:
    return math.prod(-(-s // d) for s, d in zip(volume.scales[scale].size, shard, strict=True))


def _writes(step: str, work: FanOut, plan: Plan, shards: Mapping[str, int]) -> int:
    own = {"plan": plan.units, "reduce": REDUCED * work.units, "render": plan.depth + work.units, "match": work.units}
    return own.get(step, 0) + shards.get(step, 0) + RECORD * work.units + LOG * work.parts


def _reads(step: str, work: FanOut, plan: Plan, shards: Mapping[str, int]) -> int:
    """Objects that a step reads to do its work; the first reads of a file are of its header."""
    documents = 2 * work.parts + RECORD * work.units
    own = {
        "plan": plan.usable, "reduce": 2 * plan.usable, "frame": plan.reduce.units,
        "match": 2 * REDUCED * work.units, "suspects": 2 * plan.units, "solve": 3 * plan.units,
        # a slice and its record; a shard is read with its index
        "render": plan.usable, "write": 2 * shards["render"], "coarsen": 2 * shards["write"],
        "verify": sum(shards.values()), "publish": 3 * plan.units,
    }  # fmt: skip
    return documents + own.get(step, 0) if work.parts else 0


def _sizes(volume: VolumeSpec, costs: UnitCosts) -> dict[str, int]:
    """Bytes of each volume that stays."""
    voxels = [math.prod(s.size) for s in volume.scales]
    shown = [(voxels[k] * costs.viewer.at(k) + CHUNK_BYTES * math.prod(volume.chunks(k))) for k in volume.ng_scales]
    sizes = {VIEWER: sum(shown)}
    if keeps_lossless(volume):
        sizes[LOSSLESS] = sum(v * costs.lossless.at(k) for k, v in enumerate(voxels)) * volume.itemsize
    return {folder: round(size) for folder, size in sizes.items()}
