"""What a person gives beside the slices: recorded positions, and corrections of what was decided."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from clio_argo.errors import UserError
from clio_argo.model.alignment import Matrix, PairFit, PlacedSlice, Transforms
from clio_argo.model.base import Document, Value
from clio_argo.model.plan import Plan
from clio_argo.model.request import parse_text
from clio_argo.model.treatment import placed_between

LONGEST_LIST = 20
LEAST_SCALE, MOST_SCALE = 0.5, 2.0
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class Position(Value):
    """Where the stage stood: the place of the slice's image frame on the canvas, in full-size pixels."""

    z: int
    x_px: float = Field(allow_inf_nan=False)
    y_px: float = Field(allow_inf_nan=False)


class SliceOverride(Value):
    """A person's verdict on a slice. bad: not shown, but its links stay. exclude: as though there were no file."""

    z: int
    verdict: Literal["good", "suspect", "bad"] | None = None
    exclude: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.verdict is None) != self.exclude:
            raise ValueError("give either a verdict or exclude: true")
        return self


class PairOverride(Value):
    """A person's link between slices z[0] < z[1]: the matrix takes a pixel of z[1] to z[0]. exclude: no link."""

    z: tuple[int, int]
    matrix: Matrix | None = None
    exclude: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.matrix is None) != self.exclude:
            raise ValueError("give either a matrix or exclude: true")
        if self.z[0] >= self.z[1]:
            raise ValueError("z: the lower slice comes first")
        if self.matrix is not None and (fault := absurdity(self.matrix)):
            raise ValueError(f"matrix: {fault}")
        return self

    @property
    def fit(self) -> PairFit:
        """The link as the fits hold it."""
        how = {"model": "none"} if self.exclude else {"model": "affine", "way": "person", "correlation": 1.0}
        reason = f"{'excluded' if self.exclude else 'set'} by hand: {self.reason}"
        return PairFit.model_validate(
            {"z0": self.z[0], "z1": self.z[1], "matrix": self.matrix, "reason": reason, **how}
        )


class Overrides(Value):
    """Corrections, applied where slices are placed; nothing is matched again."""

    slices: tuple[SliceOverride, ...] = ()
    pairs: tuple[PairOverride, ...] = ()

    def corrected(self, fits: Sequence[PairFit]) -> list[PairFit]:
        """The links with a person's in place of those of the same pairs, and none of slices that are excluded.

        Links of a slice that is called bad stay: they may be all that holds its neighbours together.
        """
        out = {s.z for s in self.slices if s.exclude}
        links = {**{(f.z0, f.z1): f for f in fits}, **{p.z: p.fit for p in self.pairs}}
        return [_without(out, f) for _, f in sorted(links.items())]

    @property
    def shown(self) -> set[int]:
        """Slices that a person calls good or suspect, whatever was found."""
        return {s.z for s in self.slices if s.verdict in ("good", "suspect")}

    def overruled(self, transforms: Transforms) -> Transforms:
        """The same places with a person's verdicts. A good slice that no link places lies between its neighbours.

        Raises:
            UserError: a slice that does not decode is called good.
        """
        own = {s.z: s for s in self.slices}
        lost = [f"z {s.z}: {s.reason}" for s in transforms.slices if s.z in own and _hopeless(s, own[s.z])]
        if lost:
            raise UserError.all(
                "overrides: slices whose pixels cannot be had are called good or suspect:", lost
            )
        good = {s.z: s.matrix for s in transforms.slices if s.matrix and not s.flagged and s.z not in own}
        slices = (_overruled(s, own[s.z], good) if s.z in own else s for s in transforms.slices)
        return transforms.model_copy(
            update={"slices": tuple(slices), "overrides": transforms.overrides + len(own) + len(self.pairs)}
        )


def _without(out: Set[int], fit: PairFit) -> PairFit:
    excluded = sorted(out & {fit.z0, fit.z1})
    reason = f"slice {excluded[0]} is excluded by hand" if excluded else ""
    return PairFit(z0=fit.z0, z1=fit.z1, reason=reason) if excluded else fit


def _hopeless(placed: PlacedSlice, own: SliceOverride) -> bool:
    return own.verdict in ("good", "suspect") and not placed.digest


