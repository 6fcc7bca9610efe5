"""Runs whose earlier stages are set by hand, so that one stage of a large stack can be measured by itself."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from clio_argo.kernels.render import on_canvas
from clio_argo.model.alignment import Floats, PlacedSlice, Transforms
from clio_argo.model.layout import CONFIG, PLAN, TRANSFORMS, VOLUME, planes_name
from clio_argo.model.plan import Plan
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import UnitRecord
from clio_argo.model.volume import Box, VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.placement.shapes import fix_shapes, planes
from clio_argo.runner import run_step
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.manifest import write_record
from clio_argo.store.volumes import Volumes, Voxels

METADATA = (".json", "info")


def planned(source: Path, url: Path, **settings: Any) -> Plan:
    """The real plan step on `source`."""
    config = Request(id="benchmark", source=str(source), image="iso.%05d.png", **settings)
    os.environ[REQUEST] = config.model_dump_json()
    run_step(PIPELINE["plan"], str(url), 0)
    return Store(str(url)).document(Plan, PLAN)


def solved(url: Path, matrix: Callable[[int], Floats]) -> VolumeSpec:
    """What `solve` leaves behind, with transforms as given: slice z goes where `matrix(z)` (3x3) says."""
    store = Store(str(url))
    config, plan = store.document(Request, CONFIG), store.document(Plan, PLAN)
    numbers = range(plan.minz, plan.maxz + 1)
    matrices, (width, height) = on_canvas(
        {z: matrix(z) for z in numbers}, dict.fromkeys(numbers, (plan.width, plan.height))
    )
    digests = _digests(Path(plan.source.removeprefix("file://")))
    slices = tuple(
        PlacedSlice(z=z, file=(name := f"iso.{z:05d}.png"), verdict="good", matrix=matrices[z], source_slices=(z,),
                    digest=digests[name]) for z in numbers)  # fmt: skip
    transforms = Transforms(width=width, height=height, slices=slices)
    store.write(TRANSFORMS, transforms.to_bytes())
    spec = laid_out(store, fix_shapes(config, plan, transforms))
    for unit in range(spec.render.units):
        store.write(planes_name(unit), planes(spec, transforms, unit).to_bytes())
    return spec


def _digests(folder: Path) -> dict[str, str]:
    """Digest of the pixels of every file; links to one file are decoded once."""
    import cv2

    seen: dict[int, str] = {}
    for file in folder.glob("*.png"):
        if (inode := file.stat().st_ino) not in seen:
            seen[inode] = crc32c(np.asarray(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)).tobytes())
    return {file.name: seen[file.stat().st_ino] for file in folder.glob("*.png")}


def laid_out(store: Store, spec: VolumeSpec) -> VolumeSpec:
    """Both volumes without a voxel."""
    store.write(VOLUME, spec.to_bytes())
    Volumes(store, spec).create({})
    return spec


def rendered(store: Store, spec: VolumeSpec, box: Box, voxels: Voxels) -> None:
    """What `render` leaves behind in `box` of scale 0: its shards, and the records of the slabs it touches."""
    objects = Volumes(store, spec).write_aligned(0, box, voxels)
    first = spec.scales[0].begin[0]
    for slab in range((box.begin[0] - first) // spec.slab, -(-(box.end[0] - first) // spec.slab)):
        write_record(store, UnitRecord(step="render", unit=slab, inputs="", objects=tuple(objects)))


def forget(url: Path, step: str, folders: Iterable[str] = ()) -> None:
    """Let `step` do its work again: its records are gone, and so are the shards in `folders`."""
    shutil.rmtree(url / "manifest" / step, ignore_errors=True)
    for folder in folders:
        for file in (url / folder).rglob("*"):
            if file.is_file() and not file.name.endswith(METADATA):
                file.unlink()
