"""Decides where every slice lies and which are bad, and fixes the shapes of both volumes."""

from collections.abc import Sequence

from clio_argo.errors import GateStopped, UserError
from clio_argo.model import layout
from clio_argo.model.alignment import Transforms
from clio_argo.model.run import ObjectRecord
from clio_argo.model.step import StepResult
from clio_argo.model.user_inputs import UserInputs
from clio_argo.model.volume import VolumeSpec
from clio_argo.placement.decide import Inputs, Statistics, decide
from clio_argo.placement.gates import check_gates, gates
from clio_argo.placement.shapes import attributes, fix_shapes, planes
from clio_argo.store.volumes import Volumes
from clio_argo.workspace.expected import remove_former_records, remove_outgrown_objects, remove_outgrown_units
from clio_argo.workspace.fits import read_fits
from clio_argo.workspace.frame import read_pattern_share
from clio_argo.workspace.outputs import memory_of_volumes, parts_of_volumes, refuse_too_large
from clio_argo.workspace.parts import cut_volume, cutting_here
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.report_page import ALIGNED, write_report
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import record_whole


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write transforms.json and .csv, the planes of each unit of render, volume.json, all metadata and the report."""
    files = {s.z: s for unit in run.all_slices for s in unit.slices}
    found = read_all_statistics(run)
    statistics = Statistics(found.slices, found.histogram, read_pattern_share(run), found.channels)
    fits = None if run.request.transforms else read_fits(run)
    transforms = decide(run.plan, files, statistics, fits, read_inputs(run), run.request)
    written = write_transforms(run, transforms)
    # of the whole request: gates and memory change no voxel, and are not among the declared settings
    try:
        check_gates(gates(transforms, run.plan, run.request))
        shapes = fix_shapes(run.request, run.plan, transforms)
        spec = cut_volume(shapes, run.plan, cutting_here(run.request))
        memory_mib = memory_of_volumes(spec, run.plan)
        refuse_too_large(memory_mib)
    except (GateStopped, UserError) as stop:
        # a person who decides whether to go on needs to see what was decided
        write_report(run, str(stop))
        # before the details, which messages of pods and mails may lose
        why, sign, details = str(stop).partition("\n    ")
        raise type(stop)(f"{why}\nthe report shows them: {run.store.url_of(layout.REPORT)}{sign}{details}") from stop
    lay_out(run, spec, transforms, written)
    write_report(run, ALIGNED)
    parts, flagged = parts_of_volumes(spec), len(transforms.flagged)
    return StepResult(parts=parts, memory_mib=memory_mib, published={"flagged": flagged})


def read_inputs(run: Run) -> Inputs:
    """What the user gave, as `plan` copied it."""
    user_inputs = run.store.document(UserInputs, layout.USER_INPUTS)
    if not run.request.transforms:
        return Inputs(user_inputs)
    return Inputs(user_inputs, run.store.document(Transforms, layout.IMPORTED_TRANSFORMS))


def write_transforms(run: Run, transforms: Transforms) -> list[ObjectRecord]:
    """Write transforms.json, and the same as a table for people."""
    table = transforms.to_csv().encode()
    return [run.store.write(layout.TRANSFORMS, transforms.to_bytes()), run.store.write(layout.TRANSFORMS_TABLE, table)]


def lay_out(run: Run, spec: VolumeSpec, transforms: Transforms, written: Sequence[ObjectRecord]) -> None:
    """Write volume.json, the planes of each unit of render and all metadata; delete what the volume no longer has.

    written: objects that belong to the same record.
    """
    before = run.store.intact(VolumeSpec, layout.VOLUME)
    # while volume.json still names the earlier shapes: a run that is killed here finds them again
    if before is not None and before != spec:
        remove_outgrown_objects(run.store, before, spec)
    units = ((layout.planes_name(slab), planes(spec, transforms, slab).to_bytes()) for slab in range(spec.slabs))
    record_whole(run, [
        *written,
        run.store.write(layout.VOLUME, spec.to_bytes()),
        *run.store.write_all(units),
        *Volumes(run.store, spec).create(attributes(run.request, transforms)),
    ])  # fmt: skip
    remove_outgrown_units(run, "volume")
    remove_former_records(run)


def lay_out_again(run: Run) -> None:
    """Write again what follows from transforms.json: its table, volume.json, the planes and all metadata."""
    spec, known = fix_shapes(run.request, run.plan, run.transforms), run.store.intact(VolumeSpec, layout.VOLUME)
    if known and known.model_copy(update=spec.work) == spec:
        # the parts of where it was made
        spec = known
    lay_out(run, spec, run.transforms, write_transforms(run, run.transforms))
