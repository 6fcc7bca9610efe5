"""Channels of slices: the same from pictures, pages and files; what is aligned, what is lost, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from clio_argo.errors import UserError
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.store.images.base import Undecodable
from clio_argo.store.sources import open_source
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.survey import survey
from tests.stacks import encoded, request
from tests.store.images.samples import texture
from tests.store.sources.volumes import ngff

SLICES, HEIGHT, WIDTH = 3, 40, 52
COLOURS = np.stack(
    [np.stack([texture(height=HEIGHT, width=WIDTH, seed=3 * z + c) for c in range(3)]) for z in range(SLICES)]
)
"""Slices [z, channel, y, x]."""
NAMES = ("EM", "GFP", "RFP")
CLEAR = np.zeros((HEIGHT, WIDTH), np.bool_)
CLEAR[:, :9] = True
Write = Callable[[Path, np.ndarray], dict[str, Any]]


def pictures(**options: Any) -> Write:
    """A file of [y, x, channel] for each slice."""

    def write(folder: Path, stack: np.ndarray) -> dict[str, Any]:
        for z, channels in enumerate(stack):
            planes = channels if options.get("planarconfig") == "separate" else np.moveaxis(channels, 0, 2)
            tifffile.imwrite(folder / f"{z}.tif", planes, **options)
        return {}

    return write


def png(folder: Path, stack: np.ndarray) -> dict[str, Any]:
    for z, channels in enumerate(stack):
        # OpenCV writes blue first
        (folder / f"{z}.png").write_bytes(encoded(np.moveaxis(channels[[2, 1, 0, *range(3, len(channels))]], 0, 2)))
    return {}


def pages(**options: Any) -> Write:
    """One file of all channels and slices."""

    def write(folder: Path, stack: np.ndarray) -> dict[str, Any]:
        tifffile.imwrite(folder / "stack.tif", stack, **options)
        return {}

    return write


def files(folder: Path, stack: np.ndarray) -> dict[str, Any]:
    for z, channels in enumerate(stack):
        for name, plane in zip(NAMES, channels, strict=True):
            (folder / f"s{z:05d}_{name}.png").write_bytes(encoded(plane))
    return {"image": "s%05d_{channel}.png", "channels": NAMES}


def volume(folder: Path, stack: np.ndarray) -> dict[str, Any]:
    ngff(folder / "v", np.moveaxis(stack, 1, 0)[None], 3)
    return {"source": str(folder / "v")}


WRITERS: dict[str, Write] = {
    "PNG": png,
    "TIFF": pictures(photometric="rgb"),
    "TIFF of planes": pictures(photometric="rgb", planarconfig="separate"),
    "TIFF of samples": pictures(photometric="minisblack", planarconfig="contig"),
    "ImageJ": pages(imagej=True, metadata={"axes": "ZCYX"}),
    "OME": pages(ome=True, metadata={"axes": "ZCYX", "Channel": {"Name": NAMES}}),
    "files": files,
    "volume": volume,
}


def planned(folder: Path, **settings: Any) -> tuple[Plan, StackSource, list[SliceFile]]:
    plan, units, _ = survey(request(**{"source": folder, **settings}))
    return plan, open_source(plan.source, plan.source_kind, plan.together), [s for u in units for s in u.slices]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_channel_is_what_was_written(tmp_path: Path, kind: str, dtype: type) -> None:
    stack = COLOURS.astype(dtype) * (257 if dtype is np.uint16 else 1)
    plan, source, slices = planned(tmp_path, **WRITERS[kind](tmp_path, stack))
    assert (len(plan.channels), plan.usable, plan.dtype) == (3, SLICES, np.dtype(dtype).name)
    for slice_file, channels in zip(slices, stack, strict=True):
        for number, expected in enumerate(channels):
            decoded = source.decode_heard(slice_file, number)
            assert np.array_equal(decoded.pixels, expected)
            assert decoded.nothing is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TIFF of planes"])
def test_the_luminance_of_a_picture_is_aligned(tmp_path: Path, kind: str) -> None:
    plan, source, [first, *_] = planned(tmp_path, **WRITERS[kind](tmp_path, COLOURS))
    grey = cv2.cvtColor(np.moveaxis(COLOURS[0], 0, 2).copy(), cv2.COLOR_RGB2GRAY)
    assert np.abs(source.decode_heard(first).pixels.astype(int) - grey).max() <= 1
    assert (plan.rgb, plan.align_channel) == (True, None)
    assert [c.colour for c in plan.channels] == ["ff0000", "00ff00", "0000ff"]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("wanted", [1, "1", "name"])
def test_a_channel_is_chosen_by_number_or_name(tmp_path: Path, kind: str, wanted: Any) -> None:
    settings = WRITERS[kind](tmp_path, COLOURS)
    names = [c.name for c in planned(tmp_path, **settings)[0].channels]
    chosen = {"alignment": {"channel": names[1] if wanted == "name" else wanted}}
    plan, source, [first, *_] = planned(tmp_path, **settings, **chosen)
    assert np.array_equal(source.decode_heard(first).pixels, COLOURS[0, 1])
    assert plan.align_channel == 1


def test_a_grey_stack_saved_as_colour_stays_grey(tmp_path: Path) -> None:
    plan, source, [first, *_] = planned(tmp_path, **png(tmp_path, COLOURS[:, :1].repeat(3, axis=1)))
    assert (plan.channels, plan.rgb, first.channels) == ((), False, ())
    assert np.array_equal(source.decode_heard(first).pixels, COLOURS[0, 0])
    assert not {"channels", "rgb", "alpha", "align_channel"} & plan.model_dump().keys()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("write", [png, pictures(photometric="rgb", extrasamples=["unassalpha"])])
def test_where_a_picture_is_transparent_there_is_nothing(tmp_path: Path, write: Write, grey: bool) -> None:
    opacity = np.where(CLEAR, 0, 255).astype(np.uint8)
    stack = np.stack([[*(c[:1].repeat(3, axis=0) if grey else c), opacity] for c in COLOURS])
    plan, source, [first, *_] = planned(tmp_path, **write(tmp_path, stack))
    decoded = source.decode_heard(first)
    assert decoded.nothing is not None
    assert np.array_equal(decoded.nothing, CLEAR)
    assert not decoded.pixels[CLEAR].any()
    assert (len(plan.channels), plan.alpha) == (0 if grey else 3, True)


def test_a_channel_without_a_file_is_lost_alone(tmp_path: Path) -> None:
    settings = files(tmp_path, COLOURS)
    (tmp_path / "s00001_GFP.png").unlink()
    plan, source, slices = planned(tmp_path, **settings)
    assert plan.usable == SLICES
    assert np.array_equal(source.decode_heard(slices[1]).pixels, COLOURS[1, 0])
    with pytest.raises(Undecodable, match="has no file"):
        source.decode_heard(slices[1], 1)
    (tmp_path / "s00001_EM.png").unlink()
    assert planned(tmp_path, **settings)[0].unusable.keys() == {1}


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("OME", {"alignment": {"channel": "DAPI"}}, "no channel DAPI; there is 0: EM, 1: GFP, 2: RFP"),
        ("PNG", {"alignment": {"channel": 3}}, "no channel 3; there is 0: red, 1: green, 2: blue"),
        ("files", {"alignment": {"channel": "BFP"}}, "no channel BFP; there is 0: EM, 1: GFP, 2: RFP"),
        ("PNG", {"viewer": {"windows": {"GFP": [0, 9]}}}, "viewer.windows: no channel GFP; there is red, green, blue"),
        ("PNG", {"contrast": {"channels": {"x": {}, "y": {}}}}, r"no channel x; (?s:.*)no channel y"),
        ("ImageJ", {"channels": ["a", "b"]}, "channels: 2 names"),
    ],
)
def test_channels_that_are_not_there_are_refused_with_those_that_are(
    tmp_path: Path, kind: str, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        planned(tmp_path, **{**WRITERS[kind](tmp_path, COLOURS), **settings})


def test_a_grey_stack_has_no_channel_to_choose(tmp_path: Path) -> None:
    png(tmp_path, COLOURS[:, :1].repeat(3, axis=1))
    with pytest.raises(UserError, match=r"alignment\.channel 1: the slices have one channel"):
        planned(tmp_path, alignment={"channel": 1})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"image": "s%d_{channel}.png"}, "stands for each of `channels`"),
        ({"channels": ["EM", "em"]}, "names two channels alike"),
        ({"channels": ["a/b"]}, "channels"),
    ],
)
def test_names_of_channels_are_checked(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises((UserError, ValueError), match=reason):
        request(tmp_path, **settings)


def test_pictures_are_kept_for_their_other_channels_as_far_as_there_is_room(tmp_path: Path) -> None:
    png(tmp_path, np.concatenate([COLOURS, COLOURS[:1]]))
    plan, units, _ = survey(request(tmp_path, image="%d.png"))
    source, slices = open_source(plan.source, plan.source_kind), [s for unit in units for s in unit.slices]
    source.hold("slab 0", 2 * COLOURS[0].nbytes)
    for one in slices:
        source.decode_heard(one, 0)
    for file in tmp_path.iterdir():
        file.unlink()
    # the first two, and the last one
    for z, one in enumerate(slices):
        if z != 2:
            np.testing.assert_array_equal(source.decode_heard(one, 1).pixels, COLOURS[z % SLICES, 1])
    with pytest.raises(Undecodable, match="gone"):
        source.decode_heard(slices[2], 1)
    source.hold("slab 1", 2 * COLOURS[0].nbytes)
    with pytest.raises(Undecodable, match="gone"):
        source.decode_heard(slices[0], 2)
