"""Damaged and hostile files of every kind: a picture as other readers see it, or a refusal in words."""

import struct
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.images.door import Door, opened
from tests.store.images.spoiled import seeds, spoiled

SEEDS = seeds()
# one of each layout; bytes from the begin of a file, at each of which it is cut
LAYOUTS = (
    "grey PNG", "palette PNG", "PNG that asks to be turned", "PNG with comments", "JPEG", "progressive JPEG",
    "JPEG that asks to be turned", "grey TIFF", "big-endian 16-bit TIFF", "BigTIFF of tiles", "TIFF of strips",
    "JPEG TIFF of strips", "TIFF with a grey palette", "TIFF with its directory at the end", "pages", "one header",
    "ImageJ", "OME", "levels in SubIFDs",
)  # fmt: skip
HEADER_BYTES = 400


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with opened() as found:
        yield found


@pytest.mark.properties
@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_file_that_is_cut_anywhere_in_its_header_obeys_the_law(door: Door, kind: str) -> None:
    data = SEEDS[kind]
    for end in range(1, min(len(data), HEADER_BYTES)):
        assert not door.ask(data[:end]).broken, end


@pytest.mark.properties
def test_whole_files_obey_the_law(door: Door) -> None:
    assert {kind: b for kind, data in SEEDS.items() if (b := door.ask(data).broken)} == {}


@pytest.mark.properties
@pytest.mark.parametrize("tag", [258, 273, 279, 338])
def test_a_tag_that_claims_the_whole_file_obeys_the_law(door: Door, tag: int) -> None:
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    tags = [t for t in [*tags, (338, 3, 1, 0)] if t[0] != tag] + [(tag, 3, 2**24, 200)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in sorted(tags))
    answer = door.ask(b"II*\0" + struct.pack("<I", 8) + body + bytes(200) + b"\1" * 2**25)
    assert (answer.kind, answer.broken) == ("refused", "")


@pytest.mark.properties
@given(rng=st.randoms(use_true_random=False), kind=st.sampled_from(sorted(SEEDS)), other=st.sampled_from(sorted(SEEDS)))
@settings(max_examples=settings().max_examples * 30)
def test_a_damaged_file_obeys_the_law(door: Door, rng: Random, kind: str, other: str) -> None:
    assert not door.ask(spoiled(rng, SEEDS[kind], SEEDS[other])).broken
