"""Writes blocks: the viewer volume and the lossless coarser scales, from the lossless volume alone."""

from collections.abc import Iterable

from clio_argo.kernels.downsample import coarser
from clio_argo.kernels.window import to_viewer
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box, Tier, VolumeSpec, Zyx
from clio_argo.steps.base import Done, Outputs, Run, each_unit, once
from clio_argo.store.manifest import checksums
from clio_argo.store.volumes import Voxels


def run(run: Run, part: int) -> Outputs:
    return make(run, run.volume.write.part(part))


def make(run: Run, units: Iterable[int]) -> Outputs:
    tier = run.volume.write_tier
    return each_unit(units, lambda unit: _unit(run, tier, unit))


def _unit(run: Run, tier: Tier, unit: int) -> str | None:
    box = run.volume.source_box(tier, unit)
    inputs = [run.volume.shapes(), checksums(run.records("render", needed(run.volume, unit)))]
    return once(
        run, unit, inputs, lambda: Done(pyramid(run, tier, unit, run.volumes.read(0, box), box.begin))
    )


def needed(spec: VolumeSpec, unit: int) -> range:
    """The units of `render` that a unit reads."""
    box, first = spec.source_box(spec.write_tier, unit), spec.scales[0].begin[0]
    return range((box.begin[0] - first) // spec.slab, -(-(box.end[0] - first) // spec.slab))


def pyramid(run: Run, tier: Tier, unit: int, voxels: Voxels, begin: Zyx) -> list[ObjectRecord]:
    """Write what `unit` owns of all scales of its tier; `voxels` are of the tier's first scale, from `begin`."""
    volumes, spec = run.volumes, run.volume
    written: list[ObjectRecord] = []
    for scale in tier.scales:
        own = spec.unit_box(tier, unit, scale)
        if not own.empty:
            part = _cut(voxels, begin, own)
            if scale in spec.ng_scales:
                written += volumes.write_viewer(scale, own, to_viewer(part, spec.window))
            written += volumes.write_aligned(scale, own, part) if scale else []
        if scale < tier.last:
            voxels, box = coarser(voxels, begin, spec.ratio(scale, scale + 1))
            begin = box.begin
    return written


def _cut(voxels: Voxels, begin: Zyx, box: Box) -> Voxels:
    z, y, x = begin
    return voxels[box.shift((-z, -y, -x)).slices]
