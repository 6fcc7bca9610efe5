"""What each setting of a request changes, and that it changes nothing else."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from clio_argo.model.parse_request import field_paths
from clio_argo.model.request import FILES
from tests.stacks import (
    FIRST,
    GROUPS,
    Image,
    completion,
    demo_slice,
    demo_slices,
    digests,
    encoded,
    lossless,
    plain,
    records,
    request,
    run_here,
    transforms,
    viewer,
    write_stack,
)

PIXELS = {"aligned", "ng", "thumbnails"}
EVERYTHING = set(GROUPS)
BASE: dict[str, Any] = {"image": "iso.%05d.png", "contrast__clip_limit": 0, "max_bad": 1}
# setting: (other value, the outputs that it changes)
EFFECTS: dict[str, tuple[Any, set[str]]] = {
    "id": ("other", {"info"}),
    "source": (None, set()),  # a copy of the same slices
    "image": ("late.%05d.png", EVERYTHING),
    "image_regex": (r"late\.0*(\d+)\.png", EVERYTHING),
    "order": ("number", set()),  # tests/workspace/test_order.py has names without numbers
    "follow_links": (True, set()),  # there are none; tests/store/test_links.py has some
    "minz": (FIRST + 1, EVERYTHING),
    "maxz": (FIRST + 2, EVERYTHING),
    "sizes": ("any", set()),  # all are alike; tests/steps/test_sizes.py has others
    "channel": (0, set()),  # the only one; tests/store/images/test_tiff_axes.py has more
    "time": (0, set()),
    "channels": (["grey"], set()),  # there is one; test_channels has more, here and for the three below
    "alignment.channel": (None, set()),
    "contrast.channels": ({}, set()),
    "viewer.windows": ({}, set()),
    "resolution": ((10, 10, 20), {"info"}),
    "positions": (f"z,x_px,y_px\n{''.join(f'{FIRST + i},5,5{chr(10)}' for i in range(4))}", {"transforms"}),
    "overrides": (f"slices: [{{z: {FIRST}, verdict: suspect, reason: dust}}]", {"transforms", "info"}),
    "transforms": (f"z,a,b,tx,c,d,ty\n{''.join(f'{FIRST + i},1,0,{i},0,1,0{chr(10)}' for i in range(4))}", EVERYTHING),
    "source_crop.x": ((3, 90), EVERYTHING),
    "source_crop.y": ((3, 90), EVERYTHING),
    "ignore": ([{"x": [40, 110], "y": [30, 120]}], PIXELS | {"transforms"}),
    "ignore_mask": (encoded(np.pad(np.ones((90, 70), np.uint8), ((30, 40), (40, 50)))), PIXELS | {"transforms"}),
    "crop.x": ((3, 90), PIXELS | {"info"}),
    "crop.y": ((3, 90), PIXELS | {"info"}),
    "crop.z": ((FIRST + 1, FIRST + 2), PIXELS | {"info"}),
    "alignment.skip": (True, EVERYTHING),
    "alignment.downsample": (2, EVERYTHING),
    "alignment.anchor": (False, PIXELS | {"transforms"}),
    "alignment.trend": ("images", PIXELS | {"transforms"}),
    "alignment.trend_slices": (8, PIXELS | {"transforms"}),
    "alignment.model": ("rigid", EVERYTHING),
    "contrast.clip_limit": (0.02, PIXELS | {"info"}),
    "contrast.invert": (True, PIXELS | {"info"}),
    "contrast.flicker": (50, PIXELS | {"info", "transforms"}),
    "value_window": (None, set()),  # not for values of 8 bits; test_values has others
    "background": (128, PIXELS | {"info"}),
    "viewer.jpeg_quality": (50, {"ng", "info"}),
    "viewer.chunk": (32, {"ng", "info"}),
    "viewer.scales": ((0, 9), set()),  # there is one scale; test_given has two
    "viewer.window": ((50, 200), {"ng", "info", "thumbnails", "transforms"}),
    "lossless": (False, {"aligned", "info"}),
    "buckets.viewer": ("a disk", set()),
    "buckets.lossless": ("a disk", set()),
    "buckets.temporary": ("a disk", set()),
    "buckets.process": ("a disk", set()),
    "make_buckets.location": ("us-east4", set()),
    "make_buckets.public": (True, set()),
    "make_buckets.expire_days": (7, set()),
    "make_buckets.archive_days": (30, set()),
    "max_pixels": (160 * 160, set()),
    "bad_slices": ("black", {"info"}),  # there is no bad slice; test_treatment has some
    "max_bad": (0.5, set()),
    "max_breaks": (3, set()),
    "part_minutes": (1, set()),
    "max_parts": (1, set()),
    "single_pod_minutes": (0, set()),
    "update": (True, set()),
    "max_gap": (2, set()),
    "max_residual_px": (5, set()),
    "memory_gib": (1, set()),
    "workers": (2, set()),
    "project": ("mine", set()),
    "notify.email": ("a@example.org", set()),
    "register.store": ("http://127.0.0.1:9", set()),  # nobody listens there
    "register.dataset": ("fly", set()),
    "labels": ({"lab": "em"}, set()),
    "follow.every": ("1s", set()),
    "follow.until_idle": ("1h", set()),
    "follow.stalled_after": ("1h", set()),
    "follow.incomplete_after": ("1h", set()),
    "follow.jump_px": (5.0, set()),
    "follow.notify_on": ("bad", set()),
}


@pytest.fixture(scope="module")
def two_stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks of four slices in one folder."""
    folder = write_stack(tmp_path_factory.mktemp("settings"), demo_slices(4, 160))
    late = dict(enumerate(demo_slices(4, 160, FIRST + 4).values(), FIRST))
    return write_stack(folder, late, "late.%05d.png")


