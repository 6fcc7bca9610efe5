"""FIB-SEM .dat files: detectors, versions of the header, what is refused, and a folder of them."""

from pathlib import Path

import numpy as np
import pytest

from clio_argo.steps.plan import plan
from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Page, Unreadable
from clio_argo.store.images.dat import DAT
from clio_argo.store.slices import Source
from clio_argo.workspace.survey import survey
from tests.stacks import demo_slices, request, write_stack
from tests.store.images.samples import GREY8, GREY16, HEIGHT, WIDTH, all_told, headers, one, slices
from tests.store.images.writers import dat

SIGNED = (GREY16.astype(np.int32) - 32768).astype(np.int16)


@pytest.mark.parametrize("version", [1, 2, 3, 8, 9])
def test_a_header_tells_size_type_pixel_size_and_stage_in_every_version(version: int) -> None:
    [header] = all_told(dat(SIGNED, version, nm=4.5, stage_mm=(1.25, -0.5)))
    assert (header.width, header.height, header.bits, header.type_name) == (WIDTH, HEIGHT, 0, "int16")
    assert (header.voxel_nm, header.stage_nm) == ((4.5, 4.5, 0), (1_250_000, -500_000))
    assert header.channel_name == "ESB"


def test_each_detector_is_a_channel_with_its_name(tmp_path: Path) -> None:
    source, entry = one(tmp_path, "1.dat", dat(np.dstack([GREY8, GREY8[::-1]])))
    assert [(h.channel, h.channel_name) for h in source.headers(entry)] == [(0, "ESB"), (1, "Target")]
    assert np.array_equal([*slices(source)], [GREY8, GREY8[::-1]])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_signed_values_are_handed_over_as_they_are(tmp_path: Path, channels: int) -> None:
    values = np.dstack([np.roll(SIGNED, n, 0) for n in range(channels)])
    # a footer lies behind the pixels
    (tmp_path / "1.dat").write_bytes(dat(values) + b"recipe" * 100)
    for n in range(channels):
        with (tmp_path / "1.dat").open("rb") as file:
            found = DAT.pixels(file, Page(number=n))
        assert found.dtype == np.int16
        assert np.array_equal(found, values[..., n])


def test_detectors_without_names_are_numbered_and_nonsense_is_no_pixel_size() -> None:
    [header] = headers(dat(GREY8, nm=float("nan"), stage_mm=(float("inf"), 0), named=False))
    assert (header.channel_name, header.voxel_nm, header.stage_nm) == ("", (0, 0, 0), None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (dat(GREY8)[:1000], "truncated: 1000 bytes, of which the header alone has 1024"),
        (dat(GREY8)[:32] + b"\5" + dat(GREY8)[33:], "broken header: 52 x 37 pixels of 5 detectors"),
        (dat(GREY8)[:100] + bytes(4) + dat(GREY8)[104:], "broken header: 0 x 37 pixels"),
    ],
)
def test_a_broken_header_is_named(tmp_path: Path, data: bytes, reason: str) -> None:
    source, entry = one(tmp_path, "1.dat", data)
    with pytest.raises(Unreadable, match=reason):
        source.headers(entry)


def test_other_files_with_this_suffix_are_no_slices_beside_others(tmp_path: Path) -> None:
    write_stack(tmp_path / "png", demo_slices(3, 64))
    (tmp_path / "png" / "log1.dat").write_text("12 3")
    (tmp_path / "png" / "raw").mkdir()
    (tmp_path / "png" / "raw" / "log2.dat").write_text("12 3")
    found = plan(request(tmp_path / "png"))
    assert (found.usable, found.problems) == (3, ())
    assert len(Source(str(tmp_path / "png")).entries()) == 3


def test_slices_that_are_named_by_date_and_time_are_in_their_order(tmp_path: Path) -> None:
    times = ("20-11-08_235959", "20-11-09_000101", "20-11-09_000205", "20-11-10_093000", "21-01-01_000000")
    for z, time in enumerate(times):
        both = np.dstack([GREY8, np.full_like(GREY8, z)])
        (tmp_path / f"Merlin-6257_{time}_0-0-0.dat").write_bytes(dat(both))
    assert plan(request(tmp_path)).found["channels"] == "ESB, Target; ESB is aligned"
    found, units, _ = survey(request(tmp_path, channel=1))
    source = Source(found.source)
    assert [(s.z, int(source.decode(s)[0, 0])) for unit in units for s in unit.slices] == [(z, z) for z in range(5)]
    assert plan(request(tmp_path, channel=1, minz=1, maxz=2)).usable == 2


def test_a_folder_with_a_truncated_slice_names_it(tmp_path: Path) -> None:
    for z in range(3):
        (tmp_path / f"{z}.dat").write_bytes(dat(GREY8)[: 2000 if z == 1 else None])
    [problem] = plan(request(tmp_path, max_bad=1)).problems
    assert (problem.z, problem.kind) == (1, "truncated")
    assert read_headers((tmp_path / "2.dat").open("rb"), 2000)[0].truncated
