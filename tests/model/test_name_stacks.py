"""Stacks among names of files: which belong together, and patterns that choose these files and no others."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.name_stacks import NameStack, name_stacks
from clio_argo.model.numbering import discover_numbering, printf_numbering
from clio_argo.workspace.name_patterns import regex_numbers

texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Nd"], exclude_characters="/\\"), max_size=6)


def numbers_by(stack: "NameStack", names: list[str]) -> Callable[[str], int | None]:
    if "image" in stack.settings:
        return printf_numbering(stack.settings["image"])
    return regex_numbers(stack.settings["image_regex"], names).get


STACKS: dict[str, tuple[list[str], list[dict[str, str]]]] = {
    "padded": ([f"iso.{z:05d}.png" for z in range(98, 102)], [{"image": "iso.%05d.png"}]),
    "not padded": ([f"a{z}.tif" for z in range(8, 12)], [{"image": "a%d.tif"}]),
    "a percent sign": ([f"50% ({z}).png" for z in (1, 2)], [{"image": "50%% (%d).png"}]),
    "one file": (["7_b03.png"], [{"image": "7_b%02d.png"}]),
    "two suffixes": (["a1.tif", "a2.TIF"], [{"image_regex": r"a(?P<z>[0-9]+)\.(?i:tif)"}]),
    "padded in part": (["a1.tif", "a02.tif"], [{"image_regex": r"a(?P<z>[0-9]+)\.tif"}]),
    "two channels": ([f"{c}_{z}.png" for z in (0, 1) for c in "ab"], [{"image": "a_%d.png"}, {"image": "b_%d.png"}]),
    "two runs": ([f"r{r}_{z}.png" for r in (1, 2) for z in (0, 1)], [{"image": "r1_%d.png"}, {"image": "r2_%d.png"}]),
    "tiles": ([f"{r}-{c}_{z}.png" for r in (0, 1) for c in (0, 1) for z in range(5)],
              [{"image": f"{r}-{c}_%d.png"} for r in (0, 1) for c in (0, 1)]),
    "a counter and a time": ([f"t{z * z + 700}_{z:03d}.tif" for z in range(4)],
                             [{"image_regex": r"t[0-9]+_(?P<z>[0-9]+)\.tif"}]),
    "two counters": ([f"d{z}_{z}.tif" for z in range(4)], [{"image_regex": r"d[0-9]+_(?P<z>[0-9]+)\.tif"}]),
    "no number": (["overview.png"], []),
}  # fmt: skip


@pytest.mark.parametrize("case", STACKS)
def test_names_become_stacks_with_patterns(case: str) -> None:
    names, expected = STACKS[case]
    assert [s.settings for s in name_stacks(names)] == expected


def test_the_longest_stack_is_first() -> None:
    assert [len(s.names) for s in name_stacks(["a1.png", "b1.png", "b2.png"])] == [2, 1]


@pytest.mark.parametrize("names", [["z_-1.png", "z_-2.png"], ["a1_-1.png", "a2_-2.png"]])
def test_a_minus_that_may_be_a_sign_is_never_guessed(names: list[str]) -> None:
    with pytest.raises(UserError, match="is a sign or separates"):
        name_stacks(names)


@given(before=texts, between=texts, runs=st.sets(st.integers(0, 12), min_size=1, max_size=3),
       zs=st.sets(st.integers(0, 10**9 - 1), min_size=1, max_size=6), width=st.integers(0, 7))  # fmt: skip
def test_a_pattern_gives_its_files_their_numbers_and_no_others(
    before: str, between: str, runs: set[int], zs: set[int], width: int
) -> None:
    names = [f"{before}x{run}_{between}{z:0{width}d}.png" for run in sorted(runs) for z in sorted(zs)]
    found = name_stacks(names)
    assert sorted(n for s in found for n in s.names) == sorted(names)
    for stack in found:
        number = numbers_by(stack, names)
        assert [number(n) for n in stack.names] == list(stack.numbers)
        assert {n for n in names if number(n) is not None} == set(stack.names)


@given(
    names=st.lists(st.from_regex(r"[ab%.(]{0,2}[0-9]{1,3}[_-]?[0-9]{0,3}\.(png|tif|TIF)", fullmatch=True), unique=True)
)
@settings(max_examples=settings().max_examples // 3)
def test_where_numbers_are_discovered_they_are_those(names: list[str]) -> None:
    try:
        number = discover_numbering(names)
    except UserError:
        return
    [stack] = name_stacks(names)
    assert [number(n) for n in stack.names] == list(stack.numbers)
