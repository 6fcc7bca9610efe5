"""Both volumes at every scale, written as the steps write them and read by other people's readers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ome_zarr_models.v05.image import Image

from clio_argo.errors import BrokenInvariant, ClioError
from clio_argo.model.appearance import Viewer
from clio_argo.model.grid import build_volume
from clio_argo.model.request import Request
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import Box, VolumeSpec, Zyx, over, plus
from clio_argo.store.documents import Store
from clio_argo.store.manifest import damages
from clio_argo.store.volumes import Volumes, without_zero_chunks
from clio_argo.workspace.expected import shard_names
from tests.cloud_volume import cloud_volume

Arrays = list[np.ndarray]
JPEG_ERROR = 6  # of 255, at quality 95, for smooth data
NG = "ng"


def volumes(folder: Path, size: Zyx, z: int = 0, **options: Any) -> Volumes:
    """Empty volumes in `folder`; little memory, so that small ones have several units."""
    options = {"chunk": 16, "resolution": (8, 8, 8), "dtype": "uint8", "memory_gib": 0.25, **options}
    viewer = Viewer(chunk=options.pop("chunk"), jpeg_quality=95)
    dtype = options.pop("dtype")
    config = Request(id="stack", source="s", viewer=viewer, **options)
    return Volumes(Store(str(folder)), build_volume(config, (z, 0, 0), size, dtype, None))


def smooth(shape: Zyx, dtype: Any, seed: int) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(s) for s in shape), indexing="ij")
    waves = np.sin(x / 9 + seed) + np.cos(y / 7) + np.sin(z / 11 + y / 13)
    return np.round((waves + 3) / 6 * np.iinfo(dtype).max).astype(dtype)


def random_scales(spec: VolumeSpec) -> Arrays:
    return [smooth(s.size, spec.dtype, k) for k, s in enumerate(spec.scales)]


def pyramid(spec: VolumeSpec, finest: np.ndarray) -> Arrays:
    """All scales of `finest`, by tensorstore's own downsampling on the absolute grid."""
    whole = ts.array(finest).translate_to[spec.scales[0].begin]
    return [np.asarray(ts.downsample(whole, s.factor, "mean").read().result()) for s in spec.scales]


def part(spec: VolumeSpec, array: np.ndarray, scale: int, box: Box) -> np.ndarray:
    z, y, x = spec.scales[scale].begin
    return array[box.shift((-z, -y, -x)).slices]


def write_all(written: Volumes, scales: Arrays) -> list[ObjectRecord]:
    """Write every scale, unit by unit."""
    spec = written.spec
    written.create({"contrast": "none"})
    records = []
    for unit in range(spec.render.units):
        box = spec.slab_box(unit)
        records += written.write_aligned(0, box, part(spec, scales[0], 0, box))
    for tier, fan in ((spec.write_tier, spec.write), (spec.coarsen_tier, spec.coarsen)):
        for unit in range(fan.units):
            for k in tier.scales:
                box = spec.unit_box(tier, unit, k)
                if box.empty:
                    continue
                voxels = part(spec, scales[k], k, box)
                records += written.write_aligned(k, box, voxels) if k else []
                records += written.write_viewer(k, box, grey8(voxels))
    return records


def grey8(voxels: np.ndarray) -> np.ndarray:
    return voxels if voxels.dtype == np.uint8 else (voxels >> 8).astype(np.uint8)


CASES: dict[str, Callable[[Path], Volumes]] = {
    "one slice": lambda f: volumes(f, (1, 40, 50)),
    "one pixel": lambda f: volumes(f, (1, 1, 1), z=3493),
    "thin stack": lambda f: volumes(f, (3, 130, 70), z=1),
    "odd sizes": lambda f: volumes(f, (37, 61, 83), z=3),
    "several units along z": lambda f: volumes(f, (150, 33, 47), z=3493),
    "several scales": lambda f: volumes(f, (5, 20, 530), z=3493),
    "several scales and units": lambda f: volumes(f, (70, 20, 1030), z=3493),
    "deep": lambda f: volumes(f, (600, 17, 19), z=3493),
    "anisotropic": lambda f: volumes(f, (40, 530, 35), z=3493, resolution=(4, 4, 40)),
    "16 bit": lambda f: volumes(f, (20, 40, 530), z=3493, dtype="uint16", background=7),
    "large chunks": lambda f: volumes(f, (70, 100, 130), z=1, chunk=64),
    "temporary lossless volume": lambda f: volumes(f, (5, 20, 30), lossless=False),
}