@pytest.fixture(scope="module")
def base_run(two_stacks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(request(two_stacks, **BASE), tmp_path_factory.mktemp("base"))


def test_every_setting_is_tested() -> None:
    assert EFFECTS.keys() == set(field_paths()) - {"schema_version"}


@pytest.mark.properties
@pytest.mark.parametrize("setting", EFFECTS)
def test_setting_changes_what_it_should_and_nothing_else(
    setting: str, two_stacks: Path, base_run: Path, tmp_path: Path
) -> None:
    value, expected = EFFECTS[setting]
    if setting in FILES:
        (tmp_path / setting).write_bytes(value if isinstance(value, bytes) else value.encode())
        value = str(tmp_path / setting)
    if setting.startswith("buckets."):
        value = str(tmp_path / value)
    settings, source = {**BASE, setting.replace(".", "__"): value}, two_stacks
    if setting.startswith("make_buckets."):
        settings.setdefault("make_buckets__location", "us-east4")
    if setting == "image_regex":
        del settings["image"]
    if setting == "source":
        source = shutil.copytree(two_stacks, tmp_path / "copy")
        del settings["source"]
    out = run_here(request(source, **settings), tmp_path / "out")
    before, after = digests(base_run), digests(out)
    changed = {group for group in GROUPS if before[group] != after[group]}
    # a hundredth of a pixel need not show in the canvas, nor after JPEG
    unsure = {"info", "ng", "thumbnails"} if setting.startswith("alignment.") else set[str]()
    assert changed - unsure == expected - unsure


def test_background_is_everything_that_no_slice_reaches(tmp_path: Path) -> None:
    image = demo_slice(FIRST, 320)
    turn = cv2.getRotationMatrix2D((160, 160), 5, 1)
    turned = cv2.warpAffine(image, turn, (320, 320), flags=cv2.INTER_CUBIC)
    source = write_stack(tmp_path / "source", {1: image[50:-50, 50:-50], 2: turned[50:-50, 50:-50]})
    out = run_here(request(source, background=200), tmp_path / "out")
    for plane, placed in zip(lossless(out), transforms(out).slices, strict=True):
        away = distance_px(plane.shape, np.array(placed.matrix), 220)
        assert (plane[away > 2] == 200).all()
        assert (away > 2).any()


def distance_px(shape: tuple[int, ...], matrix: Image, side: int) -> Image:
    """How far every pixel of a canvas lies outside of a square slice."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inverse = cv2.invertAffineTransform(matrix)
    there = np.stack([x, y, np.ones_like(x)], -1) @ inverse.T
    return np.asarray(np.maximum(-there, there - (side - 1)).max(-1))


@pytest.mark.properties
def test_lossless_volume_that_is_not_kept_lies_under_tmp(two_stacks: Path, base_run: Path, tmp_path: Path) -> None:
    out = run_here(request(two_stacks, **BASE, lossless=False), tmp_path)
    assert not (out / "aligned").exists()
    assert completion(out).aligned is None
    assert np.array_equal(lossless(out, folder="tmp/aligned"), lossless(base_run))


@pytest.mark.properties
def test_little_memory_makes_smaller_units_of_the_same_voxels(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", dict.fromkeys(range(66), demo_slice(FIRST, 32)))
    outs = [run_here(plain(source, memory_gib=gib), tmp_path / str(gib)) for gib in (0.25, 4)]
    blocks = [sum(r.step == "write" for r in records(out).values()) for out in outs]
    assert blocks == [2, 1]
    assert np.array_equal(*(lossless(out) for out in outs))
    assert np.array_equal(*(viewer(out) for out in outs))


@pytest.mark.properties
def test_window_of_8_bit_slices_reaches_the_viewer_with_contrast_too(tmp_path: Path, stack: Path) -> None:
    windows = (None, (50, 200))
    outs = [run_here(request(stack, viewer__window=w), tmp_path / str(w)) for w in windows]
    assert digests(outs[0])["ng"] != digests(outs[1])["ng"]
    for out in outs:  # contrast has spread the window already, so that the viewer volume shows what is stored
        assert np.abs(viewer(out).astype(int) - lossless(out)).mean() < 6
