"""The result is judged, whatever placed the slices: a stack that is wrong everywhere is not called complete."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.model.alignment import invert
from tests.defects import noise
from tests.stacks import Image, completion, lossless, request, run_here, transforms, write_stack

SLICES, SIDE, MARGIN = 10, 224, 56
WALK = np.random.default_rng(0).integers(-6, 7, (SLICES, 2)).cumsum(0).clip(-20, 20)


@pytest.fixture(scope="module")
def still(demo: Path) -> dict[int, Image]:
    """Registered slices."""
    return _windows(demo, 0 * WALK)


@pytest.fixture(scope="module")
def moved(demo: Path) -> dict[int, Image]:
    """The same slices behind a window that walks by up to 6 px a slice."""
    return _windows(demo, WALK)


def _windows(demo: Path, walk: Image) -> dict[int, Image]:
    volume = lossless(demo)[:SLICES]
    corners = (MARGIN + walk).tolist()
    return {
        k: np.ascontiguousarray(v[y : y + SIDE, x : x + SIDE])
        for k, (v, (x, y)) in enumerate(zip(volume, corners, strict=True))
    }


def _judged(out: Path, slices: dict[int, Image], **settings: object) -> tuple[str, str]:
    run_here(request(write_stack(out / "source", slices), contrast__clip_limit=0, **settings), out / "run")
    done = completion(out / "run")
    return done.status, " ".join(done.notes)


def _positions(out: Path, sign: int) -> str:
    rows = (f"{z},{sign * x},{sign * y}\n" for z, (x, y) in enumerate(WALK))
    (out / "positions.csv").write_text("z,x_px,y_px\n" + "".join(rows))
    return str(out / "positions.csv")


def _table(out: Path, run: Path, inverted: bool = False) -> str:
    matrices = {s.z: s.matrix for s in transforms(run).slices if s.matrix}
    rows = ((z, *np.ravel(invert(m) if inverted else m)) for z, m in matrices.items())
    text = "\n".join(["z,a,b,tx,c,d,ty", *(",".join(map(str, row)) for row in rows)])
    (out / "table.csv").write_text(text + "\n")
    return str(out / "table.csv")


def _bent(image: Image, seed: int) -> Image:
    """Distorted by 3 px, otherwise every 100 px."""
    random = np.random.default_rng(seed)
    x, y = (
        cv2.resize(random.normal(0, 3, (4, 4)).astype(np.float32), image.shape[::-1], interpolation=cv2.INTER_CUBIC)
        for _ in "xy"
    )
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    return np.asarray(cv2.remap(image, columns + x, rows + y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))


def _torn(image: Image, seed: int) -> Image:
    """Rows from somewhere on moved sideways by 12 px."""
    random = np.random.default_rng(seed)
    torn, row = image.copy(), random.integers(SIDE // 5, SIDE * 4 // 5)
    torn[row:] = np.roll(torn[row:], random.choice([-12, 12]), 1)
    return torn


@pytest.mark.properties
def test_right_stacks_are_complete(still: dict[int, Image], moved: dict[int, Image], tmp_path: Path) -> None:
    assert _judged(tmp_path / "still", still, alignment__skip=True) == ("complete", "")
    assert _judged(tmp_path / "moved", moved) == ("complete", "")
    assert _judged(tmp_path / "p", moved, alignment__skip=True, positions=_positions(tmp_path, 1)) == ("complete", "")
    assert _judged(tmp_path / "t", moved, transforms=_table(tmp_path, tmp_path / "moved" / "run")) == ("complete", "")
    matrix = np.array([[1, 0, 0.3], [0, 1, 0.3]])
    oblique = {z: cv2.warpAffine(v, z * matrix + (1 - z) * np.eye(2, 3), v.shape[::-1]) for z, v in still.items()}
    assert _judged(tmp_path / "oblique", oblique, alignment__skip=True) == ("complete", "")


@pytest.mark.properties
def test_stacks_that_are_wrong_everywhere_are_flagged(
    still: dict[int, Image], moved: dict[int, Image], tmp_path: Path
) -> None:
    aligned = run_here(request(write_stack(tmp_path / "source", moved)), tmp_path / "aligned")
    half = {z: cv2.resize(v, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for z, v in moved.items()}
    wrong = {
        "skip": _judged(tmp_path / "a", moved, alignment__skip=True),
        "sign": _judged(tmp_path / "b", moved, alignment__skip=True, positions=_positions(tmp_path, -1)),
        "table": _judged(tmp_path / "c", moved, transforms=_table(tmp_path, aligned, inverted=True)),
        "half": _judged(tmp_path / "d", half, transforms=_table(tmp_path, aligned)),
        "bent": _judged(tmp_path / "e", {z: _bent(v, z) for z, v in still.items()}),
        "torn": _judged(tmp_path / "f", {z: _torn(v, z) for z, v in still.items()}),
    }
    assert {name: status for name, (status, _) in wrong.items()} == dict.fromkeys(wrong, "complete_with_flags")
    for _, note in wrong.values():
        assert "do not lie on each other between z 0 and 9: half of their windows are displaced by" in note


@pytest.mark.properties
def test_a_slice_of_noise_is_named_where_nothing_is_aligned(still: dict[int, Image], tmp_path: Path) -> None:
    slices = {**still, 4: noise(still[4])}
    status, note = _judged(tmp_path, slices, alignment__skip=True)
    assert (status, note) == ("complete_with_flags", "neighbouring slices have nothing in common: z 3/4, 4/5")


@pytest.mark.properties
def test_a_corner_of_one_slice_that_shows_another_place_is_named(
    still: dict[int, Image], moved: dict[int, Image], demo: Path, tmp_path: Path
) -> None:
    foreign = lossless(demo)[40, 100:180, 100:180]
    for name, slices, skip in (("still", still, True), ("moved", moved, False)):
        # where alignment sees it, too, its note is about the whole slice
        pasted = {**slices, 4: slices[4].copy()}
        pasted[4][:80, :80] = foreign
        status, note = _judged(tmp_path / name, pasted, alignment__skip=skip)
        assert status == "complete_with_flags"
        assert len(re.findall(r"those around them are alike: z 4 \(x \d+ to \d+, y \d+ to \d+\)$", note)) == 1
