"""Writes the scales that are too coarse for a block, from the coarsest lossless scale that `write` wrote."""

from collections.abc import Iterator, Sequence

import numpy as np

from clio_argo.kernels.downsample import coarser
from clio_argo.model.step import StepResult
from clio_argo.model.volume import Box, Tier, over
from clio_argo.steps.write import pyramid
from clio_argo.store.manifest import checksums
from clio_argo.store.volumes import Voxels
from clio_argo.workspace.expected import needed_by_coarsen
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once

SLAB_VOXELS = 2**27  # read at once: as many as a shard of ng/ holds at most


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write some blocks of the coarse scales."""
    tier = run.volume.coarsen_tier
    return each_unit(units, lambda unit: _unit(run, tier, unit))


def _unit(run: Run, tier: Tier, unit: int) -> Outcome:
    shapes, source = run.volume.shapes(run.volume.layer_of(unit)), run.volume.source_box(tier, unit)
    inputs = [shapes, checksums(run.records("write", needed_by_coarsen(run, unit)))]
    begin = over(source.begin, run.volume.ratio(tier.source, tier.first))
    return once(
        run, unit, inputs, lambda: Done(pyramid(run, tier, unit, lambda c: _first_scale(run, source, c), begin))
    )


def _first_scale(run: Run, source: Box, channel: int) -> Voxels:
    """The tier's first scale of a channel over what `source`, a box of the tier's source, holds: voxels [z, y, x]."""
    # slab by slab: the memory is an eighth of what is read, which may not fit
    tier = run.volume.coarsen_tier
    ratio = run.volume.ratio(tier.source, tier.first)
    slabs = _slabs(source, ratio[0])
    return np.concatenate([coarser(run.volumes.read(tier.source, b, channel), b.begin, ratio)[0] for b in slabs])


def _slabs(box: Box, step: int) -> Iterator[Box]:
    """Slabs of a box whose borders are multiples of `step` planes, counted from plane 0."""
    # absolute multiples: a coarse plane is the mean of fine ones that must not fall into two slabs
    plane = box.shape[1] * box.shape[2]
    depth = max(1, SLAB_VOXELS // plane // step) * step
    cut = box.begin[0]
    while cut < box.end[0]:
        end = min(box.end[0], (cut // depth + 1) * depth)
        yield Box(begin=(cut, *box.begin[1:]), end=(end, *box.end[1:]))
        cut = end
