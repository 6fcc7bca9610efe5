"""What a run really took, as rates that an estimate of another one can use."""

import math
from collections.abc import Mapping, Sequence

from clio_argo.model.costs import CHUNK_BYTES, Density, UnitCosts
from clio_argo.model.layout import lossless_scale_folder, viewer_folder
from clio_argo.model.step import Step
from clio_argo.store.manifest import read_records
from clio_argo.workspace.estimate import COLOUR, estimate
from clio_argo.workspace.preflight import planned_volume
from clio_argo.workspace.run import Run

# documents that tell the units of a step before it runs
KNOWN = ("plan.", "volume.")


def unit_costs(run: Run, costs: UnitCosts, other: float = 1.0, sample: Mapping[str, float] | None = None) -> UnitCosts:
    """`costs` as the units of a run and its volumes show them.

    other: how many times as long all takes that the run's units do not show.
    sample: of a run of a few slices, the steps that did less than slices usually take, and what share of it. Steps that
        are made from others do not count then: blocks of a few planes take far more for each voxel.
    """
    expected = {s.step: s.cpu_s for s in estimate(run.plan, run.volume, costs, run.pipeline).stages}
    steps = (s for s in run.pipeline.steps if s.units.startswith(KNOWN) and (sample is None or not s.made_from))
    took = {step.name: _units_cpu_s(run, step) for step in steps}
    if sample is not None:
        took = {name: seconds / sample.get(name, 1.0) for name, seconds in took.items()}
    factors = {name: took[name] / expected[name] for name in took if took[name] and expected[name]}
    return costs.scaled(factors, other).model_copy(
        update={"lossless": _lossless(run, costs.lossless), "viewer": _viewer(run, costs.viewer)}
    )


def _units_cpu_s(run: Run, step: Step) -> float:
    """CPU seconds of the units of a step that are done, each counted once however often it was tried."""
    return sum(r.cpu_s for r in read_records(run.store, step.name, run.unit_numbers(step)) if r)


def _lossless(run: Run, known: Density) -> Density:
    """Stored bytes for each byte of a voxel; `known` where there is no such volume."""
    scales, values = range(len(run.volume.scales)), run.volume.itemsize * len(run.volume.all_channels)
    sizes = [_size(run, lossless_scale_folder(run.volume, k)) / values for k in scales]
    return _density(sizes, _planned_voxels(run), known)


def _viewer(run: Run, known: Density) -> Density:
    """Stored bytes for each voxel, without what each chunk has of its own; `known` where there is no such volume."""
    of_grey = 1 + COLOUR * run.volume.rgb
    sizes = [
        _size(run, viewer_folder(run.volume, k)) / of_grey - CHUNK_BYTES * math.prod(run.volume.chunks(k))
        if k in run.volume.ng_scales else 0
        for k in range(len(run.volume.scales))
    ]  # fmt: skip
    return _density(sizes, _planned_voxels(run), known)


def _planned_voxels(run: Run) -> list[int]:
    """Voxels of each scale if no slice had moved."""
    # where slices move, the canvas grows by background, which takes hardly any bytes
    return [math.prod(s.size) for s in planned_volume(run.plan, run.request).scales]


def _density(sizes: Sequence[float], voxels: Sequence[int], known: Density) -> Density:
    """Stored bytes of each scale for so many voxels in each."""
    if sizes[0] <= 0:
        return known
    fine = sizes[0] / voxels[0]
    # a canvas that grew may have one scale more
    coarse = [(s, v) for s, v in zip(sizes[1:], voxels[1:], strict=False) if s > 0]
    stored, held = (sum(values) for values in zip(*coarse, strict=True)) if coarse else (fine, 1)
    return Density(fine=fine, coarse=stored / held)


def _size(run: Run, folder: str) -> int:
    return sum(run.store.sizes(folder).values())
