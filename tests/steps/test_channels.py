"""Stacks of colours and of several channels, from files to both volumes."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from numpy.typing import NDArray

import clio_argo
from clio_argo.errors import UserError
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.model.step import StepResult, parts_of
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.viewer.channels import volume_layers
from clio_argo.workspace.logs import read_attempts
from tests.faults.attempts import Conditions, after, asking, attempt
from tests.stacks import (
    FIRST,
    Image,
    contents,
    demo_slice,
    done_at,
    encoded,
    flip_a_bit,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    write_stack,
)

NAME, OWN = "s%05d.png", "s%05d_{channel}.png"
SLICES, SIZE = 6, 160
# a mark of GFP [y, x] in the coordinates of tissue
MARK = np.s_[40:80, 50:90]


def cut(z: int) -> tuple[slice, slice]:
    """The part of a demo slice of 192 x 192 that slice z shows: it moves by a few pixels."""
    x, y = 3 * (z % 5), 4 * (z % 3)
    return np.s_[y : y + SIZE, x : x + SIZE]


def coloured(z: int) -> Image:
    """Slice z in red, green and blue [y, x, 3]."""
    grey = demo_slice(z)[cut(z)].astype(float)
    return np.stack([grey, grey * 0.7 + 40, 255 - grey * 0.6], axis=2).round().astype(np.uint8)


def marked(z: int) -> Image:
    """What GFP shows of slice z: a mark in the tissue."""
    mark = np.zeros((192, 192), np.uint8)
    mark[MARK] = 150
    return mark[cut(z)]


def luminance(colours: Image) -> Image:
    red, green, blue = np.moveaxis(colours.astype(int), -1, 0)
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.uint8)


NUMBERS = range(FIRST, FIRST + SLICES)


def write_colours(folder: Path, slices: Mapping[int, Image]) -> Path:
    return write_stack(folder, {z: np.ascontiguousarray(image[..., ::-1]) for z, image in slices.items()}, NAME)


def write_pairs(folder: Path, em: Mapping[int, Image], gfp: Mapping[int, Image]) -> Path:
    """A file for each channel of each slice."""
    for name, slices in (("EM", em), ("GFP", gfp)):
        write_stack(folder, slices, OWN.replace("{channel}", name))
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("colours") / "slices", {z: coloured(z) for z in NUMBERS})


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    em = {z: np.ascontiguousarray(demo_slice(z)[cut(z)]) for z in NUMBERS}
    return write_pairs(tmp_path_factory.mktemp("pairs") / "slices", em, {z: marked(z) for z in NUMBERS})


def shown(folder: Path) -> NDArray[np.uint8]:
    """Voxels [c, z, y, x] of a layer of the viewer volume."""
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{folder}/"}
    return np.asarray(ts.open(spec).result().read().result()).T


@pytest.mark.properties
def test_colours_lie_where_their_luminance_is_aligned(colours: Path, tmp_path: Path) -> None:
    grey = write_stack(tmp_path / "grey", {z: luminance(coloured(z)) for z in NUMBERS}, NAME)
    alone = run_here(request(grey, contrast__clip_limit=0), tmp_path / "alone")
    out = run_here(request(colours), tmp_path / "out")
    found, expected = transforms(out), transforms(alone)
    assert [s.matrix for s in found.slices] == [s.matrix for s in expected.slices]
    assert len({s.matrix for s in found.slices}) > 3
    voxels = lossless(out)
    assert voxels.shape == (3, *lossless(alone).shape)
    # warping is linear but for rounding, and what rings at the border of the slices
    inside = lossless(alone) > 8
    difference = np.abs(luminance(np.moveaxis(voxels, 0, 3)).astype(int) - lossless(alone))[inside]
    assert np.quantile(difference, 0.99) <= 2
    assert np.abs(shown(out / "ng").astype(int) - voxels)[:, inside].mean() < 6
    assert verify(out, "deep", workers=1).faults == ()


@pytest.mark.properties
def test_what_is_not_aligned_stays_as_it_was_recorded(colours: Path, pairs: Path, tmp_path: Path) -> None:
    out = run_here(plain(colours), tmp_path / "colours")
    recorded = np.stack([coloured(z) for z in NUMBERS])
    np.testing.assert_array_equal(lossless(out), np.moveaxis(recorded, 3, 0))
    # contrast is for the aligned channel: here GFP is not
    out = run_here(request(pairs, image=OWN, channels=["EM", "GFP"], alignment__skip=True), tmp_path / "pairs")
    em, gfp = lossless(out)
    np.testing.assert_array_equal(gfp, np.stack([marked(z) for z in NUMBERS]))
    assert not np.array_equal(em, np.stack([demo_slice(z)[cut(z)] for z in NUMBERS]))
    group = json.loads((out / "aligned/zarr.json").read_text())
    assert [c["label"] for c in group["attributes"]["ome"]["omero"]["channels"]] == ["EM", "GFP"]
    assert group["attributes"]["clio_argo"]["windows"] == [None, None]
    assert shown(out / "ng").shape == shown(out / "ng/channels/1-GFP").shape == (1, *gfp.shape)


@pytest.mark.properties
def test_channels_are_opened_one_by_one_and_colours_together(colours: Path, pairs: Path, tmp_path: Path) -> None:
    both = run_here(plain(pairs, image=OWN, channels=["EM", "GFP"]), tmp_path / "pairs")
    run = clio_argo.open(str(both))
    for channel, voxels in enumerate(lossless(both)):
        np.testing.assert_array_equal(run.volume(channel=channel).read().result(), voxels)
        assert run.volume(channel=channel, viewer=True).shape == voxels.shape
    with pytest.raises(UserError, match="has no channel 2, only 0 to 1"):
        run.volume(channel=2)
    coloured_run = clio_argo.open(str(run_here(plain(colours), tmp_path / "colours")))
    assert coloured_run.volume(viewer=True).domain.labels == ("channel", "z", "y", "x")
    np.testing.assert_array_equal(coloured_run.volume(viewer=True).read().result(), shown(tmp_path / "colours" / "ng"))


def test_opacity_is_where_there_is_a_picture(tmp_path: Path) -> None:
    slices = {z: np.dstack([coloured(z), np.full((SIZE, SIZE), 255, np.uint8)]) for z in NUMBERS}
    for image in slices.values():
        image[:20, :, 3] = 0
    folder = tmp_path / "slices"
    write_stack(folder, {z: image[..., [2, 1, 0, 3]] for z, image in slices.items()}, NAME)
    voxels = lossless(run_here(plain(folder, background=9), tmp_path / "out"))
    recorded = np.stack([np.moveaxis(i[..., :3], 2, 0) for i in slices.values()], axis=1)
    assert (voxels[:, :, :20] == 9).all()
    np.testing.assert_array_equal(voxels[:, :, 20:], recorded[:, :, 20:])


def test_each_channel_has_its_own_contrast_and_window(pairs: Path, tmp_path: Path) -> None:
    settings = {"contrast__channels": {"GFP": {"invert": True}}, "viewer__windows": {"EM": [20, 220], "GFP": [5, 155]}}
    out = run_here(plain(pairs, image=OWN, channels=["EM", "GFP"], **settings), tmp_path / "out")
    em, gfp = lossless(out)
    np.testing.assert_array_equal(gfp, 255 - np.stack([marked(z) for z in NUMBERS]))
    expected = np.clip((em.astype(float) - 20) * 255 / 200, 0, 255)
    assert np.abs(shown(out / "ng")[0] - expected).mean() < 6
    # 155 is black now, and 5 white
    assert np.unique(shown(out / "ng/channels/1-GFP")[0][:, 60:70, 60:70]).max() <= 12


def test_a_grey_run_says_nothing_of_channels(aligned: Path) -> None:
    for name in ("volume.json", "plan.json", "transforms.json", "planes/000000.json", "ng/info", "ng/provenance"):
        assert "channels" not in (aligned / name).read_text().replace("num_channels", "")
    assert "channels" not in (aligned / "aligned/zarr.json").read_text()
    assert not (aligned / "ng/channels").exists()


@pytest.mark.properties
def test_another_look_of_a_channel_renders_no_other(pairs: Path, tmp_path: Path) -> None:
    first = plain(pairs, image=OWN, channels=["EM", "GFP"])
    other = plain(
        pairs, image=OWN, channels=["EM", "GFP"], update=True,
        contrast__channels={"GFP": {"invert": True}}, viewer__windows={"GFP": [5, 155]},
    )  # fmt: skip
    fresh, results = contents(run_here(other, tmp_path / "fresh")), dict[str, StepResult]()
    out = run_here(first, tmp_path / "out")
    before = done_at(out)
    assert contents(run_here(other, out, results=results)) == fresh
    again = {name for name, when in done_at(out).items() if before.get(name) != when}
    # units of GFP are the second of each slab and block
    assert {n for n in again if "render" in n} == {f"manifest/render/{n:06d}.json" for n in (1, 3)}
    assert {n for n in again if "/write/" in n} == {"manifest/write/000001.json"}


@pytest.mark.properties
def test_the_aligned_channel_is_chosen_by_name(pairs: Path, tmp_path: Path) -> None:
    config = request(pairs, image=OWN, channels=["GFP", "EM"], alignment__channel="EM", contrast__clip_limit=0)
    default = request(pairs, image=OWN, channels=["EM", "GFP"], contrast__clip_limit=0)
    found, expected = (run_here(c, tmp_path / str(i)) for i, c in enumerate((config, default)))
    assert [s.matrix for s in transforms(found).slices] == [s.matrix for s in transforms(expected).slices]
    np.testing.assert_array_equal(lossless(found)[::-1], lossless(expected))


@pytest.mark.properties
def test_a_channel_that_is_lost_in_one_slice_is_background_there(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    write_pairs(folder, {z: demo_slice(z)[cut(z)] for z in NUMBERS}, {z: marked(z) for z in NUMBERS})
    (folder / f"s{FIRST + 2:05d}_GFP.png").write_bytes(encoded(marked(FIRST))[:-200])
    out = run_here(plain(folder, image=OWN, channels=["EM", "GFP"], max_bad=1), tmp_path / "out")
    em, gfp = lossless(out)
    np.testing.assert_array_equal(em[2], demo_slice(FIRST + 2)[cut(FIRST + 2)])
    assert [bool(plane.any()) for plane in gfp] == [True, True, False, True, True, True]
    [suspect] = transforms(out).suspect
    assert "GFP" in suspect.reason
    assert verify(out, "deep", workers=1).faults == ()


def test_what_is_lost_does_not_darken_the_mean_of_neighbours(tmp_path: Path) -> None:
    flat = {z: np.full((96, 96), 20 * (z - FIRST + 1), np.uint8) for z in NUMBERS}
    em = {z: demo_slice(z)[:96, :96] for z in NUMBERS}
    write_pairs(tmp_path / "slices", em, flat)
    for z, name in ((FIRST + 1, "GFP"), (FIRST + 2, "EM")):
        (tmp_path / "slices" / f"s{z:05d}_{name}.png").unlink()
    settings = {"image": OWN, "channels": ["EM", "GFP"], "bad_slices": "interpolate", "max_bad": 1}
    em_planes, gfp = lossless(run_here(plain(tmp_path / "slices", **settings), tmp_path / "out"))
    assert gfp[:, 0, 0].tolist() == [20, 0, 80, 80, 100, 120]
    mean = (em[FIRST + 1].astype(int) + em[FIRST + 3] + 1) // 2
    np.testing.assert_array_equal(em_planes[2], mean)


def test_what_is_transparent_does_not_darken_the_mean_of_neighbours(tmp_path: Path) -> None:
    grey = {z: demo_slice(z)[:96, :96] for z in NUMBERS if z != FIRST + 2}
    opacity = {z: np.full((96, 96), 255, np.uint8) for z in grey}
    opacity[FIRST + 3][:50] = 0
    source = write_stack(tmp_path / "slices", {z: np.dstack([g, g, g, opacity[z]]) for z, g in grey.items()}, NAME)
    out = run_here(plain(source, bad_slices="interpolate", max_bad=1), tmp_path / "out")
    plane, (below, above) = lossless(out)[2], (grey[FIRST + 1], grey[FIRST + 3])
    np.testing.assert_array_equal(plane[:49], below[:49])
    np.testing.assert_array_equal(plane[51:], (below[51:].astype(int) + above[51:] + 1) // 2)


@pytest.mark.properties
@pytest.mark.parametrize("last", ["write", "coarsen", "publish"])
def test_a_run_that_was_stopped_ends_as_any_other(pairs: Path, tmp_path: Path, last: str) -> None:
    config = plain(pairs, image=OWN, channels=["EM", "GFP"])
    whole = contents(run_here(config, tmp_path / "whole"))
    out = run_here(config, tmp_path / "out", stop_before=last)
    for victim in sorted(out.rglob("aligned/0/c/1/*/*/*"))[:1]:
        victim.unlink()
    assert contents(run_here(config, out)) == whole


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs with several blocks and a scale that `coarsen` makes: of colours, and of two channels."""
    folder = tmp_path_factory.mktemp("wide")
    many = {z: np.tile(coloured(z)[:24], (1, 14, 1))[:, :2100] for z in NUMBERS}
    one = write_colours(folder / "colours", many)
    two = write_pairs(
        folder / "pairs", {z: i[..., 0] for z, i in many.items()}, {z: i[..., 1] for z, i in many.items()}
    )
    return {
        "colours": run_here(plain(one, viewer__chunk=256), folder / "out_colours"),
        "pairs": run_here(plain(two, viewer__chunk=256, image=OWN, channels=["EM", "GFP"]), folder / "out_pairs"),
    }


