"""Volumes of several channels: written one channel at a time, and read by other people's readers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from ome_zarr_models.v05.image import Image

from clio_argo.model.grid import Channels, build_volume
from clio_argo.model.layout import viewer_volume
from clio_argo.model.request import Request, Viewer
from clio_argo.model.run import ObjectRecord
from clio_argo.model.volume import VolumeChannel, VolumeSpec, Zyx
from clio_argo.store.documents import Store
from clio_argo.store.volumes import Volumes, metadata_names
from clio_argo.workspace.expected import shard_names
from tests.cloud_volume import cloud_volume
from tests.store.test_volumes import JPEG_ERROR, grey8, largest_difference, part, pyramid, smooth

NAMES = {"red": "ff0000", "green": "00ff00", "blue": "0000ff", "GFP (488)": "00ff7f", "far/red": "aa0000"}
SIZE = (20, 70, 530)


def channels(count: int, rgb: bool = False) -> Channels:
    looks = [
        VolumeChannel(name=n, number=i, colour=c, window=(0, 200)) for i, (n, c) in enumerate([*NAMES.items()][:count])
    ]
    return Channels(tuple(looks), rgb)


def volumes(folder: Path, held: Channels, size: Zyx = SIZE, dtype: str = "uint8") -> Volumes:
    config = Request(
        id="s", source="s", viewer=Viewer(chunk=16, jpeg_quality=95), resolution=(8, 8, 8), memory_gib=0.25
    )
    return Volumes(Store(str(folder)), build_volume(config, (3, 0, 0), size, dtype, None, held))  # type: ignore[arg-type]


def write_all(target: Volumes, scales: list[list[np.ndarray]]) -> list[ObjectRecord]:
    """Write `scales` [channel][scale], unit by unit."""
    spec = target.spec
    records = target.create({})
    for unit in range(spec.render.units):
        box, (channel, _) = spec.slab_box(unit), spec.channel_and_slab(unit)
        records += target.write_aligned(0, box, part(spec, scales[channel][0], 0, box), channel)
    for tier, fan in ((spec.write_tier, spec.write), (spec.coarsen_tier, spec.coarsen)):
        for unit in range(fan.units):
            layer = spec.layer_of(unit)
            for k in tier.scales:
                if (box := spec.unit_box(tier, unit, k)).empty:
                    continue
                voxels = [part(spec, scales[c][k], k, box) for c in spec.layers[layer]]
                for c, values in zip(spec.layers[layer], voxels, strict=True):
                    records += target.write_aligned(k, box, values, c) if k else []
                shown = np.stack([grey8(v) for v in voxels])
                records += target.write_viewer(k, box, shown if len(voxels) > 1 else shown[0], layer)
    return records


@pytest.mark.properties
@pytest.mark.parametrize(("count", "rgb", "dtype"), [(1, False, "uint8"), (2, False, "uint16"), (5, True, "uint8")])
def test_every_channel_is_read_as_it_was_written(tmp_path: Path, count: int, rgb: bool, dtype: str) -> None:
    target = volumes(tmp_path, channels(count, rgb), dtype=dtype)
    spec = target.spec
    scales = [pyramid(spec, smooth(SIZE, spec.dtype, seed)) for seed in range(count)]
    names = [r.name for r in write_all(target, scales)]
    assert sorted(names) == sorted([*shard_names(spec), *metadata_names(spec)])
    assert {n for folder in ("ng", "aligned") for n in target.store.names(folder)} == set(names)
    group = zarr.open_group(tmp_path / "aligned", mode="r")
    for k, scale in enumerate(spec.scales):
        whole = np.stack([of[k] for of in scales])
        assert np.array_equal([target.read(k, scale.box, c) for c in range(count)], whole)
        assert np.array_equal(np.asarray(group[str(k)][:]), whole)
        assert np.array_equal(by_tensorstore(f"{tmp_path}/aligned/{k}"), whole)
        for layer, members in enumerate(spec.layers):
            folder = f"{tmp_path}/{viewer_volume(spec, layer)}"
            shown = by_tensorstore(folder, driver="neuroglancer_precomputed", scale_index=k).T
            assert np.abs(shown.astype(int) - grey8(whole[list(members)])).mean() <= JPEG_ERROR
            own = target.read_viewer(k, scale.box, layer)
            assert largest_difference(own if len(members) > 1 else own[None], shown) == 0
            # cloud-volume 12.15 takes the colours of a JPEG for planes
            if len(members) == 1:
                cloud = cloud_volume(folder, k)
                assert largest_difference(np.asarray(cloud[:, :, :]).T, shown) <= 1


def by_tensorstore(folder: str, **options: Any) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": f"file://{folder}/", "fill_missing_data_reads": False, **options}
    return np.asarray(ts.open(spec).result().read().result())


def test_channels_are_told_as_ome_ngff_has_it(tmp_path: Path) -> None:
    target = volumes(tmp_path, channels(4, rgb=True), dtype="uint16")
    target.create({})
    image = Image.from_zarr(zarr.open_group(tmp_path / "aligned", mode="r"))
    [multiscale] = image.ome_attributes.multiscales
    assert [(a.name, a.type) for a in multiscale.axes] == [
        ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space"),
    ]  # fmt: skip
    omero = json.loads(target.store.need("aligned/zarr.json"))["attributes"]["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"]) for c in omero] == [(n, c.upper()) for n, c in [*NAMES.items()][:4]]
    assert omero[3]["window"] == {"min": 0, "max": 65535, "start": 0, "end": 200}
    array = json.loads(target.store.need("aligned/0/zarr.json"))
    assert (array["shape"], array["dimension_names"]) == ([4, *SIZE], ["c", "z", "y", "x"])
    assert array["chunk_grid"]["configuration"]["chunk_shape"][0] == 1


def test_layers_lie_below_the_first_under_names_that_folders_can_have(tmp_path: Path) -> None:
    spec = volumes(tmp_path, channels(5, rgb=True)).spec
    folders = [viewer_volume(spec, layer) for layer in range(len(spec.layers))]
    assert folders == ["ng", "ng/channels/1-GFP__488_", "ng/channels/2-far_red"]


@pytest.mark.parametrize("dark", [[0, 1, 2], [0, 2]])
def test_black_chunks_of_colours_are_stored(tmp_path: Path, dark: list[int]) -> None:
    target = volumes(tmp_path, channels(3, rgb=True))
    finest = [np.full(SIZE, 0 if c in dark else 90, np.uint8) for c in range(3)]
    scales = [pyramid(target.spec, values) for values in finest]
    names = [r.name for r in write_all(target, scales)]
    assert sorted(names) == sorted([*shard_names(target.spec), *metadata_names(target.spec)])
    shown = by_tensorstore(f"{tmp_path}/ng", driver="neuroglancer_precomputed").T
    assert np.abs(shown.astype(int) - np.stack(finest)).max() <= JPEG_ERROR


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("rgb", [False, True])
def test_large_pictures_in_colour_are_made_in_4_gib(dtype: Any, rgb: bool) -> None:
    config = Request(id="s", source="s", resolution=(8, 8, 8), memory_gib=4)
    spec = build_volume(config, (0, 0, 0), (1000, 10_000, 10_000), dtype, None, channels(3, rgb))
    assert max(spec.memory_gib(step) for step in spec.work) <= 4
    # blocks of colours hold what waits for the others, too
    block = np.prod(spec.write_tier.unit) / 2**30
    assert spec.memory_gib("write") == 0.5 + block * (2.5 * spec.itemsize + 5 * rgb)


def test_grey_volumes_are_documents_without_channels(tmp_path: Path) -> None:
    spec = volumes(tmp_path, Channels()).spec
    assert not {"channels", "rgb", "main"} & {*json.loads(spec.to_bytes()), *spec.shapes()}
    assert VolumeSpec.from_bytes(spec.to_bytes(), "volume.json") == spec


def test_another_channel_changes_no_shape_of_a_layer(tmp_path: Path) -> None:
    before, after = (volumes(tmp_path, channels(n, rgb=True)).spec for n in (4, 5))
    assert before.shapes(0) == after.shapes(0)
    assert before.shapes(0) != before.shapes(1)
    look = before.channels[3].model_copy(update={"window": None})
    other = before.model_copy(update={"channels": (*before.channels[:3], look)})
    assert (other.shapes(0) == before.shapes(0), other.shapes(1) == before.shapes(1)) == (True, False)
