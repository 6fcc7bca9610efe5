"""Reads the files that a person gives beside the slices: positions, overrides, transforms, a mask. Only `plan` does."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.import_transforms import parse_transforms
from clio_argo.model.layout import IGNORED, IMPORTED_TRANSFORMS, USER_INPUTS
from clio_argo.model.plan import Plan, SliceUnit
from clio_argo.model.request import FROM_FILES, Request
from clio_argo.model.run import ObjectRecord
from clio_argo.model.storage import Buckets
from clio_argo.model.user_inputs import Overrides, UserInputs, parse_overrides, parse_positions
from clio_argo.placement.imported import fit_canvas
from clio_argo.store import images
from clio_argo.store.documents import Store, absolute_url, crc32c
from clio_argo.store.images.base import Page, Undecodable, Unreadable
from clio_argo.store.reduced import read_arrays, write_arrays
from clio_argo.workspace.run import Run
from clio_argo.workspace.stage import stage_positions

MASK = "ignore_mask"


@dataclass(frozen=True)
class GivenFiles:
    """What the request's files say. ignored: bool [y, x], where the files are left out of the alignment."""

    user_inputs: UserInputs
    imported: Transforms | None = None
    ignored: NDArray[np.bool_] | None = None


def read_user_inputs(request: Request, plan: Plan, units: Sequence[SliceUnit]) -> GivenFiles:
    """Everything that the request's files say, and the stage's positions if it asks for them.

    Raises:
        UserError: names all problems of all files.
    """
    given = {key: (_bytes(key, name), name) for key, name in request.given_files.items()}
    files = {key: (_text(key, *of), of[1]) for key, of in given.items() if key != MASK}
    positions, bad_positions = parse_positions(*files["positions"], plan) if "positions" in files else ((), [])
    if request.positions == FROM_FILES:
        positions, bad_positions = stage_positions(plan, units)
    overrides, bad_overrides = parse_overrides(*files["overrides"], plan) if "overrides" in files else (Overrides(), [])
    transforms, bad_transforms = parse_transforms(*files["transforms"], plan) if "transforms" in files else (None, [])
    ignored, bad_mask = _read_mask(*given[MASK], plan) if MASK in given else (None, [])
    if problems := [*bad_positions, *bad_overrides, *bad_transforms, *bad_mask]:
        raise UserError.all("these files of the request cannot be used:", problems)
    checksums = {name: crc32c(data) for data, name in given.values()}
    return GivenFiles(UserInputs(positions=positions, overrides=overrides, files=checksums), transforms, ignored)


def read_mask(request: Request, plan: Plan) -> NDArray[np.bool_] | None:
    """Where the request's mask leaves files out of the alignment, bool [y, x]; None without one.

    Raises `UserError` if it cannot be used.
    """
    if request.ignore_mask is None:
        return None
    ignored, problems = _read_mask(_bytes(MASK, request.ignore_mask), request.ignore_mask, plan)
    if problems:
        raise UserError.all("these files of the request cannot be used:", problems)
    return ignored


def _read_mask(data: bytes, name: str, plan: Plan) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """The mask [y, x] of an image, and all problems of the file `name`."""
    try:
        header = images.read_headers(io.BytesIO(data), len(data))[0]
        # before anything is decoded: a header may promise gigabytes
        if (header.width, header.height) != (plan.width, plan.height):
            size = f"{header.width} x {header.height} pixels; the slices have {plan.width} x {plan.height}"
            return None, [f"{name}: {size}"]
        return images.decode(io.BytesIO(data), Page())[0] != 0, []
    except (Unreadable, Undecodable) as error:
        return None, [f"{name}: {error}"]


def _bytes(key: str, name: str) -> bytes:
    folder, _, file = name.rpartition("/")
    data = Store(folder or ("/" if name.startswith("/") else ".")).read(file)
    if data is None:
        raise UserError(f"{key} {name}: there is no such file")
    return data


def _text(key: str, data: bytes, name: str) -> str:
    try:
        # with or without a byte order mark, which spreadsheets write
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key} {name}: not a text file") from error


def resolved(request: Request, plan: Plan) -> Request:
    """The request with absolute names of files, buckets and source, and the voxel size that was found.

    It means the same wherever it is read, and whatever the files say later.
    """
    files = {key: absolute_url(name).rstrip("/") for key, name in request.given_files.items()}
    buckets = Buckets(**{key: url and absolute_url(url) for key, url in request.buckets})
    places = {**files, "buckets": buckets, "source": plan.source}
    return request.model_copy(update={**places, "resolution": plan.voxel_nm})


def write_user_inputs(store: Store, given: GivenFiles, units: Sequence[SliceUnit]) -> list[ObjectRecord]:
    """Write a copy of what the files say under the run's root."""
    # `solve` reads nothing else. A file that changed changes what it decides, and only the units of `render` whose
    # planes differ are rerun.
    written = [store.write(USER_INPUTS, given.user_inputs.to_bytes())]
    if given.ignored is None:
        store.delete(IGNORED)
    else:
        arrays = {"ignored": np.packbits(given.ignored), "shape": np.array(given.ignored.shape)}
        written.append(write_arrays(store, IGNORED, arrays))
    if given.imported is None:
        store.delete(IMPORTED_TRANSFORMS)
        return written
    files = {s.z: s for u in units for s in u.slices}
    return [*written, store.write(IMPORTED_TRANSFORMS, fit_canvas(given.imported, files).to_bytes())]


def read_ignored(run: Run) -> NDArray[np.bool_] | None:
    """Where the files are left out of the alignment, bool [y, x]; None without a mask."""
    if not run.settings.ignore_mask:
        return None
    arrays = read_arrays(run.store, IGNORED)
    height, width = (int(n) for n in arrays["shape"])
    return np.unpackbits(arrays["ignored"], count=height * width).reshape(height, width).astype(np.bool_)
