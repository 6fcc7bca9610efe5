"""What the user provides beside the slices: recorded positions and manual corrections."""

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

# slice numbers that a line of text holds
LONGEST_LIST = 20
# slices of a stack have one magnification; what scales by 2 is a matrix of reduced pixels
LEAST_SCALE, MOST_SCALE = 0.5, 2.0
# a slice of 100,000 px would be 0.1 px wide
SINGULAR = 1e-6
Reason = Annotated[str, Field(min_length=1, max_length=500)]


# reasons of manual corrections start so, and hold "by hand: " in runs of version 0.1; the report finds pairs by it
MANUAL, FORMER_MANUAL = "manual: ", "by hand: "


class Position(Value):
    """Recorded stage position: where the slice's image frame lies on the canvas, in full-size pixels."""

    z: int
    x_px: float = Field(allow_inf_nan=False)
    y_px: float = Field(allow_inf_nan=False)


class SliceOverride(Value):
    """A manual verdict on a slice. bad: not shown, but its fits stay. exclude: as if the file did not exist."""

    z: int
    verdict: Literal["good", "suspect", "bad"] | None = None
    exclude: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.verdict is None) != self.exclude:
            raise ValueError("give either a verdict or exclude: true")
        return self


class PairOverride(Value):
    """A manual fit of slices z[0] < z[1]: the matrix maps a pixel of z[1] to z[0]. exclude: the pair has no fit."""

    z: tuple[int, int]
    matrix: Matrix | None = None
    exclude: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.matrix is None) != self.exclude:
            raise ValueError("give either a matrix or exclude: true")
        if self.z[0] >= self.z[1]:
            raise ValueError("z: the lower slice comes first")
        if self.matrix is not None and (fault := matrix_fault(self.matrix)):
            raise ValueError(f"matrix: {fault}")
        return self

    @property
    def fit(self) -> PairFit:
        """The override in the form of a measured fit."""
        z0, z1 = self.z
        if self.exclude:
            return PairFit(z0=z0, z1=z1, reason=f"{MANUAL}excluded, {self.reason}")
        # correlation 1: no measured fit of the same slices weighs more
        reason = f"{MANUAL}{self.reason}"
        return PairFit(
            z0=z0, z1=z1, matrix=self.matrix, model="affine", method="manual", correlation=1.0, reason=reason
        )


class Overrides(Value):
    """Manual corrections, applied where slices are placed; nothing is matched again."""

    slices: tuple[SliceOverride, ...] = ()
    pairs: tuple[PairOverride, ...] = ()

    @property
    def usable(self) -> set[int]:
        """Slices that the user calls good or suspect, whatever the measures say."""
        return {s.z for s in self.slices if s.verdict in ("good", "suspect")}


class UserInputs(Document):
    """All files that the user provides, as `plan` read them."""

    # a changed file changes this document and so the places of slices; only planes that differ are rendered again

    positions: tuple[Position, ...] = ()
    overrides: Overrides = Overrides()
    files: dict[str, str] = Field({}, description="CRC32C of each file, by its name.")

    @property
    def recorded(self) -> dict[int, tuple[float, float]]:
        """Recorded positions (x, y) in full-size pixels, by z."""
        return {p.z: (p.x_px, p.y_px) for p in self.positions}


def matrix_fault(matrix: Matrix, mirrored: bool = False) -> str | None:
    """Why a matrix cannot place a slice on its neighbour or the canvas; None if it can.

    mirrored: whether it may turn a slice back that was mirrored.
    """
    array = np.array(matrix, np.float64)
    if not np.isfinite(array).all():
        return "holds an infinite value or NaN"
    scales = np.linalg.svd(array[:, :2], compute_uv=False)
    if scales[-1] < SINGULAR:
        return "is singular"
    if np.linalg.det(array[:, :2]) < 0 and not mirrored:
        return "mirrors the slice"
    if scales[0] > MOST_SCALE or scales[-1] < LEAST_SCALE:
        return f"scales by {scales[-1]:.3g} to {scales[0]:.3g}; matrices are in full-size pixels, and scale by about 1"
    return None


def parse_positions(text: str, name: str, plan: Plan) -> tuple[tuple[Position, ...], list[str]]:
    """Positions of a CSV file with the columns z, x_px, y_px, and all problems of the file `name`."""
    positions: list[Position] = []
    problems: list[str] = []
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        if list(reader.fieldnames or ()) != ["z", "x_px", "y_px"]:
            return (), [f"{name}: the first line must be z,x_px,y_px (it is {','.join(reader.fieldnames or ())[:200]})"]
        for row in reader:
            try:
                positions.append(Position.model_validate({k: v for k, v in row.items() if k}))
            except ValidationError as error:
                problems += [f"{name} line {reader.line_num}: {line}" for line in messages(error)]
    except csv.Error as error:
        return (), [f"{name} line {reader.line_num + 1}: {error}"]
    numbers = [p.z for p in positions]
    problems += number_problems(name, numbers, plan)
    problems += name_slices(f"{name}: no position of slices", sorted(set(plan.usable_numbers) - set(numbers)))
    return tuple(positions), problems


def parse_overrides(text: str, name: str, plan: Plan) -> tuple[Overrides, list[str]]:
    """Overrides of a YAML file, and all problems of the file `name`."""
    try:
        overrides = Overrides.model_validate(parse_text(text, name))
    except ValidationError as error:
        return Overrides(), [f"{name}: {line}" for line in messages(error)]
    except UserError as error:
        return Overrides(), [str(error)]
    pairs = Counter(p.z for p in overrides.pairs)
    problems = number_problems(name, [s.z for s in overrides.slices], plan)
    problems += number_problems(name, sorted({z for pair in pairs for z in pair}), plan)
    problems += [f"{name}: the pair {pair} is given more than once" for pair, n in pairs.items() if n > 1]
    lost = sorted(overrides.usable & plan.unusable.keys())
    return overrides, [*problems, *name_slices(f"{name}: called good or suspect, but not usable: slices", lost)]


def number_problems(name: str, numbers: Sequence[int], plan: Plan) -> list[str]:
    """Problems of slice numbers in the file `name`: given more than once, or not in the stack."""
    repeated = [z for z, n in Counter(numbers).items() if n > 1]
    unknown = sorted({z for z in numbers if not plan.minz <= z <= plan.maxz})
    stack = f"(the stack has z {plan.minz} to {plan.maxz})"
    return [
        *name_slices(f"{name}: given more than once: slices", repeated),
        *(f"{line} {stack}" for line in name_slices(f"{name}: unknown slices", unknown)),
    ]


def name_slices(what: str, numbers: Sequence[int]) -> Iterator[str]:
    """One line that names slices, if there are any."""
    if numbers:
        more = f" and {len(numbers) - LONGEST_LIST} more" if len(numbers) > LONGEST_LIST else ""
        yield f"{what} {', '.join(map(str, numbers[:LONGEST_LIST]))}{more}"


def messages(error: ValidationError) -> Iterator[str]:
    """One line per problem of a document, with the key that it concerns."""
    for item in error.errors():
        key = ".".join(map(str, item["loc"]))
        yield f"{key}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": ")
