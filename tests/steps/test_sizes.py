"""Slices that change their size halfway: as after a microscope was restarted, and by mistake."""

from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import GateStopped
from clio_argo.kernels.render import footprint
from clio_argo.model.sizes import FEWEST_ALIKE, SizeRun, accept_sizes, describe_sizes, size_runs
from clio_argo.steps.plan import plan
from tests.stacks import (
    DEMO,
    Image,
    cli,
    completion,
    demo_slice,
    lossless,
    pair_errors_px,
    plain,
    request,
    run_here,
    transforms,
    truth_of,
    write_stack,
)

FIRST, LAST, RESTART = 3520, 3549, 3535
SMALL, LARGE, LEFT, TOP = 256, 320, 40, 12
A, B = (100, 80), (120, 80)


def cropped(z: int) -> Image:
    """A slice before the restart: part of the field, begun elsewhere."""
    return np.ascontiguousarray(demo_slice(z, LARGE)[TOP : TOP + SMALL, LEFT : LEFT + SMALL])


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 slices that grow from 256 to 320 px halfway."""
    folder = tmp_path_factory.mktemp("grown")
    slices = {z: cropped(z) if z < RESTART else demo_slice(z, LARGE) for z in range(FIRST, LAST + 1)}
    return run_here(request(write_stack(folder / "source", slices)), folder / "out")


@pytest.mark.properties
def test_slices_before_and_after_a_restart_are_aligned_as_exactly_as_any(grown: Path) -> None:
    moved = np.array([[1, 0, LEFT], [0, 1, TOP], [0, 0, 1]])
    truth = {z: m @ moved if z < RESTART else m for z, m in truth_of(DEMO / "truth.json").items()}
    errors = pair_errors_px(transforms(grown), truth, (SMALL, SMALL))
    assert len(errors) == LAST - FIRST
    assert np.median(errors) < 0.35
    assert errors.max() < 1.0


@pytest.mark.properties
def test_the_canvas_holds_every_slice_at_its_own_size(grown: Path) -> None:
    found = transforms(grown)
    sides = [SMALL if s.z < RESTART else LARGE for s in found.slices]
    boxes = np.array([footprint(s.matrix, n, n) for s, n in zip(found.slices, sides, strict=True) if s.matrix])
    assert (boxes[:, :2] >= 0).all()
    assert boxes.max(0)[2:].tolist() == [found.width, found.height]
    assert boxes.min(0)[:2].tolist() == [0, 0]


def test_no_pixel_of_a_smaller_slice_is_lost_or_stretched(tmp_path: Path) -> None:
    slices = {z: demo_slice(z, 64 if z < 8 + FIRST else 96) for z in range(FIRST, FIRST + 16)}
    out = run_here(plain(write_stack(tmp_path / "source", slices), background=7), tmp_path / "out")
    planes = lossless(out)
    assert planes.shape == (16, 96, 96)
    for plane, image in zip(planes, slices.values(), strict=True):
        expected = np.full((96, 96), 7, np.uint8)
        expected[: len(image), : len(image)] = image
        assert np.array_equal(plane, expected)
    assert completion(out).flagged == ()


@pytest.mark.properties
def test_plan_says_from_which_slice_on_the_size_is_another(tmp_path: Path) -> None:
    slices = {z: demo_slice(z, 64 if z < 8 + FIRST else 96) for z in range(FIRST, FIRST + 16)}
    source = write_stack(tmp_path / "source", slices)
    found = plan(request(source))
    assert (found.width, found.height, found.problems) == (96, 96, ())
    assert found.pixels == 8 * (64 * 64 + 96 * 96)
    told = cli("plan", "--source", source, COLUMNS="200")
    assert f"64 x 64 pixels, from z {FIRST + 8} on 96 x 96 pixels, 8 bit" in told.stdout


def test_fewer_slices_of_another_size_are_a_mistake(tmp_path: Path) -> None:
    odd = range(FIRST + 10, FIRST + 10 + FEWEST_ALIKE - 1)
    slices = {z: demo_slice(z, 96 if z in odd else 64) for z in range(FIRST, FIRST + 30)}
    source = write_stack(tmp_path / "source", slices)
    found = plan(request(source)).problems
    assert [(p.kind, p.z) for p in found] == [("other size", z) for z in odd]
    with pytest.raises(GateStopped, match="96 x 96, most are 64 x 64"):
        run_here(request(source), tmp_path / "out")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([A] * 3, "111"),
        ([A] * 20 + [B], "1" * 20 + "0"),
        ([A] * 20 + [B] * 8, "1" * 28),
        ([A] * 20 + [B] * 7 + [A] + [B] * 9, "1" * 20 + "0" * 7 + "1" * 10),
        ([A, B] * 10, "10" * 10),
        ([B] * 3 + [A] * 3, "111000"),
    ],
)
def test_which_sizes_belong_to_a_stack(sizes: list[tuple[int, int]], expected: str) -> None:
    assert "".join(str(int(b)) for b in accept_sizes(sizes)) == expected


def test_runs_of_sizes_in_words() -> None:
    runs = size_runs([(z, A if z < 5 else B) for z in (3, 4, 6, 7)])
    assert runs == (SizeRun(z=3, slices=2, width=100, height=80), SizeRun(z=6, slices=2, width=120, height=80))
    assert describe_sizes(runs) == "100 x 80 pixels, from z 6 on 120 x 80 pixels"
    assert describe_sizes(runs * 3).endswith(", and 2 more changes")


def stitched(folder: Path, count: int) -> tuple[Path, dict[int, Image]]:
    """Slices that each show another part of the field, and the offset (x, y) of each part."""
    chance = np.random.default_rng(3)
    slices, offsets = {}, {}
    for z in range(FIRST, FIRST + count):
        left, top = chance.integers(0, 25, 2)
        height, width = chance.integers(250, 290, 2)
        slices[z] = np.ascontiguousarray(demo_slice(z, LARGE)[top : top + height, left : left + width])
        offsets[z] = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    return write_stack(folder / "stitched", slices), offsets


def test_each_slice_may_have_its_own_size(tmp_path: Path) -> None:
    source, _ = stitched(tmp_path, 10)
    refused = plan(request(source)).problems
    assert len(refused) == 9
    assert all("`sizes: any` takes each at its own size" in p.detail for p in refused)
    taken = plan(request(source, sizes="any"))
    assert (taken.usable, len(taken.sizes), taken.problems) == (10, 10, ())


@pytest.mark.properties
def test_slices_of_any_size_are_aligned(tmp_path: Path) -> None:
    source, offsets = stitched(tmp_path, 10)
    out = run_here(request(source, sizes="any"), tmp_path / "out")
    assert completion(out).flagged == ()
    truth = {z: m @ offsets[z] for z, m in truth_of(DEMO / "truth.json").items() if z in offsets}
    errors = pair_errors_px(transforms(out), truth, (SMALL, SMALL))
    assert len(errors) == 9
    assert np.median(errors) < 0.5
    assert errors.max() < 1.5
