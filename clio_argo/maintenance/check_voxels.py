"""Decodes both volumes whole, and compares samples with what they should show."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from clio_argo.errors import ClioError, MissingInput, StoreError, TransientError
from clio_argo.kernels.downsample import coarser
from clio_argo.kernels.window import to_viewer
from clio_argo.maintenance.check_bytes import Checked, check_bytes
from clio_argo.model.layout import is_kept
from clio_argo.model.run import Fault
from clio_argo.model.step import Step
from clio_argo.model.volume import Box, times
from clio_argo.store.volumes import Shard, Voxels
from clio_argo.workspace.expected import unit_shards
from clio_argo.workspace.run import Run

T = TypeVar("T")
# one plane of so many is rendered again: a prime, so that it is another plane of each slab
EVERY_PLANE = 61
# grey levels, mean: other versions of a JPEG library may round differently
JPEG_DIFFERS = 0.5


def check_voxels(run: Run, step: Step, unit: int) -> Checked:
    """Compare checksums of a unit, decode its shards, and compare samples of them."""
    summed = check_bytes(run, step, [unit])
    shards = [s for s in unit_shards(run.volume, step.name, unit) if is_kept(s.name)]
    if summed.faults or not shards:
        return summed
    decoded, wrong = 0, list[tuple[str, str]]()
    for shard in shards:
        try:
            decoded += run.volumes.read_shard(shard).nbytes
        except (MissingInput, StoreError) as error:
            wrong.append((shard.name, f"does not decode: {_first_line(error)}"))
    notes = [] if wrong else _samples(run, step.name, unit, shards, wrong)
    faults = tuple(Fault(name=n, what=what, step=step.name, unit=unit) for n, what in wrong)
    return Checked(bytes=summed.bytes, decoded=decoded, faults=faults, notes=tuple(notes))


def _samples(run: Run, step: str, unit: int, shards: list[Shard], wrong: list[tuple[str, str]]) -> list[str]:
    """Add samples that are wrong to `wrong`; what could not be compared, and why."""
    if not is_kept(f"{run.volume.aligned}/"):
        return ["the lossless volume was not kept: the viewer volume was decoded, not compared with it"]
    try:
        wrong += _planes(run, unit, shards) if step == "render" else _chunks(run, unit, shards)
    except TransientError:
        raise
    except ClioError as error:
        return [f"a sample of unit {unit} of {step} was not compared: {_first_line(error)}"]
    return []


def _planes(run: Run, unit: int, shards: list[Shard]) -> Iterator[tuple[str, str]]:
    """Planes of a slab that are not what rendering them again gives."""
    from clio_argo.steps.render import plane_again

    box, first = run.volume.slab_box(unit), run.volume.scales[0].begin[0]
    for z in range(box.begin[0], box.end[0]):
        if (z - first) % EVERY_PLANE:
            continue
        plane = plane_again(run, unit, z)
        for shard in shards:
            own = shard.box(run.volume)
            part = Box(begin=(z, *own.begin[1:]), end=(z + 1, *own.end[1:]))
            if not np.array_equal(run.volumes.read(0, part)[0], plane[_on_plane(box, part)]):
                yield shard.name, f"plane {z} shows something else than rendering it again does"


def _on_plane(box: Box, part: Box) -> tuple[slice, slice]:
    _, y, x = part.shift((0, -box.begin[1], -box.begin[2])).slices
    return y, x


def _chunks(run: Run, unit: int, shards: list[Shard]) -> Iterator[tuple[str, str]]:
    """One chunk of one shard of each scale of each volume that is not what it was made from."""
    for volume, scale in dict.fromkeys((s.volume, s.scale) for s in shards):
        random = np.random.default_rng([unit, scale])
        shard = _one(random, [s for s in shards if (s.volume, s.scale) == (volume, scale)])
        name, chunk = shard.name, _one(random, list(shard.box(run.volume).grid((run.volume.chunk,) * 3)))
        if volume == "ng":
            found, wanted = run.volumes.read_viewer(scale, chunk), _viewed(run, scale, chunk)
            if np.abs(found.astype(np.int16) - wanted).mean() > JPEG_DIFFERS:
                yield name, f"the chunk at {chunk.begin} (z, y, x) is not that of the lossless volume"
        elif not np.array_equal(run.volumes.read(scale, chunk), _means(run, scale, chunk)):
            yield name, f"the chunk at {chunk.begin} (z, y, x) is not the mean of the finer scale"


def _one(random: np.random.Generator, of: list[T]) -> T:
    return of[int(random.integers(len(of)))]


def _viewed(run: Run, scale: int, box: Box) -> Voxels:
    return run.volumes.viewed(to_viewer(run.volumes.read(scale, box), run.volume.window))


def _means(run: Run, scale: int, box: Box) -> Voxels:
    """Voxels of a scale, made again from the finer one."""
    ratio = run.volume.ratio(scale - 1, scale)
    fine = Box(begin=times(box.begin, ratio), end=times(box.end, ratio)).clip(run.volume.scales[scale - 1].box)
    return coarser(run.volumes.read(scale - 1, fine), fine.begin, ratio)[0]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
