"""Slices that are expected are read while those before them are decoded: each once, and whatever was expected."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.model.plan import SliceFile
from clio_argo.store.documents import Store
from clio_argo.store.images.base import Undecodable
from clio_argo.store.slices import Source
from tests.store.images.samples import encoded, planned, texture
from tests.stores import Bucket
from tests.workspace.test_units import wait_until

STACK = [texture(seed=seed) for seed in range(5)]
NUMBERS = st.lists(st.integers(0, len(STACK) - 1), max_size=7)


def written(url: str) -> tuple[Source, list[SliceFile]]:
    Store(url).write_all((f"{z}.png", encoded(".png", pixels)) for z, pixels in enumerate(STACK))
    source = Source(url)
    return source, [planned(entry).model_copy(update={"z": z}) for z, entry in enumerate(source.entries())]


def test_a_slice_decodes_to_its_own_pixels_whatever_was_expected(gcs: Bucket) -> None:
    source, files = written(gcs.url)

    @given(expected=NUMBERS, decoded=NUMBERS, gone=st.sets(st.integers(0, len(STACK) - 1), max_size=2))
    @settings(max_examples=40)
    def law(expected: list[int], decoded: list[int], gone: set[int]) -> None:
        planned_files = [f.model_copy(update={"name": f"no{z}.png"}) if z in gone else f for z, f in enumerate(files)]
        source.expect(planned_files[z] for z in expected)
        for z in decoded:
            if z in gone:
                with pytest.raises(Undecodable, match="gone"):
                    source.decode(planned_files[z])
            else:
                assert np.array_equal(source.decode(planned_files[z]), STACK[z])

    law()


def test_the_next_one_is_on_its_way_before_it_is_asked_for_and_none_is_read_twice(gcs: Bucket) -> None:
    source, files = written(gcs.url)
    read_before = len(gcs.log())
    source.expect(files)
    source.decode(files[0])
    wait_until(lambda: any("1.png" in line for line in gcs.log()[read_before:]))
    for file in files[1:]:
        source.decode(file)
    # a line of the log comes after the answer, so that the first may be of what wrote the files
    read = Counter(line.partition("?")[0] for line in gcs.log()[read_before:] if "/o/" in line)
    assert set(read.values()) == {1}
    assert len(read) == len(files)


def test_large_files_are_not_read_ahead(gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    source, files = written(gcs.url)
    read_before = len(gcs.log())
    monkeypatch.setattr("clio_argo.store.slices.AHEAD_BYTES", min(f.size_bytes for f in files) - 1)
    source.expect(files)
    assert np.array_equal(source.decode(files[2]), STACK[2])
    read = [line for line in gcs.log()[read_before:] if line.startswith("GET") and ".png" in line]
    assert [line for line in read if "2.png" not in line] == []
