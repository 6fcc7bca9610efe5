"""MRC files: planes, types of values, voxel size, and what is refused; mrcfile reads the same."""

import io
import struct
import tracemalloc
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.steps.plan import plan
from clio_argo.store.documents import Store
from clio_argo.store.images.base import Page, Unreadable
from clio_argo.store.images.mrc import MRC
from clio_argo.store.slices import Source
from tests.stacks import request
from tests.store.images.samples import GREY8, GREY16, all_told, headers, one, planned, slices
from tests.store.images.writers import mrc
from tests.stores import Bucket

STACK = np.stack([GREY16, GREY16[::-1], GREY16 // 2])
SIGNED = (STACK.astype(np.int32) - 32768).astype(np.int16)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "values", [STACK, SIGNED, (SIGNED >> 8).astype(np.int8), STACK.astype(np.float32), (STACK // 2).astype(np.float16)]
)
def test_every_plane_is_what_mrcfile_reads_with_its_lowest_row_last(values: np.ndarray, order: str) -> None:
    data = mrc(values, order, extended=bytes(range(200)))
    with mrcfile.mrcinterpreter.MrcInterpreter(io.BytesIO(data)) as expected:
        for z, header in enumerate(headers(data)):
            found = MRC.pixels(io.BytesIO(data), Page(number=z))
            assert found.dtype == values.dtype
            assert np.array_equal(found, expected.data[z, ::-1])
            assert header.type_name == ("" if values is STACK else values.dtype.name)
            assert header.bits == (16 if values is STACK else 0)


def test_big_endian_numbers_are_known_without_their_stamp() -> None:
    data = mrc(STACK, ">")
    assert headers(data[:212] + bytes(4) + data[216:]) == headers(data)


def test_what_mrcfile_writes_is_read(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "1.mrc", STACK) as written:
        written.voxel_size = (43.2, 43.2, 80)
    source = Source(str(tmp_path))
    assert np.array_equal([*slices(source)], STACK[:, ::-1])
    [entry] = source.entries()
    assert {h.voxel_nm for h in source.headers(entry)} == {(4.32, 4.32, 8)}


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (mrc(GREY8[None], imod_flags=0), False),
        (mrc(GREY8[None] // 3, imod_flags=0), False),
        (mrc(GREY8[None], imod_flags=1), True),
        # other programs: as their values tell, else as the standard says
        (mrc(GREY8[None]), False),
        (mrc(GREY8[None] // 3), True),
    ],
)
def test_bytes_are_signed_by_imods_flag_or_else_by_their_largest_value(data: bytes, signed: bool) -> None:
    assert headers(data)[0].type_name == ("int8" if signed else "")


@pytest.mark.parametrize(
    ("voxel", "found"),
    [((1, 1, 1), (0, 0, 0)), ((40, 40, 300), (4, 4, 30)), ((0, 0, 0), (0, 0, 0)), ((np.nan, 1, 1), (0, 0, 0))],
)
def test_a_voxel_of_one_angstrom_is_an_unknown_one(voxel: tuple[float, float, float], found: object) -> None:
    assert all_told(mrc(STACK, voxel_angstrom=voxel))[0].voxel_nm == found


def changed(at: int, value: bytes) -> bytes:
    data = mrc(STACK)
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed(12, b"\x10"), r"mode 16 \(colour of 3 x 8 bit\)"),
        (changed(12, b"\x63"), r"mode 99 \(unknown\)"),
        (changed(64, b"\3"), "its axes are not x, y, z"),
        (changed(88, b"\x91\1"), "or it holds several volumes"),
        (changed(8, b"\0"), "broken header: 52 x 37 pixels, 0 planes"),
        (changed(10, b"\xff"), "planes"),
        (changed(95, b"\xff"), "broken header: .* bytes beside them"),
        (mrc(STACK)[:900], "truncated: 900 bytes"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    source, entry = one(tmp_path, "1.mrc", data)
    with pytest.raises(Unreadable, match=reason):
        source.headers(entry)


def test_planes_that_a_truncated_file_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.rec").write_bytes(mrc(STACK)[:-1])
    found = plan(request(tmp_path, max_bad=1))
    assert [(p.z, p.kind) for p in found.problems] == [(2, "truncated")]
    (tmp_path / "1.rec").write_bytes(mrc(STACK)[:1100])
    with pytest.raises(UserError, match=r"1\.rec: unreadable \(truncated: it holds 0 of 3 planes\)"):
        plan(request(tmp_path))


def test_a_long_stack_is_read_one_plane_at_a_time_by_ranges(gcs: Bucket) -> None:
    planes = np.zeros((50, 400, 600), np.uint16)
    planes[7] = np.arange(600)
    Store(gcs.url).write("stack.mrc", mrc(planes))
    assert plan(request(gcs.url)).usable == 50
    source = Source(gcs.url)
    [entry] = source.entries()
    at, before = planned(entry, 7, "uint16", 400, 600), len(gcs.log())
    tracemalloc.start()
    assert np.array_equal(source.decode(at), planes[7])
    assert tracemalloc.get_traced_memory()[1] < 3 * planes[0].nbytes
    tracemalloc.stop()
    assert len(gcs.log()) - before <= 3


def test_planes_that_the_header_does_not_count_are_not_lost() -> None:
    data = mrc(STACK)
    stale = data[:8] + struct.pack("<i", len(STACK) - 1) + data[12:]
    with pytest.raises(Unreadable, match=f"says that it has {len(STACK) - 1} planes, but holds {len(STACK)}"):
        headers(stale)
