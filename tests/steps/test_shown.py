"""What of the files is left out: data bars and what the user says, of the volume; what stays in the frame, of fits."""

from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.model.alignment import Shown
from tests.kernels.test_data_bar import text_bar
from tests.stacks import (
    FIRST,
    NOISE,
    Image,
    completion,
    contents,
    demo_slice,
    encoded,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    write_stack,
)

NUMBERS = [z for z in range(FIRST, FIRST + 13) if z != NOISE]
SIZE = 300


def with_bars(but: int = 0, rows: int = 24) -> dict[int, Image]:
    """Slices above a data bar; some have none."""
    slices = {z: demo_slice(z, SIZE) for z in NUMBERS}
    bars = {z: text_bar(rows) if i >= but else demo_slice(z, SIZE)[:rows] for i, z in enumerate(NUMBERS)}
    return {z: np.vstack([slices[z], bars[z]]) for z in NUMBERS}


@pytest.mark.properties
def test_a_data_bar_is_cut_off_and_said(tmp_path: Path) -> None:
    out = run_here(plain(write_stack(tmp_path / "bars", with_bars())), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack([demo_slice(z, SIZE) for z in NUMBERS]))
    done = completion(out)
    assert done.status == "complete_with_flags"
    assert "data bar of 24 rows" in done.left_out[0]
    assert "data bar of 24 rows" in (out / "report.html").read_text()


def test_a_bar_that_only_some_slices_have_is_not_cut(tmp_path: Path) -> None:
    slices = with_bars(but=2)
    out = run_here(plain(write_stack(tmp_path / "some", slices)), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack([*slices.values()]))
    assert completion(out).left_out == ()


def test_a_part_of_the_files_gives_the_volume_of_files_that_were_cut(tmp_path: Path) -> None:
    """A person who knows better: no bar is looked for then, and none is cut off."""
    source = write_stack(tmp_path / "bars", with_bars())
    out = run_here(plain(source, source_crop__x=(11, 210), source_crop__y=(7, 310)), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack([image[7:311, 11:211] for image in with_bars().values()]))
    assert completion(out).left_out == ()
    # in pixels of the file
    assert {s.matrix for s in transforms(out).slices} == {((1, 0, -11), (0, 1, -7))}


@pytest.mark.properties
def test_a_bar_drags_no_slice_and_a_part_of_the_files_is_aligned_alike(tmp_path: Path) -> None:
    alone = write_stack(tmp_path / "alone", {z: demo_slice(z, SIZE) for z in NUMBERS})
    bars = write_stack(tmp_path / "bars", with_bars())
    outs = [run_here(request(s), tmp_path / f"out_{s.name}", stop_before="render") for s in (alone, bars)]
    outs.append(run_here(request(bars, source_crop__y=(0, SIZE - 1)), tmp_path / "cut", stop_before="render"))
    places = [np.array([s.matrix for s in transforms(out).slices]) for out in outs]
    assert np.abs(places - places[0])[:, :, :, 2].max() < 0.4


@pytest.mark.properties
def test_transforms_of_a_run_show_the_same_part(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "bars", with_bars())
    first = run_here(plain(source, source_crop__x=(11, 210)), tmp_path / "first")
    again = run_here(
        plain(source, alignment__skip=False, transforms=str(first / "transforms.json")), tmp_path / "again"
    )
    assert transforms(again).shown == transforms(first).shown != Shown()
    assert np.array_equal(lossless(again), lossless(first))


def disturbed() -> dict[int, Image]:
    """Tissue that moves under lines that do not."""
    shifts = np.random.default_rng(3).integers(0, 50, (len(NUMBERS), 2))
    slices = {z: demo_slice(z, 320)[y:, x:][:260, :260].copy() for z, (x, y) in zip(NUMBERS, shifts, strict=True)}
    for image in slices.values():
        image[:, [60, 61, 130, 131]] = 255
    return slices


@pytest.mark.properties
def test_what_stays_is_shown_in_the_report(tmp_path: Path) -> None:
    out = run_here(request(write_stack(tmp_path / "lines", disturbed()), max_residual_px=1e4), tmp_path / "out")
    assert "stays where it is" in completion(out).left_out[0]
    page = (out / "report.html").read_text()
    assert "stays where it is" in page
    assert "views/pattern.png" in page
    assert (out / "views" / "pattern.png").stat().st_size > 0
    assert 0.02 < transforms(out).pattern < 0.2


@pytest.mark.properties
def test_the_cut_into_parts_changes_nothing(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "lines", disturbed())
    outs = [run_here(request(source, max_parts=parts), tmp_path / str(parts)) for parts in (1, 500)]
    assert contents(outs[0]) == contents(outs[1])


@pytest.mark.parametrize("ignored", ["", "rectangle", "mask"])
def test_what_the_user_ignores_is_left_out_of_fits(ignored: str, tmp_path: Path) -> None:
    """Two slices are too few to tell a pattern from tissue: the user says where it is."""
    random = np.random.default_rng(0)
    patch = random.integers(0, 255, (180, 260)).astype(np.uint8)
    slices = {z: demo_slice(z, 320)[20 * i :, 15 * i :][:260, :260].copy() for i, z in enumerate(NUMBERS[:2])}
    for image in slices.values():
        image[80:] = patch
    mask = np.zeros((260, 260), np.uint8)
    mask[78:] = 1
    (tmp_path / "mask.png").write_bytes(encoded(mask))
    setting = {"": {}, "rectangle": {"ignore": [{"x": [0, 259], "y": [78, 259]}]},
               "mask": {"ignore_mask": str(tmp_path / "mask.png")}}[ignored]  # fmt: skip
    out = run_here(request(write_stack(tmp_path / "two", slices), **setting), tmp_path / "out", "render")
    first, second = (np.array(s.matrix) for s in transforms(out).slices)
    moved = (second - first)[:, 2]
    assert (np.abs(moved - (15, 20)).max() < 2) == bool(ignored)


@pytest.mark.parametrize(
    ("data", "fault"),
    [(encoded(np.zeros((20, 30), np.uint8)), "30 x 20 pixels; the slices have 192 x 192"), (b"x,y", "mask.png: ")],
    ids=["size", "no image"],
)
def test_a_mask_that_cannot_be_used_is_refused_by_name(data: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(data)
    source = write_stack(tmp_path / "source", {z: demo_slice(z, 192) for z in NUMBERS[:2]})
    with pytest.raises(UserError, match=f"mask.png: .*{fault}" if "slices" in fault else fault):
        run_here(request(source, ignore_mask=str(tmp_path / "mask.png")), tmp_path / "out", "reduce")
    assert not (tmp_path / "out").exists()
