"""What a person gives beside the slices: recorded positions, and corrections of what was decided."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from clio_argo.errors import UserError
from clio_argo.model.alignment import Matrix, PairFit
from clio_argo.model.base import Document, Value
from clio_argo.model.parse_request import parse_text
from clio_argo.model.plan import Plan

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
        how = {"model": "none"} if self.exclude else {"model": "affine", "method": "manual", "correlation": 1.0}
        reason = f"{'excluded' if self.exclude else 'set'} by hand: {self.reason}"
        return PairFit.model_validate(
            {"z0": self.z[0], "z1": self.z[1], "matrix": self.matrix, "reason": reason, **how}
        )


class Overrides(Value):
    """Corrections, applied where slices are placed; nothing is matched again."""

    slices: tuple[SliceOverride, ...] = ()
    pairs: tuple[PairOverride, ...] = ()

    @property
    def usable(self) -> set[int]:
        """Slices that a person calls good or suspect, whatever was found."""
        return {s.z for s in self.slices if s.verdict in ("good", "suspect")}


class UserInputs(Document):
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
    problems += among(name, [p.z for p in found], plan)
    problems += listed(f"{name}: no position of slices", sorted(set(plan.usable_numbers) - {p.z for p in found}))
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
        f"{name}: the pair {z} is given twice" for z, n in Counter(p.z for p in overrides.pairs).items() if n > 1
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
