"""The whole pipeline on small real stacks: what it makes, and how well it aligns."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

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

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the data sets in ../shared/data, beside the repository, are not here"
)


# --- what comes out ----------------------------------------------------------------------------------


def test_identity_run_keeps_every_bit(tmp_path: Path, stack: Path) -> None:
    out = run_here(plain(stack), tmp_path)
    assert np.array_equal(lossless(out), np.stack(list(demo_slices(6).values())))
    assert completion(out).status == "complete"


def test_voxel_offset_is_the_first_slice(aligned: Path) -> None:
    assert [s["voxel_offset"] for s in info(aligned)["scales"]] == [[0, 0, FIRST]]
    translation = json.loads((aligned / "aligned" / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0][
        "datasets"
    ][0]["coordinateTransformations"][1]
    assert translation == {"type": "translation", "translation": [FIRST * 10, 0, 0]}


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


@needs_shared
def test_old_request_finds_the_known_shift_of_the_old_pair(tmp_path: Path) -> None:
    document = {"id": "slice2", "image": "iso.%05d.png", "minz": 3493, "maxz": 3494, "downsample_factor": 4}
    sources = ("clio_ingest_fixture_pair", "fibsem_fly_medulla_60")
    configs = [build_request({**document, "source": str(SHARED / s)}) for s in sources]
    runs = [run_here(c, tmp_path / str(i), stop_before="render") for i, c in enumerate(configs)]
    moved, unmoved = (shift_px(out, (520, 520)) for out in runs)
    assert moved - unmoved == pytest.approx([-50, 0], abs=0.05)


def misaligned(folder: Path, *options: str) -> Path:
    script = SHARED / "make_misaligned.py"
    data = SHARED / "fibsem_fly_medulla_60"
    make = [sys.executable, str(script), "make", "--in", str(data), "--out", str(folder), "--seed", "5"]
    subprocess.run([*make, *options], check=True, capture_output=True)
    return folder


def score(out: Path, truth: Path, start: int = 0) -> dict[str, float]:
    """Pair errors as the script that made the stack counts them."""
    placed = [{"k": s.z - start, "out_to_ref": s.matrix} for s in transforms(out).slices if s.matrix]
    (out / "estimate.json").write_text(json.dumps({"slices": placed}))
    script = [sys.executable, str(SHARED / "make_misaligned.py"), "score", str(truth)]
    told = subprocess.run([*script, str(out / "estimate.json")], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout)["pair_px"])


@needs_shared
def test_sixty_misaligned_slices(tmp_path: Path) -> None:
    source = misaligned(tmp_path / "source")
    out = run_here(request(source), tmp_path / "out", stop_before="render")
    errors = score(out, source / "truth.json")
    assert errors["n"] == 59
    assert errors["median"] <= 0.33
    assert errors["p95"] <= 0.6


@needs_shared
def test_misaligned_copies_of_one_slice(tmp_path: Path) -> None:
    source = misaligned(tmp_path / "source", "--static", "--nz", "10")
    out = run_here(request(source), tmp_path / "out", stop_before="render")
    assert score(out, source / "truth.json")["median"] <= 0.05


def test_records_name_every_object_with_its_size(aligned: Path) -> None:
    objects = {o.name: o.size for r in records(aligned).values() for o in r.objects}
    assert all((aligned / name).stat().st_size == size for name, size in objects.items())


def test_labels_are_kept_in_the_last_document(tmp_path: Path, stack: Path) -> None:
    out = run_here(plain(stack, labels={"lab": "em"}), tmp_path)
    assert json.loads((out / "complete.json").read_text())["labels"] == {"lab": "em"}
