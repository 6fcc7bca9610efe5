"""Which turned slices are turned back: those of which the fits around them leave no doubt."""

from collections.abc import Sequence

import numpy as np
import pytest

from clio_argo.kernels.orientation import MIRRORED, UPRIGHT, Orientation, orientation_matrix
from clio_argo.model.alignment import IDENTITY, Break, Matrix, PairFit, homogeneous, to_matrix
from clio_argo.placement.orientation import accept_turned, explain, turned_slices, upright

SIDE = 100
LIES: dict[str, Orientation] = {".": UPRIGHT, "r": -UPRIGHT, "m": MIRRORED, "q": np.array([[0, -1], [1, 0]])}


def fit(stack: str, z0: int, z1: int) -> PairFit:
    """A fit without shift of two slices that lie as the letters say."""
    relative = np.linalg.inv(LIES[stack[z0]]).astype(int) @ LIES[stack[z1]]
    matrix: Matrix = to_matrix(orientation_matrix(relative, SIDE, SIDE))
    same = matrix == IDENTITY
    return PairFit(z0=z0, z1=z1, matrix=matrix if same else None, turned=None if same else matrix)


def fits(stack: str, reach: int = 2) -> list[PairFit]:
    return [fit(stack, a, b) for a in range(len(stack)) for b in range(a + 1, min(len(stack), a + 1 + reach))]


@pytest.mark.parametrize(
    ("stack", "back"),
    [
        ("....r.....", [4]),
        ("....m..q..", [4, 7]),
        ("...rrr....", [3, 4, 5]),
        ("r.r.r.r.......", [2, 4, 6]),
        ("rrrr.rrrrr", [4]),  # most slices lie so: which way is up means nothing
        ("..rrrr......", []),  # too long
        (".....rrrrr", []),
        ("r.........", []),  # an end
        (".........r", []),
        ("r.r.r.r.r.", []),  # neither side has more
        ("...rm.....", []),
        ("..........", []),
    ],
)
def test_short_rows_between_upright_slices_are_turned_back(stack: str, back: Sequence[int]) -> None:
    turned = turned_slices(fits(stack))
    assert sorted(turned) == back
    accepted = accept_turned(fits(stack), turned)
    between = upright(accepted, turned, SIDE, SIDE)
    joined = {(f.z0, f.z1) for f in between if f.matched}
    assert all(f.matrix == IDENTITY for f in between if f.matched)
    assert all({(z - 1, z), (z, z + 1)} <= joined for z in back)


def test_fits_of_two_minds_turn_nothing_back() -> None:
    found = [f for f in fits("....r.....") if (f.z0, f.z1) != (4, 5)]
    assert not turned_slices([*found, fit("....m.....", 4, 5)])


def test_a_slice_that_one_side_reaches_is_not_turned_back() -> None:
    assert not turned_slices([f for f in fits("....r.....") if f.z0 != 4])


def test_what_is_accepted_places_the_slice_as_it_is() -> None:
    stack = "....q....."
    turned = turned_slices(fits(stack))
    accepted = next(f for f in accept_turned(fits(stack), turned) if (f.z0, f.z1) == (3, 4))
    back = homogeneous(orientation_matrix(turned[4], SIDE, SIDE))
    assert homogeneous(accepted.matrix or IDENTITY) == pytest.approx(back)


def test_a_break_says_how_the_upper_part_lies() -> None:
    [at] = explain([Break(below=4, above=5)], fits(".....mmmmm"))
    assert at.text == "no fit crosses from z 4 to z 5: mirrored from z 5 on"
    [plain] = explain([Break(below=4, above=5)], [PairFit(z0=4, z1=5, reason="only 3 features match")])
    assert plain.text == "no fit crosses from z 4 to z 5"
