"""Writes blocks of the viewer volume and of the coarser lossless scales, from the lossless volume alone."""

from collections.abc import Sequence

from clio_argo.kernels.downsample import coarser
from clio_argo.kernels.window import to_viewer
from clio_argo.model.run import ObjectRecord
from clio_argo.model.step import StepResult
from clio_argo.model.volume import Box, Tier, Zyx
from clio_argo.store.manifest import checksums
from clio_argo.store.volumes import Voxels
from clio_argo.workspace.expected import needed_by_write
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write some blocks."""
    tier = run.volume.write_tier
    return each_unit(units, lambda unit: _unit(run, tier, unit))


def _unit(run: Run, tier: Tier, unit: int) -> Outcome:
    box = run.volume.source_box(tier, unit)
    inputs = [run.volume.shapes(), checksums(run.records("render", needed_by_write(run, unit)))]
    return once(run, unit, inputs, lambda: Done(pyramid(run, tier, unit, run.volumes.read(0, box), box.begin)))


def pyramid(run: Run, tier: Tier, unit: int, voxels: Voxels, begin: Zyx) -> list[ObjectRecord]:
    """Write what `unit` owns of all scales of its tier.

    voxels: [z, y, x] of the tier's first scale; the first one lies at `begin` (z, y, x).
    """
    volumes, spec = run.volumes, run.volume
    written: list[ObjectRecord] = []
    for scale in tier.scales:
        box = spec.unit_box(tier, unit, scale)
        if not box.empty:
            part = _cut(voxels, begin, box)
            if scale in spec.ng_scales:
                written += volumes.write_viewer(scale, box, to_viewer(part, spec.window))
            # scale 0 is what `render` wrote
            written += volumes.write_aligned(scale, box, part) if scale else []
        if scale < tier.last:
            voxels, coarse_box = coarser(voxels, begin, spec.ratio(scale, scale + 1))
            begin = coarse_box.begin
    return written


def _cut(voxels: Voxels, begin: Zyx, box: Box) -> Voxels:
    """The part of `voxels` [z, y, x], of which the first lies at `begin`, that lies in `box`."""
    z, y, x = begin
    return voxels[box.shift((-z, -y, -x)).slices]
