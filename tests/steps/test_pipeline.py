"""The whole pipeline on small real stacks: what it makes, and how well it aligns."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from scipy.ndimage import affine_transform

from clio_argo.model.parse_request import build_request
from tests.stacks import (
    DEMO,
    FIRST,
    NOISE,
    Image,
    completion,
    demo_slice,
    demo_slices,
    info,
    lossless,
    pair_errors_px,
    plain,
    records,
    request,
    run_here,
    shift_px,
    transforms,
    truth_of,
    verdicts,
    viewer,
    write_stack,
)

# --- what comes out ----------------------------------------------------------------------------------


def test_identity_run_keeps_every_bit(tmp_path: Path, stack: Path) -> None:
    out = run_here(plain(stack), tmp_path)
    assert np.array_equal(lossless(out), np.stack(list(demo_slices(6).values())))
    # the stack is misaligned
    assert "do not lie on each other" in completion(out).notes[0]


def test_voxel_offset_is_the_first_slice(aligned: Path) -> None:
    assert [s["voxel_offset"] for s in info(aligned)["scales"]] == [[0, 0, FIRST]]
    translation = json.loads((aligned / "aligned" / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0][
        "datasets"
    ][0]["coordinateTransformations"][1]
    assert translation == {"type": "translation", "translation": [FIRST * 10 + 5, 5, 5]}


def test_viewer_volume_looks_like_the_lossless_one(aligned: Path) -> None:
    difference = viewer(aligned).astype(int) - lossless(aligned)
    assert difference.shape[0] == 6
    assert abs(difference.mean()) < 0.5
    assert np.abs(difference).mean() < 6


@pytest.mark.parametrize("count", [1, 2])
def test_thin_stack(tmp_path: Path, count: int) -> None:
    slices = demo_slices(count)
    out = run_here(plain(write_stack(tmp_path / "source", slices)), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack(list(slices.values())))
    assert viewer(out).shape == (count, 192, 192)


def test_two_slices_are_aligned(tmp_path: Path) -> None:
    image = demo_slice(FIRST, 320)
    moved = {1: image[20:-20, 20:-20], 2: image[23:-17, 13:-27]}
    out = run_here(request(write_stack(tmp_path / "source", moved)), tmp_path / "out")
    assert shift_px(out, (280, 280)) == pytest.approx([-7, 3], abs=0.02)


def sixteen_bit(z: int) -> Image:
    return demo_slice(z).astype(np.uint16) * 55 + 18000


def test_sixteen_bits_stay_sixteen_bits_and_the_window_is_recorded(tmp_path: Path) -> None:
    slices = {z: sixteen_bit(z) for z in range(FIRST, FIRST + 3)}
    out = run_here(plain(write_stack(tmp_path / "source", slices)), tmp_path / "out")
    whole = np.stack(list(slices.values()))
    assert lossless(out).dtype == np.uint16
    assert np.array_equal(lossless(out), whole)
    low, high = transforms(out).window or (0, 0)
    assert (low, high) == pytest.approx(np.percentile(whole, (0.5, 99.5)), abs=55)
    shown = np.clip((whole - low) * (255 / (high - low)), 0, 255)
    assert np.abs(viewer(out) - shown).mean() < 6
    attributes = json.loads((out / "aligned" / "zarr.json").read_text())["attributes"]["clio_argo"]
    assert attributes["window"] == [low, high]


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "compression": "zlib"}], ids=["strips", "tiles"])
def test_multi_page_tiff_is_a_stack(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = np.stack([sixteen_bit(z) for z in range(FIRST, FIRST + 3)])
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, whole, photometric="minisblack", metadata=None, **options)
    out = run_here(plain(file, minz=7), tmp_path / "out")
    assert np.array_equal(lossless(out), whole)
    assert [s.z for s in transforms(out).slices] == [7, 8, 9]


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    slices = demo_slices(2)
    source = write_stack(tmp_path / "source", slices, f"iso.%05d{suffix}")
    out = run_here(plain(source), tmp_path / "out")
    decoded = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(source.iterdir())]
    assert np.array_equal(lossless(out), np.stack(decoded))


def test_palette_png_is_grey(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    for z, image in demo_slices(2).items():
        picture = Pillow.fromarray(255 - image)
        picture.putpalette([v for grey in range(255, -1, -1) for v in (grey, grey, grey)])
        picture.save(tmp_path / f"iso.{z:05d}.png")
    out = run_here(plain(tmp_path), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack(list(demo_slices(2).values())))


# --- how well it aligns --------------------------------------------------------------------------------


def test_demo_is_aligned(demo: Path) -> None:
    errors = pair_errors_px(transforms(demo), truth_of(DEMO / "truth.json"), (320, 320))
    assert len(errors) == 58
    assert np.median(errors) <= 0.33
    assert np.percentile(errors, 95) <= 0.6


def test_demo_noise_slice_is_flagged_and_no_other(demo: Path) -> None:
    assert verdicts(demo) == {NOISE: "bad"}
    assert completion(demo).flagged == (NOISE,)
    volume = lossless(demo)
    assert np.array_equal(volume[NOISE - FIRST], volume[NOISE - 1 - FIRST])


@pytest.mark.properties
def test_old_request_finds_a_known_shift(tmp_path: Path) -> None:
    """The predecessor's own example: the second of two slices moved by 50 px."""
    document = {"id": "slice2", "image": "iso.%05d.png", "minz": 3493, "maxz": 3494, "downsample_factor": 4}
    first, second = demo_slice(3493, 320), demo_slice(3494, 320)
    shifts = []
    for left in (10, 60):
        pair = {3493: first[:, 10:270], 3494: second[:, left : left + 260]}
        source = write_stack(tmp_path / f"source{left}", pair)
        config = build_request({**document, "source": str(source)})
        shifts.append(shift_px(run_here(config, tmp_path / str(left), stop_before="render"), (260, 320)))
    assert shifts[1] - shifts[0] == pytest.approx([50, 0], abs=0.05)


def moved(image: Image, to_image: Image, size: int) -> Image:
    """A view of `size` x `size` px whose pixel (x, y) lies at `to_image` (x, y, 1) of an image; splines, exact."""
    (a, b, x), (c, d, y) = to_image
    values = affine_transform(image.astype(np.float64), [[d, c], [b, a]], (y, x), (size, size), order=3)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@pytest.mark.properties
def test_misaligned_copies_of_one_slice(tmp_path: Path) -> None:
    random, image, size = np.random.default_rng(5), demo_slice(FIRST, 320), 256
    # 3 px, 0.15 degrees, 0.1 %: as the demo stack
    linear = np.eye(2) + random.normal(0, 2e-3, (10, 2, 2))
    truth = {z: np.hstack([m, random.normal(32, 3, (2, 1))]) for z, m in enumerate(linear)}
    source = write_stack(tmp_path / "source", {z: moved(image, m, size) for z, m in truth.items()})
    out = run_here(request(source), tmp_path / "out", stop_before="render")
    errors = pair_errors_px(transforms(out), truth, (size, size))
    assert len(errors) == 9
    assert np.median(errors) <= 0.05


def test_records_name_every_object_with_its_size(aligned: Path) -> None:
    objects = {o.name: o.size for r in records(aligned).values() for o in r.objects}
    assert all((aligned / name).stat().st_size == size for name, size in objects.items())


def test_labels_are_kept_in_the_last_document(tmp_path: Path, stack: Path) -> None:
    out = run_here(plain(stack, labels={"lab": "em"}), tmp_path)
    assert json.loads((out / "complete.json").read_text())["labels"] == {"lab": "em"}