@pytest.fixture(params=CASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Volumes, Arrays, list[ObjectRecord]]:
    empty = CASES[request.param](tmp_path)
    scales = random_scales(empty.spec)
    return empty, scales, write_all(empty, scales)


Written = tuple[Volumes, Arrays, list[ObjectRecord]]


def test_what_the_units_write_is_exactly_what_is_expected(written: Written) -> None:
    target, _, records = written
    names = [r.name for r in records]
    assert len(set(names)) == len(names)
    assert sorted(names) == sorted(shard_names(target.spec))
    folders = (NG, target.spec.aligned)
    metadata = ("/info", "/provenance", "/zarr.json")
    stored = {n for f in folders for n in target.store.names(f) if not n.endswith(metadata)}
    assert stored == set(names)
    assert list(damages(target.store, records)) == [(r, None) for r in records]


@pytest.mark.properties
def test_both_volumes_hold_at_every_scale_what_was_written(written: Written, tmp_path: Path) -> None:
    target, scales, _ = written
    group = zarr.open_group(tmp_path / target.spec.aligned, mode="r")
    for k, (scale, expected) in enumerate(zip(target.spec.scales, scales, strict=True)):
        # lossless: this package, tensorstore, zarr-python
        assert np.array_equal(target.read(k, scale.box), expected)
        assert np.array_equal(tensorstore_zarr(tmp_path / target.spec.aligned / str(k)), expected)
        array = group[str(k)]
        assert isinstance(array, zarr.Array)
        assert array.dtype == expected.dtype
        assert np.array_equal(np.asarray(array[:]), expected)
        # viewer: tensorstore, cloud-volume
        shown = tensorstore_ng(tmp_path, k)
        assert shown.domain.origin == scale.begin
        looked_at = shown.read().result()
        assert largest_difference(looked_at, grey8(expected)) <= JPEG_ERROR
        cloud = cloud_volume(tmp_path / "ng", k)
        assert tuple(cloud.voxel_offset[::-1]) == scale.begin
        assert tuple(cloud.resolution[::-1]) == scale.resolution
        assert largest_difference(np.asarray(cloud[:, :, :])[..., 0].T, looked_at) <= 1


def tensorstore_zarr(folder: Path) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": f"file://{folder}/", "fill_missing_data_reads": False}
    return np.asarray(ts.open(spec).result().read().result())


def tensorstore_ng(folder: Path, scale: int) -> ts.TensorStore:
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": f"file://{folder}/ng/",
        "scale_index": scale,
        "fill_missing_data_reads": False,
    }
    return ts.open(spec).result()[ts.d["channel"][0]].transpose(["z", "y", "x"])


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    assert a.shape == b.shape
    return int(np.abs(np.asarray(a).astype(int) - b.astype(int)).max())


def test_any_box_reads_as_it_was_written(tmp_path: Path) -> None:
    target = volumes(tmp_path, (37, 61, 83), z=3493)
    scales = random_scales(target.spec)
    write_all(target, scales)
    whole = target.spec.scales[0].box
    for begin, end in [((3493, 0, 0), (3494, 1, 1)), ((3500, 7, 9), (3529, 60, 83)), (whole.begin, whole.end)]:
        box = Box(begin=begin, end=end)
        assert np.array_equal(target.read(0, box), part(target.spec, scales[0], 0, box))


@pytest.mark.properties
@pytest.mark.parametrize("background", [0, 9])
@pytest.mark.parametrize("value", [0, 9])
def test_chunks_of_one_value_are_stored_like_any_other(tmp_path: Path, value: int, background: int) -> None:
    target = volumes(tmp_path, (40, 40, 530), z=3493, background=background)
    scales = [np.full(s.size, value, np.uint8) for s in target.spec.scales]
    scales[0][:16, :16, :16] = 200
    records = write_all(target, scales)
    assert sorted(r.name for r in records) == sorted(shard_names(target.spec))
    for k, expected in enumerate(scales):
        assert np.array_equal(target.read(k, target.spec.scales[k].box), expected)
        cloud = cloud_volume(tmp_path / "ng", k)
        assert largest_difference(np.asarray(cloud[:, :, :])[..., 0].T, expected) <= JPEG_ERROR


