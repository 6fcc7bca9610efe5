"""Volumes as sources: every kind and type of values, axes, voxel size, damage, and what each slice costs to read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clio_argo.cli.doctor_store import look_at_source
from clio_argo.errors import UserError
from clio_argo.model.values import ValueMap
from clio_argo.steps.plan import plan
from clio_argo.store.images.base import Undecodable
from clio_argo.store.slices import Source
from clio_argo.store.sources import find_kind, open_source
from clio_argo.store.sources.volume import VolumeSource, is_torn
from tests.stacks import demo_slices, digests, done_at, plain, request, run_here, write_stack
from tests.store.images.samples import planned
from tests.store.sources.volumes import (
    CHUNK,
    WRITERS,
    n5,
    ngff,
    opened,
    planes,
    precomputed,
    upload,
    zarr2,
    zarr3,
)  # fmt: skip
from tests.stores import Bucket

VALUES = np.random.default_rng(1).integers(1, 2**16, (10, 33, 47), np.uint16)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_plane_is_read_as_it_was_written(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "v", VALUES)
    source, entry = opened(tmp_path / "v", at_once=3)
    assert find_kind(source.url)[0] == "volume"
    assert np.array_equal([*planes(source, entry)], VALUES)
    # backwards, so that no plane is there already
    header = source.headers(entry)[0]
    at = [planned(entry, page, "uint16", header.height, header.width) for page in range(10)]
    assert np.array_equal([source.decode(a) for a in at[::-1]], VALUES[::-1])


@pytest.mark.parametrize("kind", WRITERS)
def test_the_voxel_size_is_that_of_the_metadata(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "v", VALUES)
    source, entry = opened(tmp_path / "v")
    expected = (0, 0, 0) if kind.startswith(("zarr", "sharded")) else (4, 4, 20)
    headers = source.headers(entry)
    assert {tuple(np.round(h.voxel_nm, 9)) for h in headers} == {expected}
    assert headers[0].format.split()[-1] in kind


def test_a_voxel_size_that_means_nothing_is_none(tmp_path: Path) -> None:
    n5(tmp_path / "v", VALUES)
    damage(tmp_path / "v" / "attributes.json", "0.004, 0.004", '"fine", null')
    source, entry = opened(tmp_path / "v")
    assert source.headers(entry)[0].voxel_nm == (0, 0, 20)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32"])
def test_values_are_handed_over_in_their_type(tmp_path: Path, dtype: str) -> None:
    zarr3(tmp_path / "v", VALUES.astype(dtype))
    source, entry = opened(tmp_path / "v")
    assert {(h.bits, h.type_name) for h in source.headers(entry)} == {
        (np.dtype(dtype).itemsize * 8, "") if dtype.startswith("u") else (0, dtype)
    }


def test_one_of_several_channels_and_times_is_chosen(tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(1, 255, (2, 3, 5, 33, 47), np.uint8)
    ngff(tmp_path / "v", values, 3)
    source, entry = opened(tmp_path / "v", 4)
    assert np.array_equal([*planes(source, entry)], values.reshape(30, 33, 47))
    assert [c.name for c in plan(request(tmp_path / "v", time=1)).channels] == [f"detector {c}" for c in range(3)]
    found = plan(request(tmp_path / "v", channel=1, time=1))
    assert (found.usable, found.minz) == (5, 0)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda f: zarr2(f, VALUES[0]), r"its axes are \? \(33\), \? \(47\); x, y, z"),
        (lambda f: zarr2(f, VALUES[None]), r"its axes are \? \(1\), \? \(10\)"),
        (lambda f: ngff(f, VALUES, 2) or damage(f / ".zattrs", '"y"', '"q"'), r"t \(1\), c \(1\), z \(10\), q \(33\)"),
        (lambda f: zarr2(f, VALUES) or named(f, "zz", "y", "x"), r"zz \(10\), y \(33\), x \(47\)"),
        (lambda f: zarr2(f, VALUES) or named(f, "z", "x", "x"), r"z \(10\), x \(33\), x \(47\)"),
        (lambda f: zarr2(f, VALUES) or named(f, "z", "y"), r"z \(10\), y \(33\), \? \(47\)"),
        (lambda f: ngff(f, VALUES, 2, "czyx") or (f / ".zattrs").write_text("{}"), "a zarr group without an image"),
        (lambda f: zarr3(f, VALUES) or damage(f / "zarr.json", "zstd", "zzz"), "its volume cannot be opened: .*zzz"),
        (lambda f: ngff(f, VALUES, 2) or damage(f / ".zattrs", '"datasets"', '"x"'), "metadata .* are broken"),
        (lambda f: ngff(f, VALUES, 2) or damage(f / ".zattrs", '"full"', '"../v/full"'), r"broken: .*the path '\.\./v"),
        (lambda f: precomputed(f, VALUES) or damage(f / "info", '"4_4_20"', '"/etc"'), "broken: .*the path '/etc'"),
        (lambda f: zarr3(f, VALUES) or damage(f / "zarr.json", '"y"', '"z"'), "cannot be opened: .*not unique"),
        (lambda f: zarr2(f, VALUES[:0]), r"its axes are z \(0\), y \(33\)"),
    ],
)
def test_what_is_no_stack_of_planes_is_refused_with_its_axes(
    tmp_path: Path, write: Callable[[Path], object], reason: str
) -> None:
    write(tmp_path / "v")
    with pytest.raises(UserError, match=f"(?s)^source .*{reason}"):
        plan(request(tmp_path / "v"))


def named(folder: Path, *axes: str) -> None:
    (folder / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": axes}))


def damage(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_chunks_that_take_more_memory_than_their_planes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clio_argo.store.sources.volume.MOST_CHUNK_BYTES", 1000)
    monkeypatch.setattr("clio_argo.store.sources.volume.MOST_CHUNK_PLANES", 0.1)
    zarr2(tmp_path / "v", VALUES)
    with pytest.raises(UserError, match=r"its chunks are \(4, 16, 20\); write it with smaller ones"):
        plan(request(tmp_path / "v"))


def test_z_begins_where_the_volume_does_and_is_chosen_by_its_numbers(tmp_path: Path) -> None:
    precomputed(tmp_path / "v", VALUES)
    found = plan(request(tmp_path / "v"))
    assert (found.minz, found.maxz, found.usable) == (3, 12, 10)
    found = plan(request(tmp_path / "v", minz=5, maxz=6))
    assert (found.minz, found.maxz, found.usable) == (5, 6, 2)


@pytest.mark.parametrize("other", ["a text", "[1]", '{"scales": 3}', '{"dimensions": [3]}'])
def test_files_that_are_named_like_metadata_are_no_volume(tmp_path: Path, other: str) -> None:
    write_stack(tmp_path / "png", demo_slices(3, 64))
    for name in ("info", "attributes.json", "zarr.json", ".zattrs"):
        (tmp_path / "png" / name).write_text(other)
    assert type(open_source(str(tmp_path / "png"))) is Source
    assert plan(request(tmp_path / "png")).usable == 3


# --- damage and change


def chunks(folder: Path) -> list[Path]:
    return sorted(f for f in (folder / "c").rglob("*") if f.is_file())


def test_missing_chunks_are_named_and_a_plane_without_any_is_bad(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES)
    for chunk in chunks(tmp_path / "v"):
        layer, *place = chunk.relative_to(tmp_path / "v" / "c").parts
        if layer == "1" or (layer == "2" and place == ["0", "1"]):
            chunk.unlink()
    source, entry = opened(tmp_path / "v")
    read = [_heard(source, planned(entry, page, "uint16", 33, 47)) for page in range(10)]
    assert read[:4] == [""] * 4
    assert read[4:8] == ["its chunks are missing"] * 4
    assert all(words.startswith("some of its chunks are missing") for words in read[8:])


def test_chunks_that_hold_background_may_be_left_out(tmp_path: Path) -> None:
    values = VALUES.copy()
    # tissue ends within the first chunks of a row, the others are empty; dirt lies beside them
    values[:, :, 18:], values[:, 3, 19] = 0, 9
    zarr3(tmp_path / "v", values)
    assert len(chunks(tmp_path / "v")) == 3 * 3
    source, entry = opened(tmp_path / "v")
    assert {_heard(source, planned(entry, page, "uint16", 33, 47)) for page in range(10)} == {""}


@given(hnp.arrays(bool, (9, 13)), st.integers(1, 5), st.integers(1, 5), st.data())
def test_a_chunk_lost_among_filled_ones_is_seen_wherever_it_is(
    holes: np.ndarray, height: int, width: int, data: st.DataObject
) -> None:
    assert not is_torn(np.ones_like(holes), height, width)
    y, x = data.draw(st.integers(0, 8)) // height * height, data.draw(st.integers(0, 12)) // width * width
    lost = np.ones_like(holes)
    lost[y : y + height, x : x + width] = False
    assert is_torn(lost, height, width) == bool(lost.any())
    # mirrored and turned it is the same, where chunks fit in
    torn = is_torn(holes[:8, :12], 4, 4)
    assert torn == is_torn(holes[:8, :12][::-1], 4, 4) == is_torn(holes[:8, :12].T, 4, 4)


def test_a_damaged_chunk_makes_its_planes_bad(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES)
    chunks(tmp_path / "v")[-1].write_bytes(b"damaged")
    source, entry = opened(tmp_path / "v")
    read = [_heard(source, planned(entry, page, "uint16", 33, 47)) for page in range(10)]
    assert read[:8] == [""] * 8
    assert all(words.startswith("does not decode: ") for words in read[8:])


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_a_missing_chunk_is_named_whatever_the_fill_value_is(tmp_path: Path, fill: float) -> None:
    zarr3(tmp_path / "v", VALUES.astype(np.float32), fill_value=fill)
    (tmp_path / "v" / "c" / "0" / "0" / "1").unlink()
    source, entry = opened(tmp_path / "v")
    place = planned(entry, 0, "uint16", 33, 47).model_copy(update={"values": ValueMap.of("float32")})
    assert _heard(source, place).startswith("some of its chunks are missing")


def _heard(source: object, at: object) -> str:
    assert isinstance(source, VolumeSource)
    try:
        return source.decode_heard(at)[1]
    except Undecodable as error:
        return str(error)


def test_a_volume_that_was_cut_is_noticed(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES)
    _, entry = opened(tmp_path / "v")
    zarr3(tmp_path / "v", VALUES[:8])
    at = planned(entry, 9, "uint16", 33, 47)
    assert _heard(opened(tmp_path / "v")[0], at) == "the volume has 8 planes now; it was changed since it was planned"


def test_a_change_of_any_chunk_changes_the_stamp_and_one_of_the_metadata_is_refused_at_once(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES)
    source, entry = opened(tmp_path / "v")
    at = planned(entry, 0, "uint16", 33, 47).model_copy(update={"stamp": entry.stamp})
    assert source.entries() == [entry]
    source.refuse_changed(at)
    chunks(tmp_path / "v")[3].unlink()
    assert source.entries()[0].stamp != entry.stamp
    source.refuse_changed(at)
    (tmp_path / "v" / "zarr.json").touch()
    with pytest.raises(Undecodable, match="changed since it was planned"):
        source.refuse_changed(at)
    (tmp_path / "v" / "zarr.json").unlink()
    with pytest.raises(Undecodable, match="gone since it was planned"):
        source.refuse_changed(at)


# --- what reading costs


@pytest.mark.properties
@pytest.mark.parametrize(
    ("store", "write"), [("s3", zarr3), ("gcs", precomputed), ("gcs", n5), ("gcs", lambda f, v: ngff(f, v, 2))]
)
def test_a_volume_is_read_from_buckets(
    tmp_path: Path, request: pytest.FixtureRequest, store: str, write: Callable[..., None]
) -> None:
    url = f"{request.getfixturevalue(store).url}/below/v"
    write(tmp_path / "v", VALUES)
    upload(tmp_path / "v", url)
    source, entry = opened(url, 4)
    assert np.array_equal([*planes(source, entry)], VALUES)
    assert entry.stamp == source.entries()[0].stamp


@pytest.mark.parametrize(
    ("kind", "at_once", "asked"),
    [
        # 9 chunks in each of 2 layers
        ("zarr v3", 4, 2 * 9),
        ("zarr v3", 2, 2 * 9 * 2),
        ("zarr v3", 1, 2 * 9 * 4),
        # the index, and all chunks of a layer by one range
        ("sharded zarr v3", 4, 2 * 2),
    ],
)
def test_planes_that_are_read_together_share_one_reading_of_their_chunks(
    tmp_path: Path, gcs: Bucket, kind: str, at_once: int, asked: int
) -> None:
    WRITERS[kind](tmp_path / "v", VALUES[:8])
    upload(tmp_path / "v", gcs.url)
    source, entry = opened(gcs.url, at_once)
    source.headers(entry)
    before = len(gcs.log())
    assert np.array_equal([*planes(source, entry)], VALUES[:8])
    assert len(gcs.log()) - before == asked


@pytest.mark.parametrize(("memory", "together"), [(0, 1), (2, 2), (3, 2), (4, 4), (10**6, 4)])
def test_as_few_readings_as_memory_allows_of_nearly_the_same_number_of_planes(
    tmp_path: Path, memory: int, together: int
) -> None:
    zarr3(tmp_path / "v", VALUES)
    source, _ = opened(tmp_path / "v")
    assert source.together(memory * VALUES[0].nbytes, source.entries()) == (together, together * VALUES[0].nbytes)


def test_planes_that_are_not_there_are_not_counted(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES[:2])
    assert opened(tmp_path / "v")[0].together(10**9, []).slices == 2


def test_the_plan_reads_no_voxel_and_keeps_how_the_source_is_read(tmp_path: Path, gcs: Bucket) -> None:
    zarr3(tmp_path / "v", VALUES)
    upload(tmp_path / "v", gcs.url)
    before = len(gcs.log())
    found = plan(request(gcs.url, memory_gib=0.25))
    assert (found.source_kind, found.together, found.together_mib) == ("volume", CHUNK[0], 1)
    asked = gcs.log()[before:]
    assert not [path for path in asked if "%2Fc%2F" in path or "/c%2F" in path]
    assert len(asked) <= 20


def test_the_doctor_looks_into_volumes(tmp_path: Path) -> None:
    zarr3(tmp_path / "v", VALUES)
    listed, read = look_at_source(str(tmp_path / "v"))
    assert (listed.verdict, read.verdict) == ("ok", "ok")
    assert read.found == "zarr.json has 47 x 33 pixels of 16 bit"


def test_axes_by_the_attributes_of_xarray(tmp_path: Path) -> None:
    zarr2(tmp_path / "v", VALUES)
    named(tmp_path / "v", "y", "z", "x")
    found = plan(request(tmp_path / "v"))
    assert (found.usable, found.width, found.height) == (33, 47, 10)


# --- a whole run


@pytest.mark.properties
def test_a_run_over_a_volume_is_that_over_its_planes_and_follows_its_changes(tmp_path: Path) -> None:
    images = demo_slices(5, 64)
    stack = np.stack([*images.values()])
    first = min(images)
    precomputed(tmp_path / "v", stack, (0, 0, first))
    request = plain(tmp_path / "v")
    run_here(request, tmp_path / "run")
    run_here(plain(write_stack(tmp_path / "png", images)), tmp_path / "expected")
    assert digests(tmp_path / "run")["aligned"] == digests(tmp_path / "expected")["aligned"] != []
    done = done_at(tmp_path / "run")
    run_here(request, tmp_path / "run")
    assert done_at(tmp_path / "run") == done
    stack[2:, :40] = 255 - stack[2:, :40]
    shutil.rmtree(tmp_path / "v")
    precomputed(tmp_path / "v", stack, (0, 0, first))
    run_here(request, tmp_path / "run")
    changed = dict(zip(images, stack, strict=True))
    run_here(plain(write_stack(tmp_path / "changed", changed)), tmp_path / "expected changed")
    assert digests(tmp_path / "run")["aligned"] == digests(tmp_path / "expected changed")["aligned"]
    assert digests(tmp_path / "run")["aligned"] != digests(tmp_path / "expected")["aligned"]
