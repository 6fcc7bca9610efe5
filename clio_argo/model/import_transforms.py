"""Transforms of this stack from an earlier run or from another tool."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clio_argo.errors import UserError
from clio_argo.model.alignment import Matrix, PlacedSlice, Transforms, to_matrix
from clio_argo.model.base import UNREADABLE, counted
from clio_argo.model.plan import Plan
from clio_argo.model.user_inputs import matrix_fault, name_slices, number_problems

COLUMNS = ("a", "b", "tx", "c", "d", "ty")
PREDECESSOR = re.compile(r"\s*(\d+)\s*,\s*'?\[(.*)\]'?\s*")
FORMATS = (
    "expected transforms.json or .csv of a run, those of clio_ingest, or a CSV file with the columns "
    f"z,{','.join(COLUMNS)}"
)


def parse_transforms(text: str, name: str, plan: Plan) -> tuple[Transforms, list[str]]:
    """Transforms of slices from the file `name`, and all problems of the file.

    A width of 0 means that the canvas is not fixed yet: matrices of other tools need not start at (0, 0).
    """
    try:
        # by content: predecessors and users name such files as they like
        transforms = _from_json(json.loads(text), name) if text.lstrip()[:1] == "{" else _from_csv(text)
    except (UserError, *UNREADABLE) as error:
        return Transforms(width=0, height=0, slices=()), [f"{name}: {error}"]
    return transforms, _faults(transforms, name, plan)


def _faults(transforms: Transforms, name: str, plan: Plan) -> list[str]:
    numbers = [s.z for s in transforms.slices]
    # a run calls a slice suspect that it has turned back
    faults = ((s.z, matrix_fault(s.matrix, s.verdict == "suspect")) for s in transforms.slices if s.matrix is not None)
    lost = [s.z for s in transforms.slices if s.matrix is None and not s.flagged]
    return [
        # a run of a part of the stack may use transforms of the whole
        *(p for p in number_problems(name, numbers, plan) if "unknown" not in p),
        *name_slices(f"{name}: no transform of slices", sorted(set(plan.usable_numbers) - set(numbers))),
        *name_slices(f"{name}: neither a matrix nor a verdict of bad or missing: slices", lost),
        *(f"{name}: the matrix of slice {z} {fault}" for z, fault in faults if fault),
    ]


def _from_json(raw: Any, name: str) -> Transforms:
    if "slices" in raw:
        return Transforms.from_bytes(json.dumps(raw).encode(), name)
    return _transforms({int(z): _predecessor_matrix(numbers) for z, numbers in raw.items()})


def _from_csv(text: str) -> Transforms:
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [m for line in lines if (m := PREDECESSOR.fullmatch(line))]
    if lines and len(rows) == len(lines):
        return _join([_transforms({int(m[1]): _predecessor_matrix(list(map(float, m[2].split(","))))}) for m in rows])
    reader = csv.DictReader(lines, skipinitialspace=True)
    if not {"z", *COLUMNS} <= set(reader.fieldnames or ()):
        raise UserError(FORMATS)
    return _join([_row(row, reader.line_num) for row in reader])


def _row(row: Mapping[str, str], line: int) -> Transforms:
    try:
        z, numbers = int(row["z"]), [row[c] for c in COLUMNS]
        matrix = to_matrix(np.array(numbers, np.float64).reshape(2, 3)) if any(numbers) else None
    except UNREADABLE as error:
        raise UserError(f"line {line}: not the numbers of a transform ({error})") from error
    return _transforms({z: matrix}, row.get("verdict") or "good")


def _join(parts: Sequence[Transforms]) -> Transforms:
    return Transforms(width=0, height=0, slices=tuple(s for p in parts for s in p.slices))


def _transforms(matrices: Mapping[int, Matrix | None], verdict: str = "good") -> Transforms:
    reasons = {z: "" if m else f"{verdict} in the imported transforms" for z, m in matrices.items()}
    slices = [
        {"z": z, "file": None, "verdict": verdict, "matrix": m, "source_slices": (z,), "reason": reasons[z]}
        for z, m in matrices.items()
    ]
    return Transforms(width=0, height=0, slices=tuple(map(PlacedSlice.model_validate, slices)))


def _predecessor_matrix(numbers: Sequence[float]) -> Matrix:
    """A matrix of clio_ingest: six numbers by column, which map corners of images instead of centres of pixels."""
    if len(numbers) != 6:
        raise UserError(f"{counted(len(numbers), 'number')} instead of 6")
    linear, offset = np.array(numbers[:4], np.float64).reshape(2, 2).T, np.array(numbers[4:], np.float64)
    half = np.array([0.5, 0.5])
    return to_matrix(np.hstack([linear, (offset + linear @ half - half)[:, None]]))