def _overruled(placed: PlacedSlice, own: SliceOverride, good: Mapping[int, Matrix]) -> PlacedSlice:
    reason = f"by hand: {own.reason}"
    changed = placed.model_copy(
        update={"verdict": own.verdict or "missing", "reason": reason, "by_hand": True}
    )
    if own.exclude:
        return changed.model_copy(update={"matrix": None, "digest": ""})
    return placed_between(changed, good) if own.verdict != "bad" and not placed.matrix and good else changed


class Given(Document):
    """All of it, as `plan` read it, with the checksum of each file."""

    positions: tuple[Position, ...] = ()
    overrides: Overrides = Overrides()
    files: dict[str, str] = Field({}, description="CRC32C of each file, by its name.")

    @property
    def recorded(self) -> dict[int, tuple[float, float]]:
        """(x, y) in pixels by z."""
        return {p.z: (p.x_px, p.y_px) for p in self.positions}


def absurdity(matrix: Matrix) -> str | None:
    """What makes a matrix no transform of a slice onto its neighbours or the canvas."""
    array = np.array(matrix, np.float64)
    if not np.isfinite(array).all():
        return "holds a value that is no finite number"
    scales = np.linalg.svd(array[:, :2], compute_uv=False)
    if scales[-1] < 1e-6:
        return "is singular"
    if np.linalg.det(array[:, :2]) < 0:
        return "mirrors the slice"
    if scales[0] > MOST_SCALE or scales[-1] < LEAST_SCALE:
        return f"scales by {scales[-1]:.3g} to {scales[0]:.3g}; matrices are in full-size pixels, and scale by about 1"
    return None


def parse_positions(text: str, name: str, plan: Plan) -> tuple[tuple[Position, ...], list[str]]:
    """Positions of a CSV file with the columns z, x_px, y_px, and all that is wrong with it."""
    found: list[Position] = []
    problems: list[str] = []
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    if list(reader.fieldnames or ()) != ["z", "x_px", "y_px"]:
        return (), [f"{name}: the first line must be z,x_px,y_px (it is {','.join(reader.fieldnames or ())})"]
    for row in reader:
        try:
            found.append(Position.model_validate({k: v for k, v in row.items() if k}))
        except ValidationError as error:
            problems += [f"{name} line {reader.line_num}: {line}" for line in messages(error)]
    usable = [z for z in range(plan.minz, plan.maxz + 1) if z not in plan.unusable]
    problems += among(name, [p.z for p in found], plan)
    problems += listed(f"{name}: no position of slices", sorted(set(usable) - {p.z for p in found}))
    return tuple(found), problems


def parse_overrides(text: str, name: str, plan: Plan) -> tuple[Overrides, list[str]]:
    """Overrides of a YAML file, and all that is wrong with it."""
    try:
        overrides = Overrides.model_validate(parse_text(text, name))
    except ValidationError as error:
        return Overrides(), [f"{name}: {line}" for line in messages(error)]
    except UserError as error:
        return Overrides(), [str(error)]
    own = [s.z for s in overrides.slices]
    problems = among(name, own, plan)
    problems += among(name, [z for p in overrides.pairs for z in set(p.z)], plan, repeated=False)
    problems += [
        f"{name}: the pair {z} is given twice"
        for z, n in Counter(p.z for p in overrides.pairs).items()
        if n > 1
    ]
    good = [s.z for s in overrides.slices if s.verdict in ("good", "suspect") and s.z in plan.unusable]
    return overrides, [*problems, *listed(f"{name}: called good or suspect, but not usable: slices", good)]


def among(name: str, numbers: Sequence[int], plan: Plan, repeated: bool = True) -> list[str]:
    """What is wrong with slice numbers that a file gives for this stack."""
    twice = [z for z, n in Counter(numbers).items() if n > 1] if repeated else []
    unknown = sorted({z for z in numbers if not plan.minz <= z <= plan.maxz})
    stack = f"(the stack has z {plan.minz} to {plan.maxz})"
    return [
        *listed(f"{name}: given more than once: slices", twice),
        *(f"{line} {stack}" for line in listed(f"{name}: unknown slices", unknown)),
    ]


def listed(what: str, numbers: Sequence[int]) -> Iterator[str]:
    """One line that names slices, if there are any."""
    if numbers:
        more = f" and {len(numbers) - LONGEST_LIST} more" if len(numbers) > LONGEST_LIST else ""
        yield f"{what} {', '.join(map(str, numbers[:LONGEST_LIST]))}{more}"


def messages(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        key = ".".join(map(str, item["loc"]))
        yield f"{key}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": ")
