"""Likeness of neighbours is that of the volume as it was written, and tells of slices that are out of place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clio_argo.kernels.similarity import compare, sample
from clio_argo.model.quality import PairSimilarity, Quality
from clio_argo.placement.neighbours import judge, judge_pairs
from clio_argo.store.documents import Store
from clio_argo.workspace.similarity import Neighbours
from tests.stacks import (
    FIRST,
    Image,
    completion,
    demo_slice,
    demo_slices,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    write_stack,
)

NOISE = 3513


def quality(out: Path) -> Quality:
    return Store(str(out)).document(Quality, "quality.json")


@pytest.mark.properties
def test_pairs_are_measured_in_the_volume_whatever_its_units(demo: Path) -> None:
    placed = {s.z: s for s in transforms(demo).slices if s.source_slices == (s.z,)}
    looks = {
        z: sample(plane, placed[z].matrix, (320, 320))
        for z, plane in enumerate(lossless(demo), FIRST)
        if z in placed and placed[z].matrix
    }
    pairs = list(zip(sorted(looks), sorted(looks)[1:], strict=False))
    assert (NOISE - 1, NOISE + 1) in pairs
    found = {(p.z0, p.z1): p.correlation for p in quality(demo).pairs}
    assert found == {(a, b): pytest.approx(compare(looks[a], looks[b]).correlation, abs=1e-5) for a, b in pairs}


def test_the_demo_has_no_pair_that_is_out_of_place(demo: Path) -> None:
    assert quality(demo).outliers == ()
    summary = completion(demo).quality
    assert summary is not None
    assert summary.pairs == 58
    assert summary.median is not None
    assert summary.median > 0.9


@pytest.mark.properties
def test_a_slice_that_is_out_of_place_is_named_and_flags_the_run(demo: Path, tmp_path: Path) -> None:
    slices = {z: plane[80:272, 80:272] for z, plane in enumerate(lossless(demo)[:20], FIRST)}
    odd = FIRST + 9
    slices[odd] = lossless(demo)[9, 86:278, 80:272]
    out = run_here(plain(write_stack(tmp_path / "source", slices)), tmp_path / "out")
    assert [(p.z0, p.z1) for p in quality(out).outliers] == [(odd - 1, odd), (odd, odd + 1)]
    done = completion(out)
    assert (done.status, done.flagged) == ("complete_with_flags", ())
    assert done.quality
    assert done.quality.outliers == quality(out).outliers
    assert np.array_equal(lossless(out)[9], slices[odd])


def test_background_does_not_count() -> None:
    image = demo_slices(1, 256)[FIRST]
    canvas = np.zeros((400, 400), np.uint8)
    canvas[100:356, 90:346] = image
    matrix = ((1.0, 0.0, 90.0), (0.0, 1.0, 100.0))
    mine, other = (
        sample(canvas, matrix, (256, 256)),
        sample(canvas, ((1.0, 0.0, 190.0), (0.0, 1.0, 100.0)), (210, 256)),
    )
    assert 0 < mine.covered.sum() < len(mine.covered)
    assert compare(mine, mine).correlation == pytest.approx(1)
    assert other.covered.sum() < mine.covered.sum()
    nowhere = sample(canvas, ((1.0, 0.0, 4000.0), (0.0, 1.0, 0.0)), (256, 256))
    assert np.isnan(compare(mine, nowhere).correlation)
    assert compare(mine, sample(255 - canvas, matrix, (256, 256))).correlation == pytest.approx(-1)


def _outliers(pairs: list[tuple[int, int, float]]) -> list[int]:
    return [p.z0 for p in judge_pairs(pairs) if p.outlier]


def test_pairs_across_a_gap_are_compared_as_what_they_are() -> None:
    steady = [(z, z + 1, 0.9) for z in range(20)]
    across = [*steady, (20, 22, 0.81), *((z, z + 1, 0.9) for z in range(22, 40))]
    assert _outliers(across) == []
    assert _outliers([*steady, (20, 21, 0.7), *across[21:]]) == [20]


@pytest.mark.parametrize("pairs", [[], [(1, 2, np.nan)], [(1, 2, 0.4)]])
def test_stacks_too_small_to_judge(pairs: list[tuple[int, int, float]]) -> None:
    assert _outliers(pairs) == []
    assert len(judge_pairs(pairs)) == len(pairs)
    assert (
        str(PairSimilarity(z0=1, z1=2, correlation=0.31, local_median=0.78))
        == "z 1/2: correlation 0.31, around it 0.78"
    )


@pytest.mark.parametrize("noise", [0, 40])
@pytest.mark.parametrize(
    ("order", "swapped"),
    [
        (range(10), ""),
        ((0, 1, 2, 4, 3, 5, 6, 7, 8, 9), "4, 3"),
        ((1, 0, 3, 2, 5, 4, 7, 6, 9, 8), "1, 0, 3, 2, 5, 4, 7, 6, 9, 8"),
    ],
    ids=["right", "one pair", "every pair"],
)
def test_swapped_slices_are_named(demo: Path, order: list[int], swapped: str, noise: int) -> None:
    random, volume = np.random.default_rng(0), lossless(demo)[:, 40:280, 40:280]
    compared = Neighbours({})
    for z, k in enumerate(order):
        plane = np.clip(volume[k] + random.normal(0, noise, volume[k].shape), 0, 255).astype(np.uint8)
        compared.add(z, sample(plane, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (240, 240)))
    notes = judge(compared.pairs).notes
    assert notes == ((f"slices fit better in another order: z {swapped} instead of ascending",) if swapped else ())


@pytest.mark.properties
def test_a_block_that_was_moved_is_named_with_the_order_that_fits(tmp_path: Path) -> None:
    order = [*range(5), *range(11, 17), *range(5, 11), *range(17, 22)]
    slices = {FIRST + z: demo_slice(FIRST + k, 256) for z, k in enumerate(order)}
    done = completion(run_here(request(write_stack(tmp_path / "source", slices)), tmp_path / "out"))
    assert done.status == "complete_with_flags"
    before, moved = f"{FIRST + 5} to {FIRST + 10}", f"{FIRST + 11} to {FIRST + 16}"
    assert f"slices fit better in another order: z {moved} below z {before}" in done.notes


def judged(volume: Image, order: Sequence[int], noise: float, flicker: float = 0) -> tuple[str, ...]:
    """Notes on planes of `volume` [z, y, x] in this order, with other noise and light in each."""
    random, compared, planes = np.random.default_rng(0), Neighbours({}), {}
    for z, k in enumerate(order):
        light = 1 + random.normal(0, flicker)
        plane = np.clip(volume[k] * light + random.normal(0, noise, volume[k].shape), 0, 255).astype(np.uint8)
        planes[z] = sample(plane, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), plane.shape[::-1])
        compared.add(z, planes[z])
    return judge(compared.pairs, lambda a, b: compare(planes[a], planes[b], displaced=False)).notes


@pytest.mark.parametrize(
    ("order", "noise", "flicker"),
    [(range(22), 5, 0.15), (range(22), 30, 0.05), ([k for k in range(22) if k % 4 and k != 10], 5, 0.05),
     # every fifth slice: sections of 50 nm, with some missing
     (range(0, 60, 5), 5, 0.05), ([0, 5, 10, 20, 25, 30, 45, 50, 55], 5, 0.05)],
    ids=["flicker", "noise", "missing", "thick", "thick and missing"],
)  # fmt: skip
def test_natural_order_is_never_doubted(order: Sequence[int], noise: float, flicker: float, demo: Path) -> None:
    volume = np.delete(lossless(demo)[:, 30:290, 30:290], NOISE - FIRST, axis=0)
    assert judged(volume, [k for k in order if k < len(volume)], noise, flicker) == ()


@pytest.mark.parametrize("noise", [0, 5])
def test_slices_far_apart_that_changed_places_are_named_in_a_stack_too_short_for_medians(
    demo: Path, noise: int
) -> None:
    order = [0, 1, 6, 3, 4, 5, 2, 7]
    notes = judged(lossless(demo)[:, 40:280, 40:280], order, noise)
    assert any(note.startswith("slices are less like their neighbours") and "6" in note for note in notes)


@pytest.mark.parametrize(("first", "noise"), [(True, 5), (True, 20), (False, 5), (False, 20)])
def test_a_section_recorded_twice_at_an_end_is_named(first: bool, noise: float, demo: Path) -> None:
    order = [0, *range(10)] if first else [*range(10), 9]
    notes = judged(lossless(demo)[:, 30:290, 30:290], order, noise)
    assert notes == (f"slices show the section of the one before, recorded again: z {1 if first else 10}",)


@pytest.mark.parametrize("noise", [5, 20])
def test_a_section_recorded_twice_is_named(demo: Path, noise: int) -> None:
    random, volume = np.random.default_rng(0), lossless(demo)[:, 30:290, 30:290]
    compared = Neighbours({})
    for z, k in enumerate([0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9]):
        plane = np.clip(volume[k] + random.normal(0, noise, volume[k].shape), 0, 255).astype(np.uint8)
        compared.add(z, sample(plane, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), (260, 260)))
    assert judge(compared.pairs).notes == ("slices show the section of the one before, recorded again: z 5",)


@pytest.mark.parametrize("noise", [2, 20])
@pytest.mark.parametrize(
    ("order", "told"), [([3] * 9, "0 to 8"), ([*range(8), *[8] * 7], "8 to 14")], ids=["all", "the last"]
)
def test_a_section_recorded_again_and_again_is_named(order: list[int], told: str, noise: int, demo: Path) -> None:
    notes = judged(lossless(demo)[:, 30:290, 30:290], order, noise, flicker=0.05)
    assert notes == (f"slices show one section, recorded again and again: z {told}",)
