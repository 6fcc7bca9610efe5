"""The errors of the predecessor, one test each: none of them may come back."""

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.errors import GateStopped, UserError
from clio_argo.model.parse_request import build_request
from clio_argo.steps.plan import plan
from tests.stacks import (
    DEMO,
    FIRST,
    NOISE,
    Image,
    completion,
    contents,
    demo_slice,
    demo_slices,
    info,
    lossless,
    pair_errors_px,
    plain,
    records,
    request,
    run_here,
    transforms,
    truth_of,
    verdicts,
    viewer,
    write_stack,
)

OLD_REQUEST = {"id": "old", "minz": FIRST, "maxz": FIRST + 1, "image": "iso.%05d.png", "resolution": 10}


def old_run(tmp_path: Path, slices: dict[int, Image], name: str = "out", **settings: object) -> Path:
    """A run of a request in the predecessor's spelling (`clip_limit` stands for `clip-limit`)."""
    source = write_stack(tmp_path / "source", slices)
    spelled = {k.replace("clip_limit", "clip-limit"): v for k, v in settings.items()}
    return run_here(build_request({**OLD_REQUEST, "source": str(source)}, spelled), tmp_path / name)


@pytest.fixture(scope="module")
def over_noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five slices of which the middle one is noise."""
    folder = tmp_path_factory.mktemp("over_noise")
    slices = demo_slices(5, 320, NOISE - 2)
    return run_here(request(write_stack(folder / "source", slices), max_bad=1), folder / "out")


@pytest.mark.properties
def test_error_01_failed_pair_is_never_composed(over_noise: Path) -> None:
    found = transforms(over_noise)
    failed = [f for f in found.fits if NOISE in (f.z0, f.z1)]
    assert failed
    assert all(f.matrix is None and f.reason for f in failed)
    placed = {s.z: s.matrix for s in found.slices}
    assert placed[NOISE] is None
    linear = [np.array(m)[:, :2] for m in placed.values() if m is not None]
    assert all(np.linalg.det(m) == pytest.approx(1, abs=0.02) for m in linear)
    assert pair_errors_px(found, truth_of(DEMO / "truth.json"), (320, 320)).max() < 1


@pytest.mark.properties
def test_error_01_pairs_that_all_fail_stop_the_run(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 160, 160), np.uint8)
    source = write_stack(tmp_path / "source", dict(enumerate(noise)))
    with pytest.raises(GateStopped, match="4 of 4 slices"):
        run_here(request(source), tmp_path / "out")
    assert all(f.matrix is None for f in transforms(tmp_path / "out").fits)
    assert not (tmp_path / "out" / "aligned").exists()


def turned(image: Image, degrees: float) -> Image:
    """The middle of an image of twice the size after turning it."""
    middle = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1)
    whole = cv2.warpAffine(image, matrix, image.shape[::-1], flags=cv2.INTER_CUBIC)
    return np.ascontiguousarray(whole[60:-60, 60:-60])


def rotation_found(tmp_path: Path, degrees: float) -> tuple[str, float]:
    """(model, degrees) of the fit of a slice against itself turned by `degrees`, with noise in both."""
    image, noise = demo_slice(FIRST, 320), np.random.default_rng(0)
    pair = (turned(image, a) + noise.normal(0, 15, (200, 200)) for a in (0, degrees))
    slices = (np.clip(s, 0, 255).astype(np.uint8) for s in pair)
    out = old_run(tmp_path, dict(enumerate(slices, FIRST)))
    fit = transforms(out).fits[0]
    matrix = np.array(fit.matrix)
    return fit.model, float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))


@pytest.mark.parametrize("degrees", [1.0, -1.0])
def test_error_02_a_rotation_is_kept_whatever_its_sign(tmp_path: Path, degrees: float) -> None:
    model, found = rotation_found(tmp_path, degrees)
    assert model == "affine"
    assert found == pytest.approx(degrees, abs=0.1)


@pytest.mark.parametrize("degrees", [0.05, -0.05])
def test_error_02_a_rotation_nobody_sees_is_a_translation(tmp_path: Path, degrees: float) -> None:
    assert rotation_found(tmp_path, degrees) == ("translation", 0.0)


@pytest.mark.properties
def test_error_03_clip_limit_reaches_the_pixels(tmp_path: Path) -> None:
    slices = demo_slices(2)
    limits = (0, 0.01, 0.02)
    volumes = [old_run(tmp_path, slices, str(v), clip_limit=v, skip_align=True) for v in limits]
    spread = [lossless(v).std() for v in volumes]
    assert spread == sorted(set(spread))
    assert np.array_equal(lossless(volumes[0]), np.stack(list(slices.values())))


@pytest.mark.properties
def test_error_04_every_key_is_read_under_its_own_name(tmp_path: Path) -> None:
    for project in ("project", "project_id"):
        assert build_request({**OLD_REQUEST, "source": "bucket", project: "mine"}).project == "mine"
    with pytest.raises(UserError, match=r"project and project_id|project_id and project"):
        build_request({**OLD_REQUEST, "source": "bucket", "project": "mine", "project_id": "yours"})
    skipped = old_run(tmp_path, demo_slices(2), "skipped", skip_align=True, project_id="mine")
    aligned = old_run(tmp_path, demo_slices(2), "aligned", project_id="mine")
    assert [s.matrix for s in transforms(skipped).slices] == [((1, 0, 0), (0, 1, 0))] * 2
    assert len({s.matrix for s in transforms(aligned).slices}) == 2


@pytest.mark.parametrize("gone", [0, -1], ids=["first", "last"])
def test_error_05_first_and_last_slice_are_checked(tmp_path: Path, gone: int) -> None:
    slices = demo_slices(4)
    z = sorted(slices)[gone]
    config = request(write_stack(tmp_path, slices), minz=FIRST, maxz=FIRST + 3)
    (tmp_path / f"iso.{z:05d}.png").unlink()
    assert [(p.kind, p.z) for p in plan(config).problems] == [("missing", z)]
    with pytest.raises(GateStopped, match=f"z {z}: missing"):
        run_here(config, tmp_path / "out")


def test_error_06_contrast_writes_no_marks_into_pixels(tmp_path: Path) -> None:
    image = demo_slice(FIRST)
    image[:40, :40], image[60:90, 60:90] = 0, 255
    out = old_run(tmp_path, {FIRST: image, FIRST + 1: image}, skip_align=True)
    # a slice below 1024 px is one tile: its new grey values are a rising function of the old ones
    pairs = np.unique(np.stack([image.ravel(), lossless(out)[0].ravel()]), axis=1)
    assert len(pairs[0]) == len(set(pairs[0]))
    assert (np.diff(pairs[1].astype(int)) >= 0).all()


def quarters_mean(voxels: Image) -> Image:
    """Means of cells of (z, 2, 2) voxels, halves to even, in plain arithmetic; z halved where it is even."""
    z, y, x = voxels.shape
    cells = voxels.reshape(z // 2, 2, y // 2, 2, x // 2, 2).astype(np.int64)
    return np.asarray(np.rint(cells.mean((1, 3, 5))))


def test_error_07_coarser_scales_are_rounded(tmp_path: Path) -> None:
    tiled = {z: np.tile(demo_slice(z, 320), (1, 2)) for z in range(FIRST, FIRST + 4)}
    out = run_here(plain(write_stack(tmp_path / "source", tiled)), tmp_path / "out")
    fine, coarse = lossless(out), lossless(out, 1)
    assert np.array_equal(coarse, quarters_mean(fine))
    assert abs(coarse.mean() - fine.mean()) < 0.05
    assert abs(viewer(out, 1).mean() - fine.mean()) < 0.2


SPEC_KEYS = {"@type", "type", "data_type", "num_channels", "scales"}
SCALE_KEYS = {
    "key", "size", "voxel_offset", "resolution", "chunk_sizes", "encoding", "jpeg_quality", "sharding",
}  # fmt: skip


def test_error_08_info_says_true_sizes_in_the_formats_own_words(tmp_path: Path) -> None:
    odd = {z: np.resize(demo_slice(z), (101, 1031)) for z in range(FIRST, FIRST + 3)}
    out = run_here(plain(write_stack(tmp_path / "source", odd)), tmp_path / "out")
    found = info(out)
    assert found.keys() == SPEC_KEYS
    assert all(s.keys() == SCALE_KEYS for s in found["scales"])
    assert [s["size"] for s in found["scales"]] == [[1031, 101, 3], [516, 51, 2], [258, 26, 2]]
    assert [s["voxel_offset"] for s in found["scales"]] == [[0, 0, 3490], [0, 0, 1745], [0, 0, 872]]
    assert all(s["sharding"]["@type"] == "neuroglancer_uint64_sharded_v1" for s in found["scales"])


@pytest.mark.properties
def test_error_09_no_object_has_two_writers(tmp_path: Path) -> None:
    wide = {z: np.tile(demo_slice(z, 320), (1, 7)) for z in range(FIRST, FIRST + 5)}
    out = run_here(plain(write_stack(tmp_path / "source", wide), viewer__chunk=256), tmp_path / "out")
    units = [r for r in records(out).values() if r.step in ("render", "write", "coarsen")]
    assert Counter(r.step for r in units)["write"] > 1
    assert any(r.step == "coarsen" for r in units)
    written = Counter(o.name for r in units for o in r.objects)
    assert set(written.values()) == {1}
    volume = {n for n in contents(out) if n.startswith(("ng/", "aligned/", "thumbnails/"))}
    assert volume - written.keys() == {n for n in volume if n == "ng/info" or n.endswith("zarr.json")}


def test_error_10_colour_is_kept(tmp_path: Path) -> None:
    colour = np.dstack([demo_slice(z) for z in range(FIRST, FIRST + 3)])
    found = plan(request(write_stack(tmp_path, {FIRST: colour, FIRST + 1: colour})))
    assert ([c.name for c in found.channels], found.rgb) == (["red", "green", "blue"], True)


def test_error_10_grey_saved_as_colour_starts_at_minz_and_info_holds_no_shader(tmp_path: Path) -> None:
    slices = demo_slices(3)
    colour = {z: np.dstack([image] * 3) for z, image in slices.items()}
    source = write_stack(tmp_path / "source", colour)
    out = run_here(plain(source, minz=FIRST + 1), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack(list(slices.values()))[1:])
    assert info(out)["scales"][0]["voxel_offset"] == [0, 0, FIRST + 1]
    assert "shader" not in (out / "ng" / "info").read_text()


@pytest.mark.properties
def test_error_11_a_still_stack_does_not_walk(tmp_path: Path) -> None:
    image, random = demo_slice(FIRST), np.random.default_rng(0)
    slices = {z: image ^ (random.random(image.shape) < 0.1) for z in range(FIRST, FIRST + 12)}
    out = run_here(request(write_stack(tmp_path / "source", slices)), tmp_path / "out")
    matrices = np.array([s.matrix for s in transforms(out).slices])
    assert np.abs(matrices - matrices[0]).max() <= 0.05


@pytest.mark.properties
def test_error_11_a_link_over_a_bad_slice_is_one_link(over_noise: Path) -> None:
    found = {(f.z0, f.z1) for f in transforms(over_noise).fits if f.matched}
    assert (NOISE - 1, NOISE + 1) in found


@pytest.mark.properties
def test_error_12_bad_and_missing_slices_are_replaced_and_named(tmp_path: Path) -> None:
    slices = demo_slices(6, 320, NOISE - 2)
    missing = NOISE + 2
    del slices[missing]
    source = write_stack(tmp_path / "source", slices)
    out = run_here(request(source, max_bad=2), tmp_path / "out")
    assert verdicts(out) == {NOISE: "bad", missing: "missing"}
    assert completion(out).status == "complete_with_flags"
    assert completion(out).flagged == (NOISE, missing)
    volume = lossless(out)
    for z in (NOISE, missing):
        assert np.array_equal(volume[z - NOISE + 2], volume[z - NOISE + 1])
    assert completion(out).replaced == {NOISE: (NOISE - 1,), missing: (missing - 1,)}


def test_error_13_a_run_is_nobody_elses(tmp_path: Path, stack: Path) -> None:
    before = os.umask(0o077)
    try:
        out = run_here(plain(stack), tmp_path / "out")
    finally:
        os.umask(before)
    assert completion(out).link == f"clio-argo view {out}"
    assert not [p for p in out.rglob("*") if p.stat().st_mode & 0o077]
