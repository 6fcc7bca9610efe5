"""Headers of files of every kind, whole and damaged; those of one format are in the test of its module."""

import io
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Header, Unreadable
from tests.store.images.samples import HEIGHT, HUGE, HUGE_FILES, SAMPLES, WIDTH, decoded, headers

magics = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"\xff\xd8\xff"])


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_header_tells_size_depth_and_channels(kind: str) -> None:
    sample = SAMPLES[kind]()
    n = sample.channels
    expected = Header(width=WIDTH, height=HEIGHT, bits=sample.bits, channels=n, rgb=n > 2, alpha=n in (2, 4))
    assert headers(sample.data) == [expected]


@pytest.mark.parametrize("lost", [20, 100, 0.5])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_truncated_file_is_seen_without_its_pixels(kind: str, lost: float) -> None:
    data = SAMPLES[kind]().data
    cut = data[: -int(lost if lost > 1 else lost * len(data))]
    try:
        assert all(h.truncated for h in headers(cut))
    except Unreadable:
        assert kind == "TIFF with its directory at the end"


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 20, 25])
@pytest.mark.parametrize("kind", ["grey PNG", "grey TIFF", "BigTIFF", "JPEG"])
def test_a_truncated_header_is_unreadable(kind: str, length: int) -> None:
    with pytest.raises(Unreadable):
        headers(SAMPLES[kind]().data[:length])


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"GIF89a" + bytes(100), b"BM" + bytes(100), bytes(1000), b"II", b"MM\0*", b"\xff\xd8\xff\xd9"],
)
def test_what_is_no_image_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        headers(data)


@example(b"II*\0\x08\0\0\0\xff\xff")
@given(st.builds(bytes.__add__, magics, st.binary(max_size=200)))
def test_any_bytes_have_headers_or_are_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        assert all(h.width > 0 and h.height > 0 for h in headers(data))


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_damaged_file_has_headers_or_is_unreadable(kind: str, data: st.DataObject) -> None:
    whole = bytearray(SAMPLES[kind]().data)
    for _ in range(data.draw(st.integers(1, 4))):
        # most of what a header says lies near the begin of a file
        near = data.draw(st.booleans())
        whole[data.draw(st.integers(0, min(300 if near else 10**9, len(whole)) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Unreadable):
        headers(bytes(whole))


@pytest.mark.parametrize("name", HUGE_FILES)
def test_a_header_that_claims_60000_x_60000_is_believed_and_nothing_is_unpacked(name: str) -> None:
    [header] = headers(HUGE_FILES[name]())
    assert (header.width, header.height) == (HUGE, HUGE)


ENDED = ["grey PNG", "interlaced PNG", "JPEG", "progressive JPEG", "grey as colour JPEG"]


@pytest.mark.parametrize("behind", [50, 64, 5000, "picture"])
@pytest.mark.parametrize("kind", ENDED)
def test_bytes_behind_the_end_mark_change_nothing(tmp_path: Path, kind: str, behind: int | str) -> None:
    sample = SAMPLES[kind]()
    data = sample.data + (sample.data[:-100] if behind == "picture" else bytes(int(behind)))
    assert headers(data) == headers(sample.data)
    assert np.array_equal(decoded(tmp_path, "1.png", data), decoded(tmp_path, "2.png", sample.data))


@pytest.mark.parametrize("kind", ENDED)
def test_zeros_that_stand_for_the_last_pixels_are_seen(kind: str) -> None:
    data = SAMPLES[kind]().data
    assert [headers(data[:n] + bytes(5000))[0].truncated for n in range(len(data) // 2, len(data) - 16, 50)].count(
        False
    ) == 0


@pytest.mark.parametrize(("kind", "piece"), [("PNG", bytes(12)), ("JPEG", b"\xff\xfe\x00\x02")])
def test_a_search_for_the_end_mark_ends(kind: str, piece: bytes) -> None:
    data = SAMPLES["grey PNG"]().data[:33] if kind == "PNG" else SAMPLES["JPEG"]().data[:-30]
    started = time.process_time()
    assert headers(data + piece * (2**25 // len(piece)))[0].truncated
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", ["grey PNG", "JPEG"])
def test_a_file_that_is_much_larger_than_its_pixels_is_unreadable(kind: str) -> None:
    data = SAMPLES[kind]().data
    with pytest.raises(Unreadable, match="bytes for 52 x 37 pixels"):
        read_headers(io.BytesIO(data), 2**30)
