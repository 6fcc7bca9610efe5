"""Damaged and hostile files of every kind: a picture as other readers see it, or a refusal in words."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.images.door import Door, opened
from tests.store.images.spoiled import seeds, spoiled

SEEDS = seeds()
# bytes from the begin of a file, at each of which it is cut
HEADER_BYTES = 400


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as found:
        yield found


@pytest.mark.properties
@pytest.mark.parametrize("kind", SEEDS)
def test_a_file_that_is_whole_or_cut_anywhere_in_its_header_obeys_the_law(door: Door, kind: str) -> None:
    data = SEEDS[kind]
    for end in (*range(1, min(len(data), HEADER_BYTES)), len(data)):
        assert not door.ask(data[:end]).broken, end


@pytest.mark.properties
@given(rng=st.randoms(use_true_random=False), kind=st.sampled_from(sorted(SEEDS)), other=st.sampled_from(sorted(SEEDS)))
@settings(max_examples=settings().max_examples * 30)
def test_a_damaged_file_obeys_the_law(door: Door, rng: Random, kind: str, other: str) -> None:
    assert not door.ask(spoiled(rng, SEEDS[kind], SEEDS[other])).broken
