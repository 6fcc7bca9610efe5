"""Decodes both volumes whole, and compares samples with what they were made from."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from clio_argo.errors import ClioError, MissingInput, StoreError, TransientError
from clio_argo.kernels.downsample import coarser
from clio_argo.kernels.window import to_viewer
from clio_argo.maintenance.check_bytes import Checked, check_bytes
from clio_argo.model.layout import VIEWER, keeps_lossless
from clio_argo.model.run import Fault
from clio_argo.model.step import Step
from clio_argo.model.volume import Box, times
from clio_argo.store.volumes import Shard, Voxels
from clio_argo.workspace.expected import kept_shards
from clio_argo.workspace.run import Run

T = TypeVar("T")
# One plane in so many is rendered again: slabs have at most 64 planes, and with a prime number it is another plane of
# each.
EVERY_PLANE = 61
# Mean difference in grey levels: other versions of a JPEG library may round differently.
JPEG_DIFFERS = 0.5


def check_voxels(run: Run, step: Step, unit: int) -> Checked:
    """Compare checksums of a unit, decode its shards, and compare samples of them."""
    bytes_checked = check_bytes(run, step, [unit])
    shards = kept_shards(run, step, unit)
    if bytes_checked.faults or not shards:
        return bytes_checked
    wrong = list[tuple[str, str]]()
    for shard in shards:
        try:
            run.volumes.read_shard(shard)
        except (MissingInput, StoreError) as error:
            wrong.append((shard.name, f"does not decode: {_first_line(error)}"))
    notes = [] if wrong else _compare_samples(run, step.name, unit, shards, wrong)
    faults = tuple(Fault(name=n, what=what, step=step.name, unit=unit) for n, what in wrong)
    return Checked(bytes_checked.bytes, faults, tuple(notes))


def _compare_samples(run: Run, step: str, unit: int, shards: list[Shard], wrong: list[tuple[str, str]]) -> list[str]:
    """Add samples that differ to `wrong`; return what could not be compared, and why."""
    if not keeps_lossless(run.volume):
        return ["the aligned volume was not kept: the viewer volume was decoded, not compared with it"]
    try:
        wrong += _wrong_planes(run, unit, [s for s in shards if _is_rendered(s)])
        wrong += _wrong_chunks(run, unit, [s for s in shards if not _is_rendered(s)])
    except TransientError:
        # a store that does not answer proves nothing, and the same command can be tried again
        raise
    except ClioError as error:
        # the source may be gone or changed by now, which is no fault of the volume
        return [f"a sample of unit {unit} of {step} was not compared: {_first_line(error)}"]
    return []


def _is_rendered(shard: Shard) -> bool:
    """Whether a shard was made from slices; all others are made from finer or lossless voxels."""
    return shard.scale == 0 and shard.volume != VIEWER


def _wrong_planes(run: Run, unit: int, shards: list[Shard]) -> Iterator[tuple[str, str]]:
    """Shards of a slab with a plane that differs from the same plane rendered again."""
    from clio_argo.steps.render import render_plane

    box, first = run.volume.slab_box(unit), run.volume.scales[0].begin[0]
    for z in range(box.begin[0], box.end[0]) if shards else ():
        if (z - first) % EVERY_PLANE:
            continue
        plane = render_plane(run, unit, z)
        for shard in shards:
            whole = shard.box(run.volume)
            part = Box(begin=(z, *whole.begin[1:]), end=(z + 1, *whole.end[1:]))
            _, y, x = part.shift((0, -box.begin[1], -box.begin[2])).slices
            if not np.array_equal(run.volumes.read(0, part, shard.part)[0], plane[y, x]):
                yield shard.name, f"plane {z} differs from the same plane rendered again"


def _wrong_chunks(run: Run, unit: int, shards: list[Shard]) -> Iterator[tuple[str, str]]:
    """Shards of which one chunk differs from what it was made from; one of each scale of each channel is tried."""
    for volume, scale, part in dict.fromkeys((s.volume, s.scale, s.part) for s in shards):
        # the same samples in each run of verify, so that a fault can be looked at again
        random = np.random.default_rng([unit, scale])
        shard = _choose(random, [s for s in shards if (s.volume, s.scale, s.part) == (volume, scale, part)])
        chunk = _choose(random, list(shard.box(run.volume).grid((run.volume.chunk,) * 3)))
        if volume == VIEWER:
            voxels = run.volumes.read_viewer(scale, chunk, part)
            expected = _expected_in_viewer(run, scale, chunk, run.volume.layers[part])
            if np.abs(voxels.astype(np.int16) - expected).mean() > JPEG_DIFFERS:
                yield shard.name, f"the chunk at {chunk.begin} (z, y, x) is not that of the aligned volume"
        elif not np.array_equal(run.volumes.read(scale, chunk, part), _expected_means(run, scale, chunk, part)):
            yield shard.name, f"the chunk at {chunk.begin} (z, y, x) is not the mean of the finer scale"


def _choose(random: np.random.Generator, choices: list[T]) -> T:
    return choices[int(random.integers(len(choices)))]


def _expected_in_viewer(run: Run, scale: int, box: Box, channels: Sequence[int]) -> Voxels:
    """Voxels [z, y, x] or [c, z, y, x] that a layer should hold in `box` after JPEG, from the lossless volume."""
    known = run.volume.all_channels
    shown = [to_viewer(run.volumes.read(scale, box, c), known[c].window) for c in channels]
    return run.volumes.viewed(shown[0] if len(shown) == 1 else np.stack(shown))


def _expected_means(run: Run, scale: int, box: Box, channel: int) -> Voxels:
    """Voxels [z, y, x] that a channel of a lossless scale should hold in `box`, from the finer one."""
    ratio = run.volume.ratio(scale - 1, scale)
    fine = Box(begin=times(box.begin, ratio), end=times(box.end, ratio)).clip(run.volume.scales[scale - 1].box)
    return coarser(run.volumes.read(scale - 1, fine, channel), fine.begin, ratio)[0]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
