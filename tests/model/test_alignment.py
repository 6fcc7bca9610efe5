"""The laws of affine matrices."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clio_argo.model.alignment import (
    IDENTITY,
    Break,
    Matrix,
    PairFit,
    PlacedSlice,
    Transforms,
    apply,
    compose,
    corners,
    invert,
    to_matrix,
)

offsets = st.floats(-20_000, 20_000)
# what slices really do: up to half a turn, a few per cent of scale and shear
angles, scales, shears = st.floats(-math.pi, math.pi), st.floats(0.8, 1.25), st.floats(-0.1, 0.1)
# linear parts are rounded to 1e-9, offsets to 1e-4 px: at 40,000 px from the origin that is 1e-4 px
TOLERANCE_PX = 5e-4


@st.composite
def affines(draw: st.DrawFn) -> Matrix:
    angle, scale, shear = draw(angles), draw(scales), draw(shears)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.array([[scale, shear], [0, 1]])
    return to_matrix(np.column_stack([linear, [draw(offsets), draw(offsets)]]))


points = st.lists(st.tuples(offsets, offsets), min_size=1, max_size=4).map(np.array)


@given(affines(), affines(), points)
def test_composing_applies_the_inner_transform_first(outer: Matrix, inner: Matrix, at: np.ndarray) -> None:
    assert apply(compose(outer, inner), at) == pytest.approx(apply(outer, apply(inner, at)), abs=TOLERANCE_PX)


@given(affines(), affines(), affines(), points)
def test_composition_is_associative(a: Matrix, b: Matrix, c: Matrix, at: np.ndarray) -> None:
    left, right = compose(compose(a, b), c), compose(a, compose(b, c))
    assert apply(left, at) == pytest.approx(apply(right, at), abs=4 * TOLERANCE_PX)


@given(affines(), points)
def test_the_inverse_undoes_a_transform_from_both_sides(matrix: Matrix, at: np.ndarray) -> None:
    inverse = invert(matrix)
    assert apply(inverse, apply(matrix, at)) == pytest.approx(at, abs=TOLERANCE_PX)
    assert apply(matrix, apply(inverse, at)) == pytest.approx(at, abs=TOLERANCE_PX)


@given(affines())
def test_identity_is_neutral(matrix: Matrix) -> None:
    assert compose(matrix, IDENTITY) == compose(IDENTITY, matrix) == matrix
    assert invert(IDENTITY) == IDENTITY


@given(affines(), affines())
def test_the_inverse_of_a_composition_is_the_composition_of_inverses_reversed(a: Matrix, b: Matrix) -> None:
    frame = corners(5000, 5000)
    together, apart = invert(compose(a, b)), compose(invert(b), invert(a))
    assert apply(together, frame) == pytest.approx(apply(apart, frame), abs=4 * TOLERANCE_PX)


def test_a_shift_moves_x_by_the_first_row_and_y_by_the_second() -> None:
    moved = apply(((1, 0, 10), (0, 1, -3)), np.array([[2.0, 5.0]]))
    assert moved.tolist() == [[12.0, 2.0]]


def test_a_quarter_turn_takes_x_to_y() -> None:
    assert apply(((0, -1, 0), (1, 0, 0)), np.array([[1.0, 0.0]])).tolist() == [[0.0, 1.0]]


@given(st.lists(st.floats(-2e4, 2e4), min_size=6, max_size=6))
def test_rounding_is_to_1e_9_and_1e_4_px_and_happens_once(values: list[float]) -> None:
    array = np.array(values).reshape(2, 3)
    matrix = to_matrix(array)
    rounded = np.array(matrix)
    assert np.abs(rounded[:, :2] - array[:, :2]).max() <= 0.5e-9 + 1e-11
    assert np.abs(rounded[:, 2] - array[:, 2]).max() <= 0.5e-4 + 1e-11
    assert to_matrix(rounded) == matrix


@given(affines())
def test_a_square_matrix_rounds_like_its_first_two_rows(matrix: Matrix) -> None:
    assert to_matrix(np.vstack([matrix, [0, 0, 1]])) == matrix


def test_a_singular_matrix_has_no_inverse() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        invert(((1, 0, 0), (1, 0, 0)))


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_corners_are_centres_of_pixels(width: int, height: int) -> None:
    found = corners(width, height)
    assert found.min(0).tolist() == [0, 0]
    assert found.max(0).tolist() == [width - 1, height - 1]
    assert len({tuple(c) for c in found}) == min(2, width) * min(2, height)


@given(affines(), affines())
def test_transforms_survive_being_written(a: Matrix, b: Matrix) -> None:
    assume(a != b)
    fits = (PairFit(z0=1, z1=2, matrix=a, model="affine", inliers=9), PairFit(z0=2, z1=3, reason="no match"))
    placed = [
        PlacedSlice(z=1, file="a", verdict="good", matrix=IDENTITY, source_slices=(1,)),
        PlacedSlice(z=2, file="b", verdict="suspect", matrix=a, source_slices=(2,)),
        PlacedSlice(z=3, file="c", verdict="bad", matrix=b, source_slices=(2,)),
        PlacedSlice(z=4, file=None, verdict="missing", matrix=None, source_slices=(2,)),
    ]
    whole = Transforms(width=10, height=20, fits=fits, breaks=(Break(below=2, above=3),), slices=tuple(placed))
    again = Transforms.from_bytes(whole.to_bytes(), "transforms.json")
    assert again == whole
    assert [s.z for s in again.flagged] == [3, 4]
    assert [f.matched for f in again.fits] == [True, False]
