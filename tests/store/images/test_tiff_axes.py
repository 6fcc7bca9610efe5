"""Pages of TIFF files lie in z, channel and time as ImageJ, OME and tifffile say."""

import io
import re
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
import tifffile

from clio_argo.errors import UserError
from clio_argo.steps.plan import plan
from clio_argo.store.slices import Source
from clio_argo.workspace.survey import survey
from tests.stacks import request
from tests.store.images.samples import headers, texture, tiff
from tests.store.images.test_tiff_stacks import one_header, previewed

TIMES, SLICES, CHANNELS, HEIGHT, WIDTH = 2, 3, 2, 20, 24
# [t, z, c, y, x]
STACK = np.stack([texture(height=HEIGHT, width=WIDTH, seed=s) for s in range(12)]).reshape(2, 3, 2, HEIGHT, WIDTH)
KINDS: dict[str, dict[str, Any]] = {"ImageJ": {"imagej": True}, "OME": {"ome": True}, "tifffile": {"ome": False}}


def written(file: Path, kind: str, stack: np.ndarray, axes: str, **metadata: Any) -> Path:
    options = KINDS[kind]
    tifffile.imwrite(file, stack, photometric="minisblack", metadata={"axes": axes, **metadata}, **options)
    return file


def read(file: Path, **settings: Any) -> np.ndarray:
    """Slices of a request for one file."""
    plan, units, _ = survey(request(file, **settings))
    source = Source(plan.source)
    return np.stack([source.decode(s) for unit in units for s in unit.slices])


@pytest.mark.parametrize("kind", KINDS)
def test_channel_and_time_choose_slices_in_order_of_z(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "a.tif", kind, STACK, "TZCYX")
    for time in range(TIMES):
        for channel in range(CHANNELS):
            assert np.array_equal(read(file, time=time, channel=channel), STACK[time, :, channel])


