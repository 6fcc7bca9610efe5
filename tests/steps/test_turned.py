"""Slices that were turned, mirrored or magnified: named, and never in a volume that is called complete."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.errors import GateStopped
from tests.stacks import FIRST, Image, completion, demo_slices, request, run_here, write_stack

ODD, COUNT, SIDE = FIRST + 5, 10, 256
TURNS: dict[str, tuple[Callable[[Image], Image], str]] = {
    "by 180 degrees": (lambda image: image[::-1, ::-1], "turned against each other by 180 degrees"),
    "by 90 degrees": (np.rot90, "turned against each other by 90 degrees"),
    "mirrored": (lambda image: image[:, ::-1], "matches none of its neighbours"),
}


def stack(folder: Path, change: Callable[[Image], Image], changed: range) -> Path:
    slices = {z: change(image) if z in changed else image for z, image in demo_slices(COUNT, SIDE).items()}
    return write_stack(folder / "slices", slices)


@pytest.mark.parametrize("name", TURNS)
def test_a_slice_that_is_turned_is_bad_and_says_so(name: str, tmp_path: Path) -> None:
    change, reason = TURNS[name]
    with pytest.raises(GateStopped, match=rf"z {ODD} .*bad, .*{reason}"):
        run_here(request(stack(tmp_path, change, range(ODD, ODD + 1))), tmp_path / "out")


@pytest.mark.parametrize("name", TURNS)
def test_a_stack_that_is_turned_from_a_slice_on_has_a_break_there(name: str, tmp_path: Path) -> None:
    source = stack(tmp_path, TURNS[name][0], range(ODD, FIRST + COUNT))
    with pytest.raises(GateStopped, match=f"no fit crosses from z {ODD - 1} to z {ODD}"):
        run_here(request(source), tmp_path / "out")


def magnified(by: float) -> Callable[[Image], Image]:
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), 0, by)
    return lambda image: np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE)))


@pytest.mark.properties
@pytest.mark.parametrize(("by", "steps"), [(1.1, True), (1.015, True), (1.0, False)])
def test_a_step_of_the_magnification_is_said(by: float, steps: bool, tmp_path: Path) -> None:
    out = run_here(request(stack(tmp_path, magnified(by), range(ODD, FIRST + COUNT))), tmp_path / "out")
    done = completion(out)
    assert any(f"from z {ODD - 1} to z {ODD}, most of all" in note for note in done.notes) is steps
    assert done.status == ("complete_with_flags" if steps else "complete")
