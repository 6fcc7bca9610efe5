"""Reads the files that a person gives beside the slices: positions, overrides, transforms. Only `plan` does."""

from collections.abc import Sequence

from clio_argo.errors import UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.import_transforms import parse_transforms
from clio_argo.model.layout import IMPORTED_TRANSFORMS, USER_INPUTS
from clio_argo.model.plan import Plan, SliceUnit
from clio_argo.model.request import FILES, Request
from clio_argo.model.run import ObjectRecord
from clio_argo.model.storage import Buckets
from clio_argo.model.user_inputs import Overrides, UserInputs, parse_overrides, parse_positions
from clio_argo.placement.imported import fit_canvas
from clio_argo.store.documents import Store, absolute_url, crc32c


def read_user_inputs(request: Request, plan: Plan) -> tuple[UserInputs, Transforms | None]:
    """Everything that the request's files say.

    Raises:
        UserError: names all problems of all files.
    """
    files = {key: (_text(key, name), name) for key in FILES if (name := getattr(request, key))}
    positions, bad_positions = parse_positions(*files["positions"], plan) if "positions" in files else ((), [])
    overrides, bad_overrides = parse_overrides(*files["overrides"], plan) if "overrides" in files else (Overrides(), [])
    transforms, bad_transforms = parse_transforms(*files["transforms"], plan) if "transforms" in files else (None, [])
    if problems := [*bad_positions, *bad_overrides, *bad_transforms]:
        raise UserError.all("these files of the request cannot be used:", problems)
    checksums = {name: crc32c(text.encode()) for text, name in files.values()}
    return UserInputs(positions=positions, overrides=overrides, files=checksums), transforms


def _text(key: str, name: str) -> str:
    folder, _, file = name.rpartition("/")
    data = Store(folder or ("/" if name.startswith("/") else ".")).read(file)
    if data is None:
        raise UserError(f"{key} {name}: there is no such file")
    try:
        # with or without a byte order mark, which spreadsheets write
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key} {name}: not a text file") from error


def with_absolute_names(request: Request, source: str) -> Request:
    """The request with absolute names of files, buckets and `source`, which mean the same wherever they are read."""
    files = {key: absolute_url(name).rstrip("/") for key in FILES if (name := getattr(request, key))}
    buckets = {key: url and absolute_url(url) for key, url in request.buckets}
    return request.model_copy(update={**files, "buckets": Buckets(**buckets), "source": source})


def write_user_inputs(
    store: Store, user_inputs: UserInputs, transforms: Transforms | None, units: Sequence[SliceUnit]
) -> list[ObjectRecord]:
    """Write a copy of what the files say under the run's root."""
    # `solve` reads nothing else. A file that changed changes what it decides, and only the units of `render` whose
    # planes differ are rerun.
    written = [store.write(USER_INPUTS, user_inputs.to_bytes())]
    if transforms is None:
        store.delete(IMPORTED_TRANSFORMS)
        return written
    files = {s.z: s for u in units for s in u.slices}
    return [*written, store.write(IMPORTED_TRANSFORMS, fit_canvas(transforms, files).to_bytes())]
