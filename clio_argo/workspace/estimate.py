"""What a run will take, by its plan and the shapes of its volume: nothing is decoded."""

import math

from clio_argo.model.costs import CHUNK_BYTES, Amount, Basis, Estimate, StageEstimate, StageRate, UnitCosts, slices_of
from clio_argo.model.layout import LOSSLESS, VIEWER, keeps_lossless
from clio_argo.model.plan import FanOut, Plan
from clio_argo.model.step import Pipeline, Step
from clio_argo.model.volume import VolumeSpec, Zyx
from clio_argo.workspace.outputs import memory_of_alignment, memory_of_volumes

ONE = FanOut(units=1, parts=1)
# of a pod of a pipeline of one's own, whose formula is not known here
LEAST_MIB = 1024
# two of a quarter of the samples each, beside the grey values
COLOUR = 0.5
# the record of a unit, the log of a part; a shard is read with its index
DOCUMENTS, READ_TWICE = 1, 2


def estimate(
    plan: Plan, volume: VolumeSpec, costs: UnitCosts, pipeline: Pipeline, basis: Basis = "headers"
) -> Estimate:
    """What a run takes whose slices stay where they are, and of which none is matched again."""
    source, rendered, planes = slices_of(plan, volume.itemsize), slices_rendered(plan, volume), planes_of(volume)
    memory = {**memory_of_alignment(plan), **memory_of_volumes(volume, plan)}
    shards = {step.name: _shards(step, volume) for step in pipeline.steps}

    def stage(step: Step) -> StageEstimate:
        work = _work(step, plan, volume)
        # steps of a pipeline of one's own have no rate
        rate = costs.stages.get(step.name, StageRate()) if work.parts else StageRate()
        documents = DOCUMENTS * (work.units + work.parts)
        written = shards.get(step.name, 0) + round(rate.slice_writes * plan.depth) + documents
        read = READ_TWICE * shards.get(step.made_from, 0) + round(rate.slice_reads * plan.usable)
        return StageEstimate(
            step=step.name, units=work.units, parts=work.parts,
            cpu_s=rate.cpu_s(planes if step.made_from else rendered if step.makes_volumes else source),
            memory_mib=memory.get(step.memory.partition(".")[2], LEAST_MIB) if "." in step.memory else int(step.memory),
            # what is written is read back
            writes=written, reads=written + read + documents,
        )  # fmt: skip

    return Estimate(
        basis=basis, machine=costs.machine, slices=plan.usable, source_bytes=plan.pixels * volume.itemsize,
        start_s=costs.start_s, stages=tuple(map(stage, pipeline.steps)), sizes_bytes=_sizes(volume, costs),
        objects=sum(shards.values()) + volume.scales[0].size[0],
    )  # fmt: skip


def slices_rendered(plan: Plan, volume: VolumeSpec) -> Amount:
    """What all slices amount to that fill the planes of a volume."""
    # whole ones are decoded and adjusted, whatever part of them is written; for each channel anew
    times = len(volume.all_channels) * volume.scales[0].size[0] / plan.usable
    return Amount(*(of * times for of in slices_of(plan, volume.itemsize)))


def planes_of(volume: VolumeSpec) -> Amount:
    """What all planes of a volume amount to."""
    depth, height, width = volume.scales[0].size
    return Amount.of(len(volume.all_channels) * depth, height, width, volume.itemsize)


def _work(step: Step, plan: Plan, volume: VolumeSpec) -> FanOut:
    """Units and parts of a step."""
    document, _, field = step.units.partition(".")
    if not field:
        return ONE
    # how many units are matched again is known after `suspects`
    known = {"plan": plan, "volume": volume}.get(document)
    return getattr(known, field) if known else FanOut(units=0, parts=0)


def _shards(step: Step, volume: VolumeSpec) -> int:
    """Shards of both volumes that a step writes."""
    last = volume.write_tier.last
    lossless, viewer = {
        "volume.render": (range(1), range(0)),
        "volume.write": (range(1, last + 1), range(last + 1)),
        "volume.coarsen": (range(last + 1, len(volume.scales)), range(last + 1, len(volume.scales))),
    }.get(step.units, (range(0), range(0)))
    shards = len(volume.all_channels) * sum(_count(volume, k, volume.scales[k].shard) for k in lossless)
    shown = sum(_count(volume, k, volume.ng_shard(k)) for k in viewer if k in volume.ng_scales)
    return shards + len(volume.layers) * shown


def _count(volume: VolumeSpec, scale: int, shard: Zyx) -> int:
    return math.prod(-(-s // d) for s, d in zip(volume.scales[scale].size, shard, strict=True))


def _sizes(volume: VolumeSpec, costs: UnitCosts) -> dict[str, int]:
    """Bytes of each volume that stays."""
    voxels = [math.prod(s.size) for s in volume.scales]
    shown = [(voxels[k] * costs.viewer.at(k) + CHUNK_BYTES * math.prod(volume.chunks(k))) for k in volume.ng_scales]
    # the colours of a JPEG have half the resolution of its brightness
    layers = len(volume.layers) + COLOUR * volume.rgb
    sizes, channels = {VIEWER: layers * sum(shown)}, len(volume.all_channels)
    if keeps_lossless(volume):
        sizes[LOSSLESS] = channels * sum(v * costs.lossless.at(k) for k, v in enumerate(voxels)) * volume.itemsize
    return {folder: round(size) for folder, size in sizes.items()}
