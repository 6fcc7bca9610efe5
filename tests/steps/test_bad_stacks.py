"""Stacks that are no stacks: each ends with a verdict, none with a plausible wrong volume."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.errors import GateStopped
from tests.stacks import (
    FIRST,
    Image,
    completion,
    demo_slice,
    demo_slices,
    lossless,
    pair_errors_px,
    request,
    run_here,
    transforms,
    verdicts,
    write_stack,
)

COUNT, SIDE = 12, 192
NUMBERS = range(FIRST, FIRST + COUNT)
HALF = FIRST + COUNT // 2
Slices = Mapping[int, Image]


def noise(sigma_px: float) -> Slices:
    """Images that have nothing to do with each other, as smooth as wanted."""
    random = np.random.default_rng(0)
    rough = {z: random.normal(0, 1, (SIDE, SIDE)) for z in NUMBERS}
    smooth = {z: cv2.GaussianBlur(image, (0, 0), sigma_px) if sigma_px else image for z, image in rough.items()}
    return {z: np.uint8(cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)) for z, image in smooth.items()}


def two_samples() -> Slices:
    """Slices of one place, then of another whose tissue lies the other way."""
    other = {z: np.ascontiguousarray(demo_slice(z + 40, SIDE).T) for z in NUMBERS}
    return {z: demo_slice(z, SIDE) if z < HALF else other[z] for z in NUMBERS}


def every_second() -> Slices:
    """Two slices in a row, then every second one: numbers in steps of two alone are a stack of their own."""
    return {z: image for z, image in demo_slices(COUNT).items() if z == FIRST + 1 or not (z - FIRST) % 2}


def of_one_grey(value: int) -> Callable[[], Slices]:
    return lambda: {z: np.full((SIDE, SIDE), value, np.uint8) for z in NUMBERS}


STOPPED: dict[str, tuple[Callable[[], Slices], str]] = {
    "all identical": (
        lambda: dict.fromkeys(NUMBERS, demo_slice(FIRST, SIDE)),
        rf"{COUNT - 1} of {COUNT} slices are bad(.|\n)*z {FIRST + 1} .*the same pixels as z {FIRST}",
    ),
    "all black": (of_one_grey(0), "no slice is good"),
    "all grey": (of_one_grey(130), "no slice is good"),
    "noise": (lambda: noise(0), "no slice is good"),
    "smooth noise": (lambda: noise(4), "no slice is good"),
    "two unlike slices": (lambda: {z: two_samples()[z] for z in (FIRST, HALF)}, "missing"),
    "every second slice": (every_second, rf"z {FIRST + 3}: missing(.|\n)*z {FIRST + 5}"),
    "two samples": (two_samples, rf"no fit crosses from z {HALF - 1} to z {HALF}"),
}


@pytest.mark.properties
@pytest.mark.parametrize("kind", STOPPED)
def test_the_run_stops_before_rendering_and_says_why(kind: str, tmp_path: Path) -> None:
    slices, why = STOPPED[kind]
    with pytest.raises(GateStopped, match=why):
        run_here(request(write_stack(tmp_path / "source", slices())), tmp_path / "out")
    assert not (tmp_path / "out" / "aligned").exists()
    assert not (tmp_path / "out" / "complete.json").exists()


@pytest.mark.properties
def test_repeated_pixels_are_bad_but_the_same_tissue_imaged_again_is_not(tmp_path: Path) -> None:
    random, whole = np.random.default_rng(0), demo_slice(FIRST, 320)
    shifts = np.array([[0, 0], *random.normal(0, 2, (COUNT - 1, 2))])
    moved = [cv2.warpAffine(whole, np.array([[1, 0, x], [0, 1, y]]), whole.shape, flags=cv2.INTER_CUBIC)
             for x, y in shifts]  # fmt: skip
    still = {z: np.ascontiguousarray(image[20:-20, 20:-20]) for z, image in zip(NUMBERS, moved, strict=True)}
    out = run_here(request(write_stack(tmp_path / "source", still)), tmp_path / "out")
    assert verdicts(out) == {}
    found = np.array([np.array(s.matrix)[:, 2] for s in transforms(out).slices])
    # of a few slices nothing tells that none of it is tissue that moves
    assert np.abs(found - found[0] + shifts).max() < 0.2


@pytest.mark.properties
@pytest.mark.parametrize("skip", [False, True])
def test_files_far_apart_with_the_same_pixels_are_named(skip: bool, tmp_path: Path) -> None:
    slices = demo_slices(COUNT, SIDE)
    copied = write_stack(tmp_path / "source", {**slices, FIRST + 4: slices[FIRST + 1]})
    out = run_here(request(copied, alignment__skip=skip), tmp_path / "out")
    assert completion(out).status == "complete_with_flags"
    assert verdicts(out) == {FIRST + 1: "suspect", FIRST + 4: "suspect"}


def test_one_slice_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(1, SIDE))
    out = run_here(request(source, contrast__clip_limit=0), tmp_path / "out")
    assert completion(out).status == "complete"
    assert np.array_equal(lossless(out)[0], demo_slice(FIRST, SIDE))


def test_two_slices_are_aligned(tmp_path: Path) -> None:
    out = run_here(request(write_stack(tmp_path / "source", demo_slices(2, SIDE))), tmp_path / "out")
    assert completion(out).status == "complete"
    assert [f.matched for f in transforms(out).fits] == [True]


@pytest.mark.properties
def test_every_second_slice_is_linked_over_the_gaps(tmp_path: Path) -> None:
    out = run_here(request(write_stack(tmp_path / "source", every_second()), max_bad=COUNT // 2), tmp_path / "out")
    assert completion(out).status == "complete_with_flags"
    assert verdicts(out) == dict.fromkeys(NUMBERS[3:-1:2], "missing")
    assert transforms(out).breaks == ()


@pytest.mark.properties
def test_two_samples_stay_apart_where_that_is_accepted(tmp_path: Path) -> None:
    out = run_here(request(write_stack(tmp_path / "source", two_samples()), max_breaks=1), tmp_path / "out")
    assert completion(out).status == "complete_with_flags"
    assert [(b.below, b.above) for b in transforms(out).breaks] == [(HALF - 1, HALF)]
    assert all((f.z0 < HALF) == (f.z1 < HALF) for f in transforms(out).fits if f.matched)


@pytest.mark.properties
@pytest.mark.parametrize("swapped", [[FIRST + 5], list(range(HALF + 1, FIRST + COUNT))], ids=["one", "the rest"])
def test_inverted_slices_are_placed_and_named(swapped: list[int], tmp_path: Path) -> None:
    slices = {z: 255 - s if z in swapped else s for z, s in demo_slices(COUNT, SIDE).items()}
    out = run_here(request(write_stack(tmp_path / "source", slices)), tmp_path / "out")
    assert verdicts(out) == dict.fromkeys(swapped, "suspect")
    done = completion(out)
    assert (done.status, done.flagged, done.suspect) == ("complete_with_flags", (), tuple(swapped))
    assert "black and white are swapped" in transforms(out).slices[swapped[0] - FIRST].reason
    before = run_here(request(write_stack(tmp_path / "plain", demo_slices(COUNT, SIDE))), tmp_path / "before")
    expected = {s.z: np.array(s.matrix) for s in transforms(before).slices}
    assert pair_errors_px(transforms(out), expected, (SIDE, SIDE)).max() < 0.2
