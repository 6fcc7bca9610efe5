"""Reads the files that a person gives beside the slices: positions, overrides, transforms. Only `plan` does."""

from collections.abc import Mapping, Sequence

import numpy as np

from clio_argo.errors import UserError
from clio_argo.kernels.render import on_canvas
from clio_argo.model.alignment import PlacedSlice, SliceFacts, Transforms
from clio_argo.model.config import FILES, IngestConfig
from clio_argo.model.given import Given, Overrides, Position, parse_overrides, parse_positions
from clio_argo.model.intake import parse_transforms
from clio_argo.model.places import Buckets
from clio_argo.model.plan import FanOut, Plan, SliceFile, SliceUnit
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store, absolute_url, crc32c

GIVEN, GIVEN_TRANSFORMS = "given.json", "given/transforms.json"


def read_given(config: IngestConfig, plan: Plan) -> tuple[Given, Transforms | None]:
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
    return Given(positions=positions, overrides=overrides, files=sums), transforms


def _text(key: str, name: str) -> str:
    folder, _, file = name.rpartition("/")
    data = Store(folder or ("/" if name.startswith("/") else ".")).read(file)
    if data is None:
        raise UserError(f"{key} {name}: there is no such file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{key} {name}: not a text file") from error


def located(config: IngestConfig) -> IngestConfig:
    """The request with names of files that hold wherever it is read."""
    names = {key: absolute_url(name).rstrip("/") for key in FILES if (name := getattr(config, key))}
    places = {key: place and absolute_url(place) for key, place in config.buckets}
    return config.model_copy(update={**names, "buckets": Buckets(**places)})


def without_alignment(plan: Plan, config: IngestConfig, transforms: Transforms | None) -> Plan:
    """The plan without what transforms that are given make needless: fits, and facts where they are all known."""
    if transforms is None:
        return plan
    known = {s.z for s in transforms.slices if s.flagged or s.digest}
    facts = config.contrast.flicker or {z for z in _usable(plan) if z not in known}
    window = plan.dtype == "uint8" or config.viewer.window or transforms.window
    none = FanOut(units=0, parts=0)
    needless = {"match": none, **({} if facts or not window else {"reduce": none})}
    return plan.model_copy(update=needless)


def _usable(plan: Plan) -> list[int]:
    return [z for z in range(plan.minz, plan.maxz + 1) if z not in plan.unusable]


def write_given(
    store: Store, given: Given, transforms: Transforms | None, units: Sequence[SliceUnit]
) -> list[ObjectRecord]:
    """Keep what was read under the run's root: later steps read nothing else, and a changed file is noticed."""
    written = [store.write(GIVEN, given.to_bytes())]
    if transforms is None:
        store.delete(GIVEN_TRANSFORMS)
        return written
    files = {s.z: s for u in units for s in u.slices}
    return [*written, store.write(GIVEN_TRANSFORMS, _fixed(transforms, files).to_bytes())]


def _fixed(transforms: Transforms, files: Mapping[int, SliceFile]) -> Transforms:
    """The same transforms on a canvas that begins at (0, 0), if they have none."""
    if transforms.width:
        return transforms
    placed = {s.z: np.array(s.matrix) for s in transforms.slices if s.matrix and s.z in files}
    matrices, (width, height) = on_canvas(placed, {z: f.size for z, f in files.items()})
    slices = tuple(s.model_copy(update={"matrix": matrices.get(s.z)}) for s in transforms.slices)
    return transforms.model_copy(update={"width": width, "height": height, "slices": slices})


def taken_over(
    given: Transforms, plan: Plan, files: Mapping[int, SliceFile], facts: Sequence[SliceFacts]
) -> Transforms:
    """Given places for every z of the plan; slices that cannot be used now are flagged, whatever they were then."""
    then, seen = {s.z: s for s in given.slices}, {f.z: f for f in facts}
    numbers = range(plan.minz, plan.maxz + 1)
    slices = tuple(_taken_over(z, then.get(z), plan, files.get(z), seen.get(z)) for z in numbers)
    return given.model_copy(update={"slices": slices})


def _taken_over(
    z: int, then: PlacedSlice | None, plan: Plan, file: SliceFile | None, fact: SliceFacts | None
) -> PlacedSlice:
    now = {
        "z": z,
        "file": file.name if file else None,
        "page": file.page if file else 0,
        "shown": (z,),
        "grey": None,
    }
    if then is None or file is None:
        problem = plan.unusable[z]
        verdict = "missing" if problem.kind == "missing" else "bad"
        reason = f"{problem.kind} {problem.detail}".strip()
        return PlacedSlice.model_validate({**now, "verdict": verdict, "reason": reason, "matrix": None})
    kept = then.model_copy(
        update={**now, "digest": fact.digest if fact else then.digest, "placed_by": "given"}
    )
    if fact is not None and fact.error is not None:
        return kept.model_copy(update={"verdict": "bad", "reason": fact.error, "matrix": None})
    return kept