@pytest.mark.parametrize("order", ["CTZYX", "ZCTYX", "CZTYX", "ZTCYX"])
@pytest.mark.parametrize("kind", ["OME", "tifffile"])
def test_axes_of_any_order_are_read(tmp_path: Path, kind: str, order: str) -> None:
    stack = STACK.transpose([("TZCYX").index(a) for a in order])
    file = written(tmp_path / "a.tif", kind, stack, order)
    assert np.array_equal(read(file, time=1, channel=0), STACK[1, :, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_several_times_are_refused_with_how_to_choose(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "a.tif", kind, STACK[:, :, 0], "TZYX")
    with pytest.raises(UserError, match=r"2 times \(0, 1\); choose one, for example `time: 0`") as refused:
        read(file)
    assert "missing" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("axes", "stack", "axis"), [("ZCYX", STACK[0], "channel"), ("TZYX", STACK[:, :, 0], "time")])
def test_one_that_is_not_there_is_refused(tmp_path: Path, kind: str, axes: str, stack: np.ndarray, axis: str) -> None:
    with pytest.raises(UserError, match=f"no {axis} 7; there is 0"):
        read(written(tmp_path / "a.tif", kind, stack, axes), **{axis: 7})


def test_channels_are_named(tmp_path: Path) -> None:
    file = written(tmp_path / "a.tif", "OME", STACK[0], "ZCYX", Channel={"Name": ["SE", "BSE"]})
    assert plan(request(file)).found["channels"] == "SE, BSE; SE is aligned"


@pytest.mark.parametrize("kind", KINDS)
def test_a_choice_may_stay_where_there_is_one(tmp_path: Path, kind: str) -> None:
    file = written(tmp_path / "a.tif", kind, STACK[0, :, 0], "ZYX")
    assert np.array_equal(read(file, channel=0, time=0), STACK[0, :, 0])


def test_a_file_per_slice_may_hold_several_channels(tmp_path: Path) -> None:
    for z in range(SLICES):
        written(tmp_path / f"{z}.tif", "ImageJ", STACK[0, z], "CYX")
    assert np.array_equal(read(tmp_path, channel=1), STACK[0, :, 1])
    assert [c.name for c in plan(request(tmp_path)).channels] == ["0", "1"]


def test_a_hyperstack_behind_one_header_is_read(tmp_path: Path) -> None:
    head = one_header(12, (HEIGHT, WIDTH), 8).replace(b"slices=12\n", b"slices=3\nchannels=2\nframes=2\n")
    # the longer text lies where the pixels begin
    with tifffile.TiffFile(io.BytesIO(one_header(12, (HEIGHT, WIDTH), 8))) as file:
        length = file.pages[0].tags["ImageDescription"].count
    longer = len(head) - len(one_header(12, (HEIGHT, WIDTH), 8))
    body = head.replace(length.to_bytes(4), (length + longer).to_bytes(4))
    begin = len(head) - longer
    body = body.replace(begin.to_bytes(4), len(head).to_bytes(4)) + STACK.tobytes()
    (tmp_path / "a.tif").write_bytes(body)
    assert np.array_equal(read(tmp_path / "a.tif", time=1, channel=1), STACK[1, :, 1])


def ome(blocks: str, sizes: str = 'SizeC="2" SizeT="1" SizeZ="3"', order: str = "XYCZT", images: int = 1) -> str:
    pixels = f'<Pixels DimensionOrder="{order}" Type="uint8" SizeX="24" SizeY="20" {sizes}>{blocks}</Pixels>'
    return f'<?xml version="1.0"?><OME xmlns="o" UUID="urn:uuid:1">{f"<Image>{pixels}</Image>" * images}</OME>'


PAGES = STACK[0].reshape(6, HEIGHT, WIDTH)


def with_xml(file: Path, xml: str, pages: np.ndarray = PAGES) -> Path:
    file.write_bytes(tiff(pages, description=xml))
    return file


def test_pages_lie_where_each_block_of_ome_says(tmp_path: Path) -> None:
    # from the last page to the first, as Bio-Formats may write them
    places = [(c, z) for z in range(3) for c in range(2)]
    blocks = "".join(
        f'<TiffData IFD="{5 - i}" FirstC="{c}" FirstZ="{z}"><UUID>urn:uuid:1</UUID></TiffData>'
        for i, (c, z) in enumerate(places)
    )
    elsewhere = '<TiffData IFD="0" FirstC="0" FirstZ="0"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>'
    found = read(with_xml(tmp_path / "a.tif", ome(elsewhere + blocks)), channel=0)
    assert np.array_equal(found, PAGES[::-1][::2])


@pytest.mark.parametrize("blocks", ["", "<TiffData/>", '<TiffData IFD="0" PlaneCount="6"/>'])
def test_blocks_of_ome_may_cover_all_pages(tmp_path: Path, blocks: str) -> None:
    assert np.array_equal(read(with_xml(tmp_path / "a.tif", ome(blocks)), channel=1), PAGES[1::2])


def test_several_series_are_refused(tmp_path: Path) -> None:
    xml = ome('<TiffData IFD="0" PlaneCount="3"/>', 'SizeC="1" SizeT="1" SizeZ="3"', images=2)
    # the second image begins behind the first
    at = xml.rindex('IFD="0"')
    with pytest.raises(UserError, match="2 series; save the one"):
        read(with_xml(tmp_path / "a.tif", f'{xml[:at]}IFD="3"{xml[at + 7 :]}'))


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("ImageJ=1.53t\nimages=8\nchannels=2\nslices=4\n", "says 1 times x 4 slices x 2 channels, but holds 6 pages"),
        (ome('<TiffData IFD="0" PlaneCount="4"/>'), "OME-XML places 4 of 6 pages"),
        ('{"shape": [3, 2, 20, 24]}', "3 x 2 pages, and nothing says which of these are slices"),
    ],
    ids=["ImageJ", "OME", "tifffile"],
)
def test_pages_of_which_nothing_true_is_said_are_refused(tmp_path: Path, description: str, reason: str) -> None:
    file = with_xml(tmp_path / "a.tif", description)
    with pytest.raises(UserError, match=re.escape(reason)):
        read(file)


@pytest.mark.parametrize(
    "description",
    [
        "ImageJ=1.53t\nimages=8\nslices=8\n",
        "ImageJ=1.53t\nimages=6\nslices=x\n",
        '{"shape": [6, 20, 24]}',
        '{"shape": [1, 6, 1, 20, 24]}',
        '{"shape": [7, 20, 24], "axes": "CYX"}',
    ],
)
def test_what_a_file_holds_counts_where_there_is_only_z(tmp_path: Path, description: str) -> None:
    assert np.array_equal(read(with_xml(tmp_path / "a.tif", description)), PAGES)


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("<OME></OM></OME>", "mismatched tag"),
        (ome("", 'SizeC="1" SizeT="1" SizeZ="9"'), "says 9 planes, but it holds 6 pages; save it anew"),
        (ome("".join(f'<TiffData IFD="{n}" FirstZ="{n + n // 3}"/>' for n in range(6)), 'SizeZ="7"'), "says 7 planes"),
        (ome("<TiffData/>" * 10**5, 'SizeC="2" SizeZ="1"'), "says 2 planes, but it holds 6 pages"),
        (ome("", 'SizeC="1000000000" SizeZ="1000000000" SizeT="1000000000"'), "planes, but it holds 6 pages"),
    ],
)
def test_any_xml_ends(tmp_path: Path, xml: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(with_xml(tmp_path / "a.tif", xml))


def test_a_shape_of_many_axes_is_read_in_time() -> None:
    text = '{"shape": [' + "1, " * 20_000 + "2, 20, 24]}"
    began = process_time()
    assert len(headers(previewed((STACK[0, 0, 0], {"description": text}), (STACK[0, 0, 1], {})))) == 2
    assert process_time() - began < 1
