"""Writes the scales that are too coarse for a block, from the coarsest lossless scale that `write` made."""

from collections.abc import Iterable, Iterator

import numpy as np

from clio_argo.kernels.downsample import coarser
from clio_argo.model.volume import Box, Tier, VolumeSpec, Zyx
from clio_argo.steps.base import Done, Outputs, Run, each_unit, once
from clio_argo.steps.write import pyramid
from clio_argo.store.manifest import checksums
from clio_argo.store.volumes import Voxels

SLAB_VOXELS = 2**27


def run(run: Run, part: int) -> Outputs:
    return make(run, run.volume.coarsen.part(part))


def make(run: Run, units: Iterable[int]) -> Outputs:
    tier = run.volume.coarsen_tier
    return each_unit(units, lambda unit: _unit(run, tier, unit))


def _unit(run: Run, tier: Tier, unit: int) -> str | None:
    spec = run.volume
    inputs = [spec.shapes(), checksums(run.records("write", needed(spec, unit)))]
    return once(run, unit, inputs, lambda: Done(pyramid(run, tier, unit, *_first_scale(run, tier, unit))))


def needed(spec: VolumeSpec, unit: int) -> list[int]:
    """The units of `write` that a unit reads."""
    tier = spec.coarsen_tier
    return spec.units_touching(spec.write_tier, tier.source, spec.source_box(tier, unit))


def _first_scale(run: Run, tier: Tier, unit: int) -> tuple[Voxels, Zyx]:
    """The tier's first scale over all that `unit` needs, made slab by slab: the source may not fit in memory."""
    ratio = run.volume.ratio(tier.source, tier.first)
    source = run.volume.source_box(tier, unit)
    parts = [coarser(run.volumes.read(tier.source, b), b.begin, ratio) for b in _slabs(source, ratio[0])]
    return np.concatenate([voxels for voxels, _ in parts]), parts[0][1].begin


def _slabs(box: Box, step: int) -> Iterator[Box]:
    """Slabs of a box whose borders are multiples of `step` planes."""
    plane = box.shape[1] * box.shape[2]
    depth = max(1, SLAB_VOXELS // plane // step) * step
    cut = box.begin[0]
    while cut < box.end[0]:
        end = min(box.end[0], (cut // depth + 1) * depth)
        yield Box(begin=(cut, *box.begin[1:]), end=(end, *box.end[1:]))
        cut = end
