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
from clio_argo.model.user_inputs import Overrides, Position, UserInputs, parse_overrides, parse_positions
from clio_argo.placement.imported import fit_canvas
from clio_argo.store.documents import Store, absolute_url, crc32c


def read_given(config: Request, plan: Plan) -> tuple[UserInputs, Transforms | None]:
    """Everything that the request's files say.

    Raises:
        UserError: names all problems of all files.
    """
    texts = {key: _text(key, name) for key in FILES if (name := getattr(config, key))}
    problems: list[str] = []
    positions, overrides, transforms = tuple[Position, ...](), Overrides(), None
    if "positions" in texts:
        positions, found = parse_positions(texts["positions"], config.positions or "", plan)
        problems += found
    if "overrides" in texts:
        overrides, found = parse_overrides(texts["overrides"], config.overrides or "", plan)
        problems += found
    if "transforms" in texts:
        transforms, found = parse_transforms(texts["transforms"], config.transforms or "", plan)
        problems += found
    if problems:
        raise UserError.all("the given files cannot be used:", problems)
    sums = {getattr(config, key): crc32c(text.encode()) for key, text in texts.items()}
    return UserInputs(positions=positions, overrides=overrides, files=sums), transforms


def _text(key: str, name: str) -> str:
    folder, _, file = name.rpartition("/")
    data = Store(folder or ("/" if name.startswith("/") else ".")).read(file)
    if data is None:
        raise UserError(f"{key} {name}: there is no such file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key} {name}: not a text file") from error


def located(config: Request) -> Request:
    """The request with names of files that hold wherever it is read."""
    names = {key: absolute_url(name).rstrip("/") for key in FILES if (name := getattr(config, key))}
    places = {key: place and absolute_url(place) for key, place in config.buckets}
    return config.model_copy(update={**names, "buckets": Buckets(**places)})


def write_given(
    store: Store, given: UserInputs, transforms: Transforms | None, units: Sequence[SliceUnit]
) -> list[ObjectRecord]:
    """Keep what was read under the run's root: later steps read nothing else, and a changed file is noticed."""
    written = [store.write(USER_INPUTS, given.to_bytes())]
    if transforms is None:
        store.delete(IMPORTED_TRANSFORMS)
        return written
    files = {s.z: s for u in units for s in u.slices}
    return [*written, store.write(IMPORTED_TRANSFORMS, fit_canvas(transforms, files).to_bytes())]
