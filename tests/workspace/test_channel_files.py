"""Channels with a file each, opacity, grey values saved as colours: what a plan makes of them, and says of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from clio_argo.errors import UserError
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE
from clio_argo.placement.verdicts import judge
from clio_argo.store.documents import Store
from clio_argo.store.images.base import Undecodable
from clio_argo.store.slices import Source
from clio_argo.workspace.arrival import source_changes
from clio_argo.workspace.first_look import first_look
from clio_argo.workspace.measure_slice import measure_slice
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import survey
from tests.stacks import plain, run_here
from tests.store.images.samples import encoded, pillow, png_chunk, texture, tiff

HEIGHT, WIDTH = 20, 24
EQUAL = "one of grey values: red, green and blue are equal in slices looked at; `channels` with three names reads them"


def picture(z: int, dtype: Any = np.uint8) -> np.ndarray:
    """Three channels [y, x, channel] of slice z."""
    return np.dstack([texture(dtype, HEIGHT, WIDTH, seed=10 * z + c) for c in range(3)])


def planned(folder: Path, **settings: Any) -> tuple[Plan, list[SliceFile]]:
    plan, units, _ = survey(Request(id="a", source=str(folder), **settings))
    return plan, [s for unit in units for s in unit.slices]


def png(folder: Path, z: int, pixels: np.ndarray) -> None:
    (folder / f"s_{z}.png").write_bytes(encoded(".png", pixels[..., ::-1]))


def channel_of(source: Source, s: SliceFile, number: int) -> np.ndarray:
    return source.decode_heard(s, number).pixels


EM_GFP = {"image": "s_%d_{channel}.tif", "channels": ("EM", "GFP")}


def em_gfp(folder: Path, slices: int = 3) -> Path:
    """Slices of two channels, of which each has a file."""
    for z in range(slices):
        for c, name in enumerate(EM_GFP["channels"]):
            (folder / f"s_{z}_{name}.tif").write_bytes(tiff(picture(z)[..., c].copy()))
    return folder


def rgba(z: int, clear: np.ndarray) -> bytes:
    return pillow(Image.fromarray(np.dstack([picture(z), np.where(clear, 0, 255).astype(np.uint8)])), "png")


def grey_and_alpha(z: int, clear: np.ndarray) -> bytes:
    grey = [picture(z)[..., 0], np.where(clear, 0, 255).astype(np.uint8)]
    return pillow(Image.fromarray(np.dstack(grey), "LA"), "png")


def clear_value(z: int, clear: np.ndarray) -> bytes:
    """A grey PNG of which one value means nothing."""
    grey = np.where(clear, 7, np.where(picture(z)[..., 0] == 7, 8, picture(z)[..., 0])).astype(np.uint8)
    data = encoded(".png", grey)
    # behind the header
    return data[:33] + png_chunk(b"tRNS", b"\0\7") + data[33:]


CLEAR = np.zeros((HEIGHT, WIDTH), bool)
CLEAR[:5] = True


def jpeg() -> bytes:
    smooth = np.dstack([np.full((HEIGHT, WIDTH), value, np.uint8) for value in (200, 90, 30)])
    return pillow(Image.fromarray(smooth), "jpeg", quality=95)


def palette(transparent: bool) -> bytes:
    indexed = Image.fromarray(np.where(CLEAR, 1, 0).astype(np.uint8), "P")
    indexed.putpalette([200, 90, 30, 9, 9, 9])
    return pillow(indexed, "png", **({"transparency": 1} if transparent else {}))


CHANNELS = [texture(np.uint8, HEIGHT, WIDTH, seed=c) for c in range(3)]


@pytest.mark.parametrize(("kind", "channels"), [(rgba, 3), (grey_and_alpha, 0), (clear_value, 0)])
def test_opacity_says_where_there_is_nothing_and_is_no_channel(
    tmp_path: Path, kind: Callable[[int, np.ndarray], bytes], channels: int
) -> None:
    for z in range(2):
        (tmp_path / f"s_{z}.png").write_bytes(kind(z, CLEAR))
    plan, slices = planned(tmp_path)
    assert (len(plan.channels), plan.alpha) == (channels, True)
    for number in (None, *range(channels)):
        found = Source(plan.source).decode_heard(slices[1], number)
        assert np.array_equal(found.nothing, CLEAR)
        assert not found.pixels[CLEAR].any()
        assert found.pixels[~CLEAR].any()


@pytest.mark.parametrize(
    ("data", "alpha"),
    [(jpeg(), False), (palette(False), False), (palette(True), True)],
    ids=["JPEG", "palette", "tRNS"],
)
def test_colours_of_jpeg_and_palettes_are_read(tmp_path: Path, data: bytes, alpha: bool) -> None:
    (tmp_path / "s_0").with_suffix(".jpg" if data.startswith(b"\xff") else ".png").write_bytes(data)
    plan, [only] = planned(tmp_path)
    source = Source(plan.source)
    assert (plan.rgb, plan.alpha) == (True, alpha)
    last = [int(source.decode_heard(only, number).pixels[-1, -1]) for number in range(3)]
    assert np.abs(np.subtract(last, (200, 90, 30))).max() <= 3
    assert (source.decode_heard(only).nothing is not None) == alpha


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize(("said", "names"), [(None, ["0", "1"]), ("unassalpha", [])])
def test_two_samples_are_channels_unless_the_file_says_that_one_is_opacity(
    tmp_path: Path, layout: str, said: str | None, names: list[str]
) -> None:
    for z in range(2):
        both = picture(z)[..., :2]
        both = np.moveaxis(both, 2, 0) if layout == "separate" else both
        options = {"extrasamples": [said]} if said else {}
        (tmp_path / f"s_{z}.tif").write_bytes(tiff(both.copy(), planarconfig=layout, **options))
    plan, slices = planned(tmp_path)
    assert ([c.name for c in plan.channels], plan.alpha) == (names, bool(said))
    first = Source(plan.source).decode_heard(slices[1])
    assert np.array_equal(first.nothing is not None, bool(said))
    if names:
        assert np.array_equal(channel_of(Source(plan.source), slices[1], 1), picture(1)[..., 1])


def test_opaque_pictures_have_no_mask(tmp_path: Path) -> None:
    for z in range(2):
        (tmp_path / f"s_{z}.png").write_bytes(rgba(z, CLEAR & False))
    plan, slices = planned(tmp_path)
    assert Source(plan.source).decode_heard(slices[0]).nothing is None


def test_grey_saved_as_colour_is_grey_and_said(tmp_path: Path) -> None:
    for z in range(2):
        png(tmp_path, z, np.dstack([picture(z)[..., 0]] * 3))
    plan, slices = planned(tmp_path)
    assert (plan.channels, slices[0].channels) == ((), ())
    assert plan.found["samples"] == "uint8, 3 samples a pixel"
    assert plan.found["channels"] == EQUAL
    assert np.array_equal(Source(plan.source).decode(slices[1]), picture(1)[..., 0])


def test_colours_that_are_asked_for_are_read_where_they_are_equal(tmp_path: Path) -> None:
    for z in range(2):
        png(tmp_path, z, np.dstack([picture(z)[..., 0]] * 3))
    plan, slices = planned(tmp_path, channels=("red", "green", "blue"))
    assert plan.rgb
    assert np.array_equal(channel_of(Source(plan.source), slices[1], 2), picture(1)[..., 0])


def test_plan_says_the_channels_and_which_is_aligned(tmp_path: Path) -> None:
    assert planned(em_gfp(tmp_path), **EM_GFP)[0].found["channels"] == "EM, GFP; EM is aligned"


def test_plan_says_that_luminance_is_aligned(tmp_path: Path) -> None:
    (tmp_path / "s_0.png").write_bytes(rgba(0, CLEAR))
    text = "red, green, blue; their luminance is aligned; opacity 0 is background"
    assert planned(tmp_path)[0].found["channels"] == text


def test_a_grey_stack_has_no_word_of_channels(tmp_path: Path) -> None:
    (tmp_path / "s_0.png").write_bytes(encoded(".png", picture(0)[..., 0]))
    plan, [only] = planned(tmp_path)
    assert "channels" not in plan.found
    assert not {"channels", "rgb", "alpha", "align_channel"} & plan.model_dump().keys()
    assert not {"channels", "aligned"} & only.model_dump().keys()


def test_a_slice_without_the_file_of_another_channel_stays_and_is_said(tmp_path: Path) -> None:
    (em_gfp(tmp_path) / "s_1_GFP.tif").unlink()
    plan, slices = planned(tmp_path, **EM_GFP)
    source = Source(plan.source)
    assert [s.z for s in slices] == [0, 1, 2]
    assert np.array_equal(source.decode(slices[1]), picture(1)[..., 0])
    with pytest.raises(Undecodable, match="has no file"):
        source.decode_heard(slices[1], 1)
    assert "channel GFP: 1 slice without it (z 1 has no file)" in plan.warnings


def test_a_slice_without_the_file_of_the_aligned_channel_is_missing(tmp_path: Path) -> None:
    (em_gfp(tmp_path) / "s_1_EM.tif").unlink()
    plan, slices = planned(tmp_path, **EM_GFP)
    [problem] = plan.problems
    assert [s.z for s in slices] == [0, 2]
    assert (problem.kind, problem.z, problem.detail) == ("missing", 1, "channel EM")


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (texture(np.uint16, HEIGHT, WIDTH), "s_0_GFP.tif is 24 x 20 uint16, s_0_EM.tif is 24 x 20 uint8"),
        (texture(np.uint8, HEIGHT, WIDTH + 1), "s_0_GFP.tif is 25 x 20 uint8, s_0_EM.tif is 24 x 20 uint8"),
    ],
)
def test_channels_of_other_sizes_or_types_are_refused(tmp_path: Path, pixels: np.ndarray, reason: str) -> None:
    em_gfp(tmp_path)
    for z in range(3):
        (tmp_path / f"s_{z}_GFP.tif").write_bytes(tiff(pixels))
    with pytest.raises(UserError, match=reason):
        planned(tmp_path, **EM_GFP)


def test_a_slice_whose_other_channel_has_another_size_is_lost_in_that_channel_only(tmp_path: Path) -> None:
    (em_gfp(tmp_path) / "s_1_GFP.tif").write_bytes(tiff(texture(np.uint8, HEIGHT, WIDTH + 1)))
    plan, slices = planned(tmp_path, **EM_GFP)
    source = Source(plan.source)
    assert np.array_equal(source.decode(slices[1]), picture(1)[..., 0])
    with pytest.raises(Undecodable, match=r"s_1_GFP\.tif is 25 x 20 uint8, s_1_EM\.tif is 24 x 20 uint8"):
        source.decode_heard(slices[1], 1)


@pytest.mark.parametrize("lost", [{"EM": (0, 4)}, {"EM": (0, 2, 4)}, {"EM": (0,), "GFP": (4,)}])
def test_a_slice_that_any_channel_has_counts(tmp_path: Path, lost: dict[str, tuple[int, ...]]) -> None:
    em_gfp(tmp_path, 5)
    for name, numbers in lost.items():
        for z in numbers:
            (tmp_path / f"s_{z}_{name}.tif").unlink()
    plan, _ = planned(tmp_path, **EM_GFP)
    assert (plan.minz, plan.maxz) == (0, 4)
    assert {p.z: (p.kind, p.file) for p in plan.problems} == {z: ("missing", f"s_{z}_GFP.tif") for z in lost["EM"]}


def test_every_unusable_file_of_another_channel_is_named_by_the_plan(tmp_path: Path) -> None:
    em_gfp(tmp_path, 5)
    (tmp_path / "s_1_GFP.tif").write_bytes(b"")
    (tmp_path / "s_2_GFP.tif").write_bytes(tiff(picture(2)[..., 1].copy())[:-9])
    (tmp_path / "s_3_GFP.tif").write_bytes(b"no picture")
    [said] = [w for w in planned(tmp_path, **EM_GFP)[0].warnings if w.startswith("channel GFP: 3 slices without it")]
    for text in ("z 1 s_1_GFP.tif: zero-byte", "z 2 s_2_GFP.tif: truncated", "z 3 s_3_GFP.tif: unreadable"):
        assert text in said


def test_a_fourth_sample_is_opacity_only_where_the_file_says_so(tmp_path: Path) -> None:
    pixels = np.dstack([picture(0), picture(1)[..., 0]])
    tifffile.imwrite(tmp_path / "s_0.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    plan, [s] = planned(tmp_path)
    assert ([c.name for c in plan.channels], plan.rgb, plan.alpha) == (["red", "green", "blue", "3"], True, False)
    source = Source(plan.source)
    assert all(np.array_equal(channel_of(source, s, c), pixels[..., c]) for c in range(4))
    assert source.decode_heard(s).nothing is None


@pytest.mark.parametrize("channel", range(3))
def test_one_channel_of_a_picture_is_a_grey_stack(tmp_path: Path, channel: int) -> None:
    png(tmp_path, 0, picture(0))
    plan, [s] = planned(tmp_path, channel=channel)
    assert plan.channels == ()
    assert np.array_equal(Source(plan.source).decode(s), picture(0)[..., channel])
    with pytest.raises(UserError, match="no channel 3"):
        planned(tmp_path, channel=3)


def test_a_slice_with_other_counts_of_channels_is_unusable(tmp_path: Path) -> None:
    for z in range(3):
        png(tmp_path, z, picture(z))
    (tmp_path / "s_1.png").write_bytes(rgba(1, CLEAR))
    [problem] = planned(tmp_path)[0].problems
    assert (problem.z, problem.kind, problem.detail) == (1, "other channels", "4, most have 3")


def test_a_channel_of_every_second_slice_keeps_its_places(tmp_path: Path) -> None:
    em_gfp(tmp_path, 5)
    for z in (1, 3):
        (tmp_path / f"s_{z}_GFP.tif").unlink()
    plan, slices = planned(tmp_path, **EM_GFP)
    assert [bool(s.channels[1].name) for s in slices] == [True, False, True, False, True]
    assert np.array_equal(channel_of(Source(plan.source), slices[2], 1), picture(2)[..., 1])


def test_files_of_all_channels_are_counted_and_none_is_ignored(tmp_path: Path) -> None:
    plan, _ = planned(em_gfp(tmp_path), **EM_GFP)
    assert plan.source_bytes == sum(f.stat().st_size for f in tmp_path.iterdir())
    assert "ignored" not in plan.found


def test_a_channel_without_any_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no slice of channel DAPI, of which files are called s_%d_DAPI\.tif"):
        planned(em_gfp(tmp_path), **{**EM_GFP, "channels": ("EM", "DAPI")})


def test_a_name_of_a_channel_may_hold_any_character_of_file_names(tmp_path: Path) -> None:
    for name in ("50 %d", "{z}"):
        (tmp_path / f"s_0_{name}.tif").write_bytes(tiff(picture(0)[..., 0].copy()))
    _, [only] = planned(tmp_path, image="s_%d_{channel}.tif", channels=("50 %d", "{z}"))
    assert [p.name for p in only.channels] == ["s_0_50 %d.tif", "s_0_{z}.tif"]


@pytest.mark.parametrize(
    ("stack", "names", "detail"),
    [
        (np.stack(CHANNELS), ("EM", "GFP", "RFP"), "EM, GFP, RFP, most have EM, GFP"),
        (np.stack(CHANNELS[:2]), ("GFP", "EM"), "GFP, EM, most have EM, GFP"),
    ],
)
def test_a_slice_with_other_channels_as_pages_is_unusable(
    tmp_path: Path, stack: np.ndarray, names: tuple[str, ...], detail: str
) -> None:
    def write(z: int, pages: np.ndarray, *named: str) -> None:
        metadata = {"axes": "CYX", "Channel": {"Name": named}}
        tifffile.imwrite(tmp_path / f"s_{z}.tif", pages, ome=True, photometric="minisblack", metadata=metadata)

    for z in (0, 2, 3):
        write(z, stack[:2], "EM", "GFP")
    write(1, stack, *names)
    plan, slices = planned(tmp_path)
    assert [(p.z, p.kind, p.detail) for p in plan.problems] == [(1, "other channels", detail)]
    assert [len(s.channels) for s in slices] == [2, 2, 2]


def test_init_offers_stacks_whose_names_differ_by_a_word_as_channels(tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        first_look({"id": "a", "source": str(em_gfp(tmp_path))}, 64)
    command = next(line for line in str(told.value).splitlines() if "channels of one stack" in line)
    assert command.endswith(f"clio-argo init {tmp_path} --image 's_%d_{{channel}}.tif' --set 'channels=[EM, GFP]'")
    seen = first_look({"id": "a", "source": str(tmp_path), **EM_GFP}, 64)
    assert seen.checked.plan.found["channels"] == "EM, GFP; EM is aligned"
    assert seen.remarks == []
    assert (seen.request.image, seen.request.channels, seen.request.maxz) == (EM_GFP["image"], ("EM", "GFP"), 2)


def test_channels_are_called_by_whole_words(tmp_path: Path) -> None:
    for name in ("RFP", "GFP"):
        for z in range(2):
            (tmp_path / f"s_{z}_{name}.tif").write_bytes(tiff(picture(z)[..., 0].copy()))
    with pytest.raises(UserError, match=r"s_%d_\{channel\}\.tif' --set 'channels=\[GFP, RFP\]'"):
        first_look({"id": "a", "source": str(tmp_path)}, 64)


@pytest.mark.parametrize("planes", [False, True])
def test_values_of_all_channels_become_grey_values_alike(tmp_path: Path, planes: bool) -> None:
    for z in range(2):
        pixels = picture(z).astype(np.float32) * np.float32([1, 2, 4])
        options = {"planarconfig": "separate"} if planes else {}
        pixels = np.moveaxis(pixels, 2, 0) if planes else pixels
        (tmp_path / f"s_{z}.tif").write_bytes(tiff(pixels, photometric="rgb", **options))
    plan, slices = planned(tmp_path)
    source = Source(plan.source)
    found = [source.decode_heard(slices[1], number) for number in range(3)]
    assert [d.clipped for d in found] == [0, 0, 0]
    assert np.array_equal([d.pixels for d in found], [picture(1)[..., c].astype(np.uint16) * 2**c for c in range(3)])


# --- what becomes of files until the end ----------------------------------------------------------------------


def planned_run(tmp_path: Path, step: str = "reduce") -> tuple[Path, Run]:
    """A run of three slices that was planned, as a step sees it, and its source."""
    (tmp_path / "source").mkdir()
    source, out = em_gfp(tmp_path / "source"), tmp_path / "out"
    run_here(plain(source, **EM_GFP), out, stop_before="reduce")
    return source, Run(Store(str(out)), PIPELINE[step], PIPELINE)


def test_changes_of_files_of_any_channel_are_noticed(tmp_path: Path) -> None:
    source, run = planned_run(tmp_path, "publish")
    assert not source_changes(run).line()
    (source / "s_0_GFP.tif").unlink()
    (source / "s_1_GFP.tif").write_bytes(tiff(picture(2)[..., 0].copy()))
    for name in EM_GFP["channels"]:
        (source / f"s_3_{name}.tif").write_bytes(tiff(picture(2)[..., 0].copy()))
    changes = source_changes(run)
    assert (changes.gone, changes.changed) == (("s_0_GFP.tif",), ("s_1_GFP.tif",))
    assert sorted(changes.new) == ["s_3_EM.tif", "s_3_GFP.tif"]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda file: file.unlink(), "the file is gone"),
        (lambda file: file.write_bytes(tiff(picture(2)[..., 0].copy())), "was changed since it was planned"),
        (lambda file: file.write_bytes(b"x"), "not a PNG"),
    ],
)
def test_a_fault_of_another_channel_is_that_channels_alone(
    tmp_path: Path, harm: Callable[[Path], object], reason: str
) -> None:
    source, run = planned_run(tmp_path)
    harm(source / "s_1_GFP.tif")
    statistics = [measure_slice(run, s, None).statistics for s in run.slices(1).slices]
    [found] = [s for s in statistics if s.z == 1]
    assert found.error is None
    assert [text.partition(":")[0] for text in found.lost_channels] == ["channel GFP"]
    assert reason in found.lost_channels[0]
    assert found.digest.endswith("-")
    assert "channel GFP" in judge([found], None)[1].reason


def test_a_fault_of_the_aligned_channel_is_that_of_the_slice(tmp_path: Path) -> None:
    source, run = planned_run(tmp_path)
    (source / "s_1_EM.tif").write_bytes(tiff(picture(2)[..., 0].copy()))
    [found] = [measure_slice(run, s, None).statistics for s in run.slices(1).slices]
    assert "was changed since it was planned" in str(found.error)
