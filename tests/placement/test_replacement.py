"""What stands in the planes of bad and missing slices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.alignment import Matrix, PlacedSlice, Transforms
from clio_argo.model.request import Treatment
from clio_argo.placement.replacement import longest_gap, replace_slices, weights

Z0 = 100


def shift(x: float) -> Matrix:
    return ((1, 0, x), (0, 1, -x))


def stack(marks: str) -> Transforms:
    """One slice a letter: good, bad (it decodes), missing; slice z lies at z squared."""
    slices = [
        PlacedSlice(
            z=z,
            file=None if mark == "m" else "file",
            verdict={"g": "good", "b": "bad", "m": "missing"}[mark],  # type: ignore[arg-type]
            matrix=shift((z - Z0) ** 2) if mark == "g" else None,
            source_slices=(z,),
            digest="" if mark == "m" else "0a",
        )
        for z, mark in enumerate(marks, Z0)
    ]
    return Transforms(width=9, height=9, slices=tuple(slices))


def shown(marks: str, treatment: Treatment) -> list[tuple[int, ...]]:
    return [tuple(n - Z0 for n in s.source_slices) for s in replace_slices(stack(marks), treatment).slices]


MARKS = "mgbmmgb"
EXPECTED: dict[Treatment, list[tuple[int, ...]]] = {
    "nearest": [(1,), (1,), (1,), (1,), (5,), (5,), (5,)],
    "interpolate": [(1,), (1,), (1, 5), (1, 5), (1, 5), (5,), (5,)],
    "black": [(), (1,), (), (), (), (5,), ()],
    "keep": [(1,), (1,), (2,), (1,), (5,), (5,), (6,)],
}


@pytest.mark.parametrize("treatment", EXPECTED)
def test_each_treatment(treatment: Treatment) -> None:
    assert shown(MARKS, treatment) == EXPECTED[treatment]


def test_a_kept_slice_without_a_place_lies_between_its_neighbours() -> None:
    slices = replace_slices(stack(MARKS), "keep").slices
    assert slices[2].matrix == shift(1 + (25 - 1) / 4)
    assert slices[6].matrix == slices[5].matrix
    assert [s.z - Z0 for s in slices if s.placed_by == "neighbours"] == [2, 6]
    assert slices[2].content == "itself, placed between its neighbours"


@given(st.text("gbm", min_size=1, max_size=30), st.sampled_from(list(EXPECTED)))
def test_laws_of_all_treatments(marks: str, treatment: Treatment) -> None:
    before, after = stack(marks), replace_slices(stack(marks), treatment)
    good = {s.z for s in before.slices if not s.flagged}
    for s in after.slices:
        assert (s.verdict, s.reason) == (before.slices[s.z - Z0].verdict, before.slices[s.z - Z0].reason)
        assert s.source_slices == (s.z,) if s.z in good else set(s.source_slices) <= good | {s.z}
        assert all(after.slices[n - Z0].matrix for n in s.source_slices)
        assert len(weights(s.z, s.source_slices)) == len(s.source_slices) if s.source_slices else s.flagged
    if good and treatment in ("nearest", "interpolate"):
        assert all(s.source_slices for s in after.slices)


def test_nothing_good_is_nothing_shown() -> None:
    assert shown("bm", "nearest") == shown("bm", "keep") == [(), ()]


def test_weights_are_linear_in_the_distance() -> None:
    share = np.array([weights(z, (10, 14)) for z in (11, 12, 13)])
    assert share.tolist() == [[3, 1], [2, 2], [1, 3]]


@pytest.mark.parametrize(
    ("flagged", "gap"),
    [([], range(0)), ([4], range(4, 5)), ([0, 1, 5, 6, 7, 9], range(5, 8)), ([8, 2, 1, 9], range(1, 3))],
)
def test_longest_gap(flagged: list[int], gap: range) -> None:
    assert longest_gap(flagged) == gap
