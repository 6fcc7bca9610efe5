"""Writes blocks of the viewer volume and of the coarser lossless scales, from the lossless volume alone."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.downsample import coarser
from clio_argo.kernels.window import to_viewer
from clio_argo.model.run import ObjectRecord
from clio_argo.model.step import StepResult
from clio_argo.model.volume import Box, Tier, VolumeSpec, Zyx
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
    box, layer = run.volume.source_box(tier, unit), run.volume.layer_of(unit)
    inputs = [run.volume.shapes(layer), checksums(run.records("render", needed_by_write(run, unit)))]
    return once(
        run, unit, inputs, lambda: Done(pyramid(run, tier, unit, lambda c: run.volumes.read(0, box, c), box.begin))
    )


def pyramid(run: Run, tier: Tier, unit: int, finest: Callable[[int], Voxels], begin: Zyx) -> list[ObjectRecord]:
    """Write what `unit` owns of all scales of its tier, one channel after the other.

    finest: voxels [z, y, x] of a channel at the tier's first scale; the first one lies at `begin` (z, y, x).
    """
    volumes, spec, layer = run.volumes, run.volume, run.volume.layer_of(unit)
    shown, written = _Shown(spec.layers[layer]), list[ObjectRecord]()
    for channel in spec.layers[layer]:
        window = spec.all_channels[channel].window
        for scale, box, part in _scales(spec, tier, unit, finest(channel), begin):
            if scale in spec.ng_scales and (whole := shown.add(scale, channel, to_viewer(part, window))) is not None:
                written += volumes.write_viewer(scale, box, whole, layer)
            # scale 0 is what `render` wrote
            written += volumes.write_aligned(scale, box, part, channel) if scale else []
    return written


class _Shown:
    """What a layer with several channels shows, until the last channel is there."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        self._channels, self._waiting = channels, dict[int, NDArray[np.uint8]]()

    def add(self, scale: int, channel: int, part: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Add a channel [z, y, x] at a scale; all of the layer, [z, y, x] or [c, z, y, x], once they are there."""
        if len(self._channels) == 1:
            return part
        if scale not in self._waiting:
            self._waiting[scale] = np.empty((len(self._channels), *part.shape), np.uint8)
        self._waiting[scale][self._channels.index(channel)] = part
        return self._waiting.pop(scale) if channel == self._channels[-1] else None


def _scales(spec: VolumeSpec, tier: Tier, unit: int, voxels: Voxels, begin: Zyx) -> Iterator[tuple[int, Box, Voxels]]:
    """Each scale of a tier, with what `unit` owns of it: its box and voxels [z, y, x]."""
    for scale in tier.scales:
        box = spec.unit_box(tier, unit, scale)
        if not box.empty:
            yield scale, box, _cut(voxels, begin, box)
        if scale < tier.last:
            voxels, coarse_box = coarser(voxels, begin, spec.ratio(scale, scale + 1))
            begin = coarse_box.begin


def _cut(voxels: Voxels, begin: Zyx, box: Box) -> Voxels:
    """The part of `voxels` [z, y, x], of which the first lies at `begin`, that lies in `box`."""
    z, y, x = begin
    return voxels[box.shift((-z, -y, -x)).slices]
