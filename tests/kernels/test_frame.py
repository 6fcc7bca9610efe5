"""What stays in the frame while tissue moves is found and left out; tissue is not, however it moves."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, reduce
from itertools import pairwise
from operator import add

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.kernels import match
from clio_argo.kernels.features import Reduced, reduce_slice
from clio_argo.kernels.fill import Mask
from clio_argo.kernels.frame import LEAST_SLICES, NOTHING, details, fixed_pattern, leave_out, picture
from clio_argo.kernels.match import Start, best_of, fit_pair, phase_shift, starts
from clio_argo.kernels.register import NotFound
from clio_argo.model.alignment import Floats
from tests.defects import bytes_of
from tests.stacks import FIRST, NOISE, Image, demo_slice

SIDE, SLICES, FARTHEST = 240, 16, 40
Shifts = Sequence[tuple[int, int]]


def walk(step: int, seed: int) -> Shifts:
    steps = np.random.default_rng(seed).integers(-step, step + 1, (SLICES, 2))
    return [(int(x), int(y)) for x, y in np.clip(np.cumsum(steps, 0), -FARTHEST, FARTHEST)]


@cache
def tissue(z: int) -> Image:
    return demo_slice(z, SIDE + 2 * FARTHEST)


def moving(shifts: Shifts, contrast: float = 1.0, noise: float = 0.0) -> list[Floats]:
    """Slices of tissue that moves under the frame."""
    random = np.random.default_rng(1)
    numbers = [z for z in range(FIRST, FIRST + SLICES + 1) if z != NOISE]
    cuts = (tissue(z)[FARTHEST + y :, FARTHEST + x :][:SIDE, :SIDE] for z, (x, y) in zip(numbers, shifts, strict=False))
    return [128 + (cut - 128.0) * contrast + random.normal(0, noise, cut.shape) for cut in cuts]


def spots(image: Floats) -> Floats:
    random, shade = np.random.default_rng(5), np.ones(image.shape, np.float32)
    for _ in range(15):
        x, y, radius = (int(v) for v in random.integers((0, 0, 3), (SIDE, SIDE, 12)))
        cv2.circle(shade, (x, y), radius, float(random.uniform(0.2, 0.6)), -1)
    return np.asarray(image * cv2.GaussianBlur(shade, (0, 0), 1.2), np.float64)


def text(image: Floats) -> Floats:
    burnt = np.zeros(image.shape, np.uint8)
    for at, words in ((30, "SEM HV 2.0 kV"), (130, "sample A"), (225, "x 25 000")):
        cv2.putText(burnt, words, (10, at), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    return np.maximum(image, burnt)


def hot_lines(image: Floats) -> Floats:
    lines = image.copy()
    lines[:, [30, 31, 77, 150]], lines[[90, 200]] = 250, image[[90, 200]] + 60
    return lines


def grid(image: Floats) -> Floats:
    y, x = np.mgrid[:SIDE, :SIDE]
    return image + 45.0 * ((x % 40 < 2) | (y % 40 < 2))


def pattern_of(slices: Sequence[Reduced]) -> Mask:
    return fixed_pattern(reduce(add, map(details, slices), NOTHING))


def errors(images: Sequence[Floats], shifts: Shifts) -> Floats:
    """Distance in pixels between each fit of neighbours and how tissue moved."""
    slices = [reduce_slice(bytes_of(image), (SIDE, SIDE)) for image in images]
    pattern = pattern_of(slices)
    slices = [leave_out(s, pattern) for s in slices]
    middle = np.array([SIDE / 2, SIDE / 2, 1])
    moved = [np.array(fit_pair(a, b, 0, 1).matrix) @ middle - middle[:2] for a, b in pairwise(slices)]
    return np.asarray(np.hypot(*(np.array(moved) - np.diff(shifts, axis=0)).T))


@pytest.mark.properties
@pytest.mark.parametrize("disturb", [spots, text, hot_lines, grid])
def test_what_stays_drags_nothing(disturb: Callable[[Floats], Floats]) -> None:
    shifts = walk(5, 2)
    plain = moving(shifts, 0.4, 20)
    seen, alone = (errors(images, shifts) for images in ([disturb(image) for image in plain], plain))
    assert np.median(seen) < 1.3 * np.median(alone) + 0.05


@pytest.mark.parametrize("disturb", [spots, text, hot_lines, grid])
def test_what_stays_is_found(disturb: Callable[[Floats], Floats]) -> None:
    images = moving(walk(5, 2), 0.4, 20)
    slices = [reduce_slice(bytes_of(disturb(image)), (SIDE, SIDE), detect=False) for image in images]
    at = np.abs(disturb(images[0]) - images[0]) > 40
    pattern = pattern_of(slices)
    left_out = leave_out(slices[0], pattern)
    shown = slices[0].mask
    assert (at & left_out.mask).sum() < 0.1 * (at & shown).sum()
    assert left_out.mask.sum() > 0.5 * shown.sum()
    assert (picture(reduce(add, map(details, slices)), pattern) == 255).any()


@pytest.mark.parametrize("step", [0, 1, 3, 9])
@pytest.mark.parametrize(("contrast", "noise"), [(1.0, 0.0), (0.3, 30.0)])
def test_tissue_is_no_pattern(step: int, contrast: float, noise: float) -> None:
    images = moving(walk(step, step), contrast, noise)
    assert not pattern_of([reduce_slice(bytes_of(image), (SIDE, SIDE), detect=False) for image in images]).any()


def test_a_few_slices_tell_nothing() -> None:
    images = [spots(image) for image in moving(walk(5, 2))[: LEAST_SLICES - 1]]
    assert not pattern_of([reduce_slice(bytes_of(image), (SIDE, SIDE), detect=False) for image in images]).any()
    assert not pattern_of([]).any()


def test_features_on_a_pattern_are_left_out() -> None:
    image = reduce_slice(tissue(FIRST), (SIDE, SIDE))
    pattern = np.zeros((160, 60), np.bool_)
    pattern[:, :30] = True
    rest = leave_out(image, pattern)
    assert not rest.mask[:, :60].any()
    assert len(rest.points) == len(rest.descriptors) > 0
    assert (rest.points[:, 0] > 59).all()
    assert (rest.mask[:, 60:] == image.mask[:, 60:]).all()


@given(st.permutations(range(6)), st.integers(1, 5))
@settings(max_examples=10)
def test_sums_depend_on_neither_order_nor_cut(order: list[int], cut: int) -> None:
    sizes = (64, 64, 80, 64, 50, 64)
    slices = [
        details(reduce_slice(demo_slice(FIRST + i, size), (80, 80), detect=False)) for i, size in enumerate(sizes)
    ]
    whole = reduce(add, slices)
    parts = reduce(add, (slices[i] for i in order[:cut])) + reduce(add, (slices[i] for i in order[cut:]))
    assert all(np.array_equal(a, b) for a, b in ((whole.detail, parts.detail), (whole.count, parts.count)))
    assert whole.energy == parts.energy


@pytest.mark.parametrize("grey", [0, 255])
def test_phase_correlation_sees_tissue_alone(grey: int) -> None:
    """A block that stays in both slices, and is masked, does not hold them together."""
    images = [tissue(z)[20 * i :, 15 * i :][:SIDE, :SIDE].copy() for i, z in enumerate((FIRST, FIRST + 1))]
    slices = []
    for image in images:
        image[60:140, 50:150] = grey
        reduced = reduce_slice(image, (SIDE, SIDE), detect=False)
        assert not reduced.mask[70:130, 60:140].any()
        slices.append(reduced)
    assert np.abs(phase_shift(*slices).matrix[:, 2] - (15, 20)).max() < 2


def test_tissue_decides_between_rivals_of_a_fit_under_a_pattern() -> None:
    """Features may agree that nothing moved, where they lie beside the mask."""
    a, b = (reduce_slice(bytes_of(image), (SIDE, SIDE)) for image in moving([(0, 0), (30, -25)]))
    still = Start(np.eye(2, 3), 100, np.zeros((0, 2)), np.zeros((0, 2)))
    assert len(list(starts(a, b, still))) == 1
    under = [replace(s, patterned=True) for s in (a, b)]
    matrix, correlation, _ = best_of(a, b, starts(under[0], under[1], still), "translation")
    assert np.abs(matrix[:, 2] - (30, -25)).max() < 2
    assert correlation > 0.8
    with pytest.raises(NotFound):
        best_of(a, b, [np.array([[1, 0, 5000.0], [0, 1, 0]])], "translation")


def test_a_rival_that_begins_where_another_ended_is_not_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (reduce_slice(bytes_of(image), (SIDE, SIDE)) for image in moving([(0, 0), (3, -2)]))
    refined, refine = list[Floats](), match.refine
    end, *_ = refine(a, b, np.array([[1, 0, 3.0], [0, 1, -2]]), "translation")
    monkeypatch.setattr(match, "refine", lambda *given: refined.append(given[2]) or refine(*given))
    rivals = [end + np.array([[0, 0, far], [0, 0, 0]]) for far in (0, 1, 9, -1)]
    assert np.abs(best_of(a, b, rivals, "translation")[0] - end).max() < 2e-3
    assert [round(m[0, 2] - end[0, 2]) for m in refined] == [0, 9]
    # it would have ended there, too
    assert np.abs(best_of(a, b, rivals[1:2], "translation")[0] - end).max() < 2e-3