@pytest.mark.properties
@pytest.mark.parametrize("kind", ["colours", "pairs"])
def test_damage_of_every_channel_is_named_and_mended(wide: dict[str, Path], kind: str, tmp_path: Path) -> None:
    whole = wide[kind]
    before = contents(whole)
    shards = [n for n in before if n.startswith(("aligned/", "ng/")) and not n.endswith(("json", "info", "provenance"))]
    # of each channel of each scale one
    firsts = {(n.rpartition("/")[0] if n.startswith("ng/") else "/".join(n.split("/")[:4])): n for n in shards}
    assert len(firsts) == {"colours": 3 * 4 + 4, "pairs": 2 * 4 + 2 * 4}[kind]
    for harm in (flip_a_bit, Path.unlink):
        for name in firsts.values():
            harm(whole / name)
        assert {f.name for f in verify(whole, workers=1).faults} == {*firsts.values()}
        assert repair(whole, workers=1).left.faults == ()
        assert contents(whole) == before


@pytest.mark.properties
@pytest.mark.parametrize("kind", ["colours", "pairs"])
def test_every_voxel_of_every_scale_is_looked_at(wide: dict[str, Path], kind: str) -> None:
    assert verify(wide[kind], "deep", workers=1).faults == ()


@pytest.mark.properties
def test_windows_of_channels_are_in_the_viewer_volume_and_not_once_more_in_its_layers(
    pairs: Path, tmp_path: Path
) -> None:
    chosen = {"image": OWN, "channels": ["EM", "GFP"], "viewer__windows": {"GFP": [50, 100]}}
    out = run_here(request(pairs, **chosen), tmp_path / "out")
    stored, seen = lossless(out)[1].astype(float), shown(out / "ng" / "channels" / "1-GFP")[0]
    np.testing.assert_allclose(seen, np.clip((stored - 50) * 255 / 50, 0, 255).round(), atol=30)
    assert np.abs(seen - np.clip((stored - 50) * 255 / 50, 0, 255)).mean() < 2
    spec = Store(str(out)).document(VolumeSpec, "volume.json")
    assert [channel.window for channel in spec.channels] == [None, (50, 100)]
    layers = volume_layers(spec, "precomputed://x/ng", "fly")
    assert [layer.get("shaderControls") for layer in layers] == [None, None]


@pytest.mark.properties
def test_killed_while_it_renders_colours_it_ends_the_same(colours: Path, tmp_path: Path) -> None:
    asked, out = request(colours, max_parts=1), tmp_path / "out"
    clean = run_here(asked, tmp_path / "clean")
    seconds = next(a.wall_s for a in read_attempts(Store(str(clean)))[0] if a.step == "render")
    under, results, ended = Conditions(asking(asked)), dict[str, StepResult](), list[int]()
    for step in PIPELINE.steps:
        for part in parts_of(step, results):
            for share in (0.3, 0.5, 0.7) if step.name == "render" else ():
                ended.append(attempt("render", out, part.part, under, after(share * seconds, signal.SIGKILL)).code)
            results[step.name] = attempt(step.name, out, part.part, under).result
    assert -signal.SIGKILL in ended
    assert contents(out) == contents(clean)
