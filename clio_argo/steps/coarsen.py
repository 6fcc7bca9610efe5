"""Writes the scales that are too coarse for a block, from the coarsest lossless scale that `write` wrote."""

from collections.abc import Iterator, Sequence

import numpy as np

from clio_argo.kernels.downsample import coarser
from clio_argo.model.step import StepResult
from clio_argo.model.volume import Box, Tier, Zyx
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
    inputs = [run.volume.shapes(), checksums(run.records("write", needed_by_coarsen(run, unit)))]
    return once(run, unit, inputs, lambda: Done(pyramid(run, tier, unit, *_first_scale(run, tier, unit))))


def _first_scale(run: Run, tier: Tier, unit: int) -> tuple[Voxels, Zyx]:
    """The tier's first scale over all that `unit` needs: voxels [z, y, x] and their begin (z, y, x)."""
    # slab by slab: the memory is an eighth of what is read, which may not fit
    ratio = run.volume.ratio(tier.source, tier.first)
    source = run.volume.source_box(tier, unit)
    parts = [coarser(run.volumes.read(tier.source, b), b.begin, ratio) for b in _slabs(source, ratio[0])]
    return np.concatenate([voxels for voxels, _ in parts]), parts[0][1].begin


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
