"""Decides where every slice lies and which are bad, and fixes the shapes of both volumes."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clio_argo.errors import GateStopped, UserError
from clio_argo.kernels.features import percentiles
from clio_argo.kernels.flicker import evened
from clio_argo.kernels.render import on_canvas
from clio_argo.kernels.solve import identities, solve_stack
from clio_argo.kernels.verdicts import alignable, judge, not_placed
from clio_argo.kernels.window import invert_window
from clio_argo.model.alignment import (
    Matrix,
    PairFit,
    PlacedSlice,
    Planes,
    Remark,
    SliceFacts,
    Transforms,
    Verdict,
)
from clio_argo.model.config import Crop, IngestConfig
from clio_argo.model.formats import thumbnails
from clio_argo.model.given import Given
from clio_argo.model.grid import build_volume
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.run import ObjectRecord
from clio_argo.model.treatment import treated
from clio_argo.model.volume import VolumeSpec, Zyx, zyx
from clio_argo.steps.base import TRANSFORMS, VOLUME, Outputs, Run, planes_name, record_whole
from clio_argo.steps.fits import read_fits
from clio_argo.steps.gates import check_gates, gates
from clio_argo.steps.given import GIVEN, GIVEN_TRANSFORMS, taken_over
from clio_argo.steps.pods import memory_of_volumes, refuse_too_large, solve_outputs
from clio_argo.steps.reduce import read_all_facts
from clio_argo.steps.report import ALIGNED, write_report
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes, expected_objects

WINDOW = (0.005, 0.995)
TOP = {"uint8": 255, "uint16": 65535}


def run(run: Run, part: int) -> Outputs:
    """Write transforms.json and .csv, the planes of each unit of render, volume.json and all metadata."""
    plan, config = run.plan, run.request
    facts, counts = read_all_facts(run)
    files = {s.z: s for unit in run.all_slices for s in unit.slices}
    given = run.store.document(Given, GIVEN)
    if config.transforms:
        placed = taken_over(run.store.document(Transforms, GIVEN_TRANSFORMS), plan, files, facts)
    else:
        placed = place_all(plan, files, facts, read_fits(run), given, config.alignment.anchor)
    placed = placed.model_copy(
        update={"window": _window(config, plan, placed, counts), "sources": given.files}
    )
    shown = treated(given.overrides.overruled(placed), config.bad_slices)
    transforms = evened(shown, facts, config.contrast.flicker)
    placed_now = write_transforms(run.store, transforms)
    try:
        check_gates(gates(transforms, plan, config))
        spec = fix_shapes(config, plan, transforms)
        refuse_too_large(memory_of_volumes(spec))
    except (GateStopped, UserError) as stop:
        write_report(run, str(stop))
        raise
    write_report(run, ALIGNED)
    remove_outgrown(run.store, spec)
    record_whole(run, [*placed_now, *lay_out(run.store, spec, config, transforms)])
    return {**solve_outputs(spec), "flagged": len(transforms.flagged)}


def write_transforms(store: Store, transforms: Transforms) -> list[ObjectRecord]:
    return [
        store.write(TRANSFORMS, transforms.to_bytes()),
        store.write("transforms.csv", as_csv(transforms).encode()),
    ]


def lay_out(
    store: Store, spec: VolumeSpec, config: IngestConfig, transforms: Transforms
) -> list[ObjectRecord]:
    """Write volume.json, the planes of each unit of render, and all metadata of both volumes."""
    return [
        store.write(VOLUME, spec.to_bytes()),
        *write_planes(store, spec, transforms),
        *Volumes(store, spec).create(_attributes(config, transforms)),
    ]


def lay_out_again(run: Run) -> None:
    """Write anew what follows from transforms.json: its CSV, volume.json, the planes and all metadata."""
    transforms = run.transforms
    spec = fix_shapes(run.request, run.plan, transforms)
    written = write_transforms(run.store, transforms)
    record_whole(run, [*written, *lay_out(run.store, spec, run.request, transforms)])


def place_all(
    plan: Plan,
    files: Mapping[int, SliceFile],
    facts: Sequence[SliceFacts],
    fits: Sequence[PairFit] | None,
    given: Given,
    anchor: bool,
) -> Transforms:
    """One verdict and one place for every z of the plan."""
    remarks = judge(facts, fits)
    if fits is None:
        placed = identities([f.z for f in facts if f.error is None], given.recorded)
    else:
        fits = given.overrides.corrected(fits)
        usable = alignable(facts, remarks, given.overrides.shown)
        placed = solve_stack(usable, fits, plan.width, plan.height, given.recorded, anchor)
    matrices, (width, height) = on_canvas(placed.placed, {z: f.size for z, f in files.items()})
    remarks = {**remarks, **not_placed(placed, fits or []), **_unusable(plan)}
    digests = {f.z: f.digest for f in facts}
    return Transforms(
        width=width,
        height=height,
        breaks=placed.breaks,
        jumps=placed.jumps,
        fits=tuple(fits or ()),
        slices=tuple(
            _placed(z, files.get(z), matrices.get(z), remarks.get(z), digests.get(z, ""))
            for z in range(plan.minz, plan.maxz + 1)
        ),
    )


def _placed(
    z: int, file: SliceFile | None, matrix: Matrix | None, remark: Remark | None, pixels: str
) -> PlacedSlice:
    return PlacedSlice(
        z=z,
        file=file.name if file else None,
        page=file.page if file else 0,
        verdict=remark.verdict if remark else "good",
        reason=remark.reason if remark else "",
        matrix=matrix,
        shown=(z,),
        digest=pixels,
    )


def _unusable(plan: Plan) -> dict[int, Remark]:
    """Slices that are not there, or that `plan` found unusable."""
    kinds: dict[str, Verdict] = {"missing": "missing"}
    return {z: Remark(z=z, verdict=kinds.get(p.kind, "bad"), reason=f"{p.kind} {p.detail}".strip())
            for z, p in plan.unusable.items()}  # fmt: skip


def _window(
    config: IngestConfig, plan: Plan, placed: Transforms, counts: "np.ndarray"
) -> tuple[float, float] | None:
    """Grey values of the files shown as black and white, fixed once for the stack."""
    if config.viewer.window is not None or plan.dtype == "uint8":
        return config.viewer.window
    if placed.window is not None:
        return placed.window
    low, high = percentiles(counts, WINDOW)
    return low, max(high, low + 1)


def fix_shapes(config: IngestConfig, plan: Plan, transforms: Transforms) -> VolumeSpec:
    """All shapes of both volumes."""
    begin, size = cropped(config.crop, plan, transforms)
    return build_volume(config, begin, size, plan.dtype, _viewer_window(config, plan, transforms))


def cropped(crop: Crop, plan: Plan, transforms: Transforms) -> tuple[Zyx, Zyx]:
    """Begin and size (z, y, x) of the part of the canvas that is written.

    Raises:
        UserError: the crop is not on the canvas.
    """
    whole = ((plan.minz, plan.maxz), (0, transforms.height - 1), (0, transforms.width - 1))
    asked = [a or w for a, w in zip((crop.z, crop.y, crop.x), whole, strict=True)]
    outside = [f"crop.{axis} {a[0]} to {a[1]}: the canvas has {w[0]} to {w[1]}"
               for axis, a, w in zip("zyx", asked, whole, strict=True) if a[0] < w[0] or a[1] > w[1]]  # fmt: skip
    if outside:
        raise UserError.all("the crop does not lie on the canvas:", outside)
    return zyx(low for low, _ in asked), zyx(high - low + 1 for low, high in asked)


def remove_outgrown(store: Store, spec: VolumeSpec) -> None:
    """Delete what an earlier volume of this run had and this one has not."""
    before = store.intact(VolumeSpec, VOLUME)
    if before is not None and before != spec:
        kept = {*expected_objects(spec), *thumbnails(spec)}
        for name in {*expected_objects(before), *thumbnails(before)} - kept:
            store.delete(name)


def write_planes(store: Store, spec: VolumeSpec, transforms: Transforms) -> list[ObjectRecord]:
    """One document per unit of render: what it shows, and where."""
    return [
        store.write(planes_name(u), _planes(spec, transforms, u).to_bytes()) for u in range(spec.render.units)
    ]


def _planes(spec: VolumeSpec, transforms: Transforms, unit: int) -> Planes:
    box = spec.slab_box(unit)
    shown = tuple(transforms.shown(z) for z in range(box.begin[0], box.end[0]))
    return Planes(window=transforms.window, shown=shown)


def _viewer_window(config: IngestConfig, plan: Plan, transforms: Transforms) -> tuple[float, float] | None:
    """The window in stored values: contrast has spread it already, inversion turned it."""
    if transforms.window is None or config.contrast.clip_limit:
        return None
    return invert_window(transforms.window, TOP[plan.dtype]) if config.contrast.invert else transforms.window


def _attributes(config: IngestConfig, transforms: Transforms) -> dict[str, Any]:
    return {
        "contrast": config.contrast.model_dump(),
        "window": transforms.window,
        "bad_slices": config.bad_slices,
        "flagged": [s.z for s in transforms.flagged],
        "suspect": [s.z for s in transforms.suspect],
        "replaced": transforms.replaced,
    }


def as_csv(transforms: Transforms) -> str:
    """z, file, verdict, what is shown and the six numbers of the matrix, one line a slice."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["z", "file", "verdict", "shown", "a", "b", "tx", "c", "d", "ty"])
    for s in transforms.slices:
        numbers = [v for row in s.matrix for v in row] if s.matrix else [""] * 6
        writer.writerow([s.z, s.file or "", s.verdict, " ".join(map(str, s.shown)), *numbers])
    return text.getvalue()
