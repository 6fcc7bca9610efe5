"""The natural order of names: what file browsers show, a total and stable order, and names that have none."""

import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.name_order import in_natural_order, natural_key, numbers_by_name

NAMES = st.text(st.sampled_from("aAbß-_. 019é²١/\u0301"), max_size=8) | st.text(max_size=12)


@pytest.mark.parametrize(
    "ordered",
    [
        ["img2.png", "img10.png", "img100.png"],
        ["a.png", "B.png", "c.png", "z.png"],
        ["a.png", "aa.png", "ab.png", "b.png"],
        ["s.png", "s1.png", "s2.png"],
        ["s.png", "s-1.png"],
        ["s 9.png", "s 10.png"],
        ["day2/img_1.tif", "day2/img_10.tif", "day10/img_1.tif"],
        ["day/1.tif", "day-b/1.tif"],
        ["2026-11-02 09.59.59.tif", "2026-11-02 10.00.00.tif", "2026-12-01 00.00.00.tif"],
    ],
)
def test_names_are_ordered_as_a_file_browser_shows_them(ordered: list[str]) -> None:
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert in_natural_order(shuffled) == ordered


@given(st.lists(NAMES, max_size=6), st.randoms(use_true_random=False))
def test_natural_order_is_total_and_stable(names: list[str], chance: random.Random) -> None:
    """Any two names compare, and neither the order in which they come nor a second sorting changes anything."""
    ordered = in_natural_order(names)
    shuffled = names * 2
    chance.shuffle(shuffled)
    assert in_natural_order(shuffled) == in_natural_order(ordered) == ordered
    keys = [natural_key(name) for name in ordered]
    assert all(a <= b and not b < a for a, b in pairwise(keys))


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_numbers_are_ordered_by_their_value(numbers: list[int]) -> None:
    names = [f"s{n}_x.tif" for n in numbers]
    assert in_natural_order(names) == [f"s{n}_x.tif" for n in sorted(numbers)]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["img1.png", "img01.png"], "img01.png and img1.png"),
        (["IMG1.png", "img1.png"], "IMG1.png and img1.png"),
        (["a.png", "a.PNG"], "a.PNG and a.png"),
        (["\u00e91.tif", "e\u03011.tif"], "e\u03011.tif and \u00e91.tif"),
        (["EM_1.png", "EM_2.png", "GFP_1.png"], "a mixture of series, EM_1.png, GFP_1.png"),
        (["img1.png", "img2.png", "preview.png"], "a mixture of series, img1.png, preview.png"),
        (["a.png", "b.tif"], "a mixture of series, a.png, b.tif"),
        (["1 AM.tif", "2 AM.tif", "1 PM.tif", "2 PM.tif"], "a mixture of series, 1 AM.tif, 1 PM.tif"),
        (["EM/1.tif", "EM/2.tif", "GFP/1.tif", "GFP/2.tif"], "a mixture of series, EM/1.tif, GFP/1.tif"),
    ],
)
def test_names_without_an_order_are_refused_by_name(names: list[str], why: str) -> None:
    with pytest.raises(UserError, match=re.escape(why)):
        numbers_by_name(names, 0)


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png", "aa.png"],
        ["t1_x2.png", "t2_x1.png"],
        ["a.TIF", "b.tif"],
        ["sec_a/s.tif", "sec_b/s.tif"],
        ["d0", "d1"],
    ],
)
def test_letters_numbers_and_suffixes_in_capitals_are_one_series(names: list[str]) -> None:
    assert list(numbers_by_name(names, 7).values()) == [*range(7, 7 + len(names))]


def test_series_that_a_person_takes_together_are_numbered() -> None:
    assert numbers_by_name(["b1.png", "a2.png", "a1.png", "b2.png"], -1, mixed=True) == {
        "a1.png": -1, "a2.png": 0, "b1.png": 1, "b2.png": 2,
    }  # fmt: skip