@pytest.mark.parametrize("case", ["one slice", "odd sizes", "anisotropic", "16 bit"])
def test_the_lossless_volume_is_a_valid_ome_zarr_image(tmp_path: Path, case: str) -> None:
    target = CASES[case](tmp_path)
    target.create({"contrast": "none"})
    image = Image.from_zarr(zarr.open_group(tmp_path / "aligned", mode="r"))
    [multiscale] = image.ome_attributes.multiscales
    assert [a.name for a in multiscale.axes] == ["z", "y", "x"]
    assert {a.unit for a in multiscale.axes} == {"nanometer"}
    assert [d.path for d in multiscale.datasets] == [str(k) for k in range(len(target.spec.scales))]
    assert json.loads(target.store.need("aligned/zarr.json"))["attributes"]["clio_argo"] == {"contrast": "none"}


def ngff_positions(target: Volumes, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and translation in nm of a data set, as the written metadata say."""
    group = json.loads(target.store.need(f"{target.spec.aligned}/zarr.json"))
    transforms = group["attributes"]["ome"]["multiscales"][0]["datasets"][scale]["coordinateTransformations"]
    assert [t["type"] for t in transforms] == ["scale", "translation"]
    return np.array(transforms[0]["scale"]), np.array(transforms[1]["translation"])


def centre(voxels: np.ndarray) -> np.ndarray:
    """Centre of mass in voxels from the array's begin; the centre of voxel 0 is 0."""
    weights = voxels.astype(float)
    at = np.meshgrid(*(np.arange(s) for s in voxels.shape), indexing="ij")
    return np.array([(a * weights).sum() for a in at]) / weights.sum()


@pytest.mark.properties
@pytest.mark.parametrize("z", [0, 1, 3, 3493])
@pytest.mark.parametrize("resolution", [(8, 8, 8), (4, 4, 40), (16, 8, 8), (5, 7, 12)])
def test_a_landmark_has_one_position_at_every_scale_of_both_volumes(
    tmp_path: Path, z: int, resolution: tuple[float, float, float]
) -> None:
    target = volumes(tmp_path, (41, 530, 90), z=z, resolution=resolution)
    finest = np.zeros(target.spec.scales[0].size, np.uint8)
    landmark = Box(begin=(17, 301, 33), end=(18, 302, 34))
    grown = Box(begin=(9, 285, 17), end=(26, 318, 50))  # symmetric about the landmark
    finest[grown.slices] = 240
    scales = pyramid(target.spec, finest)
    write_all(target, scales)
    steps = np.array(resolution[::-1], float)
    true_nm = (np.array(plus(landmark.begin, (z, 0, 0))) + 0.5) * steps
    for k, scale in enumerate(target.spec.scales):
        step, begin = ngff_positions(target, k)
        found = centre(target.read(k, scale.box)) * step + begin
        # means are rounded to whole grey values, which moves a centre by less than a twentieth of a voxel
        assert np.abs(found - true_nm).max() <= 0.05 * step.max()
        ng = json.loads(target.store.need("ng/info"))["scales"][k]
        offset, voxel = np.array(ng["voxel_offset"][::-1]), np.array(ng["resolution"][::-1])
        shown = tensorstore_ng(tmp_path, k).read().result().astype(int)
        # a voxel of ng/ reaches from its number to the next: its centre lies half a voxel further
        position = (centre(np.where(shown > 20, shown, 0)) + offset + 0.5) * voxel
        assert np.abs(position - true_nm).max() <= 0.15 * step.max()


def test_each_voxel_lies_where_ngff_says(tmp_path: Path) -> None:
    target = volumes(tmp_path, (9, 530, 30), z=3493, resolution=(4, 4, 40))
    target.create({})
    for k, scale in enumerate(target.spec.scales):
        step, begin = ngff_positions(target, k)
        # the first voxel of a scale covers these voxels of scale 0, whose centres lie half a voxel behind their numbers
        first = np.array(scale.begin) * scale.factor
        last = first + np.array(scale.factor) - 1
        assert begin == pytest.approx(((first + last) / 2 + 0.5) * (40, 4, 4))
        assert step == pytest.approx(np.array(scale.factor) * (40, 4, 4))


@pytest.mark.parametrize("content", [None, b""])
def test_a_lost_shard_is_an_error_and_never_reads_as_background(tmp_path: Path, content: bytes | None) -> None:
    target = volumes(tmp_path, (40, 30, 30))
    records = write_all(target, random_scales(target.spec))
    victim = tmp_path / next(r.name for r in records if r.name.startswith("aligned/0/"))
    victim.unlink()
    if content is not None:
        victim.write_bytes(content)
    with pytest.raises(ClioError, match="aligned/0"):
        target.read(0, target.spec.scales[0].box)


def test_a_truncated_shard_is_an_error(tmp_path: Path) -> None:
    target = volumes(tmp_path, (40, 30, 30))
    records = write_all(target, random_scales(target.spec))
    victim = tmp_path / next(r.name for r in records if r.name.startswith("aligned/0/"))
    victim.write_bytes(victim.read_bytes()[:-5])
    with pytest.raises(ClioError, match="aligned/0"):
        target.read(0, target.spec.scales[0].box)


def test_volumes_without_metadata_are_named(tmp_path: Path) -> None:
    target = volumes(tmp_path, (4, 30, 30))
    with pytest.raises(ClioError, match="aligned/0"):
        target.read(0, target.spec.scales[0].box)
    with pytest.raises(ClioError, match="ng/info"):
        target.read_viewer(0, target.spec.scales[0].box)


@pytest.mark.parametrize("left", [b"", b"\xff" * 5000, None], ids=["empty", "garbage", "other voxels"])
@pytest.mark.parametrize("width", [80, 128], ids=["with padding", "whole"])
def test_a_shard_is_the_same_whatever_was_there_before(tmp_path: Path, left: bytes | None, width: int) -> None:
    """Shards are 128 voxels wide; of their padding nothing that was there may stay."""
    size, larger = (64, 64, width), (64, 64, 128)
    fresh, other = smooth(size, np.uint8, 1), smooth(larger, np.uint8, 2)
    wanted = write_both(volumes(tmp_path / "fresh", size), fresh)
    target = volumes(tmp_path / "used", size)
    for record in write_both(volumes(tmp_path / "used", larger), other):
        if left is not None:
            target.store.write(record.name, left)
    assert write_both(target, fresh) == wanted


def write_both(target: Volumes, voxels: np.ndarray) -> list[ObjectRecord]:
    target.create({})
    slabs = (target.spec.slab_box(unit) for unit in range(target.spec.render.units))
    aligned = [r for b in slabs for r in target.write_aligned(0, b, part(target.spec, voxels, 0, b))]
    return aligned + target.write_viewer(0, target.spec.scales[0].box, voxels)


def test_another_shape_than_that_of_the_volume_is_refused(tmp_path: Path) -> None:
    volumes(tmp_path, (4, 30, 30)).create({})
    with pytest.raises(BrokenInvariant, match="another shape"):
        volumes(tmp_path, (4, 30, 31)).read(0, Box(begin=(0, 0, 0), end=(1, 1, 1)))


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    target = volumes(tmp_path, (20, 40, 530), z=3493)
    scales = random_scales(target.spec)
    first = write_all(target, scales)
    assert write_all(target, scales) == first


@given(st.tuples(*[st.integers(1, 40)] * 3), st.data())
def test_only_chunks_of_zeros_are_touched_and_in_one_voxel(shape: Zyx, data: st.DataObject) -> None:
    chunk = 16
    voxels = np.zeros(shape, np.uint8)
    marked = data.draw(st.lists(st.tuples(*[st.integers(0, s - 1) for s in shape]), max_size=4))
    for at in marked:
        voxels[at] = 77
    before = voxels.copy()
    found = without_zero_chunks(voxels, chunk)
    assert np.array_equal(voxels, before)
    assert np.array_equal(found[voxels > 0], voxels[voxels > 0])
    changed = np.argwhere(found != voxels)
    assert set(found[found != voxels]) <= {1}
    chunks = np.ndindex(*(-(-s // chunk) for s in shape))
    full = {over(at, (chunk,) * 3) for at in marked}
    assert sorted(tuple(c // chunk) for c in changed) == [c for c in chunks if c not in full]
