"""Slices that were turned, mirrored or magnified: named, and never in a volume that is called complete."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.errors import GateStopped
from tests.stacks import FIRST, Image, completion, demo_slices, lossless, request, run_here, transforms, write_stack

ODD, COUNT, SIDE = FIRST + 5, 10, 256
TURNS: dict[str, Callable[[Image], Image]] = {
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "turned by 90 degrees": np.rot90,
    "mirrored": lambda image: image[:, ::-1],
}
# one of them in every run of the tests
FEW = [pytest.param(name, marks=[] if name == "mirrored" else pytest.mark.properties) for name in TURNS]


def stack(folder: Path, change: Callable[[Image], Image], changed: range) -> Path:
    slices = {z: change(image) if z in changed else image for z, image in demo_slices(COUNT, SIDE).items()}
    return write_stack(folder / "slices", slices)


@pytest.mark.properties
@pytest.mark.parametrize("name", FEW)
def test_a_slice_that_is_turned_is_turned_back_and_said(name: str, tmp_path: Path) -> None:
    outs = (
        run_here(request(stack(tmp_path / of, TURNS[name], changed)), tmp_path / of / "out")
        for of, changed in (("turned", range(ODD, ODD + 1)), ("upright", range(0)))
    )
    turned, upright = outs
    done = completion(turned)
    assert (done.status, done.suspect, done.flagged) == ("complete_with_flags", (ODD,), ())
    assert next(s.reason for s in transforms(turned).slices if s.z == ODD) == name
    planes, expected = (lossless(out)[ODD - FIRST, 8:248, 8:248].astype(float) for out in (turned, upright))
    assert np.corrcoef(planes.ravel(), expected.ravel())[0, 1] > 0.98
    assert lossless(turned).shape[1:] == pytest.approx(lossless(upright).shape[1:], abs=2)


@pytest.mark.properties
def test_a_slice_that_is_turned_otherwise_is_bad_and_says_so(tmp_path: Path) -> None:
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), 45, 1)
    source = stack(tmp_path, lambda image: np.asarray(cv2.warpAffine(image, matrix, image.shape)), range(ODD, ODD + 1))
    with pytest.raises(GateStopped, match=rf"z {ODD} .*bad, .*turned against each other by 45 degrees"):
        run_here(request(source), tmp_path / "out")


@pytest.mark.properties
@pytest.mark.parametrize("name", TURNS)
def test_at_an_end_of_the_stack_nothing_says_which_way_is_right(name: str, tmp_path: Path) -> None:
    source = stack(tmp_path, TURNS[name], range(FIRST + COUNT - 1, FIRST + COUNT))
    with pytest.raises(GateStopped, match=rf"z {FIRST + COUNT - 1} .*bad, .*the slices are {name} against each other"):
        run_here(request(source), tmp_path / "out", stop_before="render")


@pytest.mark.properties
@pytest.mark.parametrize("name", FEW)
def test_a_stack_that_is_turned_from_a_slice_on_has_a_break_there(name: str, tmp_path: Path) -> None:
    source = stack(tmp_path, TURNS[name], range(ODD, FIRST + COUNT))
    with pytest.raises(GateStopped, match=f"no fit crosses from z {ODD - 1} to z {ODD}: {name} from z {ODD} on"):
        run_here(request(source), tmp_path / "out")
    done = completion(run_here(request(source, max_breaks=1), tmp_path / "accepted"))
    assert done.status == "complete_with_flags"
    assert [b.reason for b in done.breaks] == [f"{name} from z {ODD} on"]


def magnified(by: float, side: int = SIDE) -> Callable[[Image], Image]:
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), 0, by)
    return lambda image: np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_CUBIC))


@pytest.mark.properties
@pytest.mark.parametrize(("by", "steps"), [(1.1, True), (1.0, False)])
def test_a_step_of_the_magnification_is_said(by: float, steps: bool, tmp_path: Path) -> None:
    out = run_here(request(stack(tmp_path, magnified(by), range(ODD, FIRST + COUNT))), tmp_path / "out")
    done = completion(out)
    assert any(f"from z {ODD - 1} to z {ODD}" in note for note in done.notes) is steps
    assert done.status == ("complete_with_flags" if steps else "complete")


@pytest.mark.properties
@pytest.mark.parametrize("percent", [6, -6, 0])
def test_a_gradual_zoom_is_said(percent: int, tmp_path: Path) -> None:
    # in fields so small, 3 % may be tissue: see tests/placement/test_magnification.py
    slices = demo_slices(23, 320)
    zoomed = {z: magnified(1 + percent / 2200 * i, 320)(image) for i, (z, image) in enumerate(slices.items())}
    done = completion(run_here(request(write_stack(tmp_path / "source", zoomed)), tmp_path / "out"))
    assert any(f"the magnification changes by {percent:+d}"[:-1] in note for note in done.notes) is (percent != 0)
    assert done.status == ("complete_with_flags" if percent else "complete")


@pytest.mark.properties
def test_transforms_of_a_run_that_turned_a_slice_back_can_be_used_again(tmp_path: Path) -> None:
    source = stack(tmp_path, TURNS["mirrored"], range(ODD, ODD + 2))
    out = run_here(request(source), tmp_path / "out")
    assert completion(out).suspect == (ODD, ODD + 1)
    for name in ("transforms.json", "transforms.csv"):
        again = run_here(request(source, transforms=str(out / name)), tmp_path / name)
        assert np.array_equal(lossless(again), lossless(out))
