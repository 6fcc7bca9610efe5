"""Bad and missing slices in whole runs: what stands in their planes, and where that is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clio_argo.model.request import Treatment
from tests.cloud_volume import cloud_volume
from tests.stacks import Image, completion, demo_slices, lossless, request, run_here, transforms, write_stack

FIRST, NOISE, GONE = 3510, 3513, 3514
TREATMENTS: tuple[Treatment, ...] = ("nearest", "interpolate", "black", "keep")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Eight slices of which one is noise and the next is missing, treated in every way."""
    folder = tmp_path_factory.mktemp("treatment")
    slices = demo_slices(8, 192, FIRST)
    del slices[GONE]
    source = write_stack(folder / "source", slices)
    settings: dict[str, Any] = {"max_bad": 2, "contrast__clip_limit": 0, "background": 7}
    return {t: run_here(request(source, bad_slices=t, **settings), folder / t) for t in TREATMENTS}


def plane(out: Path, z: int) -> Image:
    return np.asarray(lossless(out)[z - FIRST], float)


@pytest.mark.properties
def test_nearest_is_the_lower_neighbour_of_one_and_the_upper_of_the_other(runs: dict[str, Path]) -> None:
    out = runs["nearest"]
    assert np.array_equal(plane(out, NOISE), plane(out, NOISE - 1))
    assert np.array_equal(plane(out, GONE), plane(out, GONE + 1))


@pytest.mark.properties
def test_interpolated_planes_lie_between_their_neighbours(runs: dict[str, Path]) -> None:
    out = runs["interpolate"]
    low, high = plane(out, NOISE - 1), plane(out, GONE + 1)
    inside = np.s_[16:-16, 16:-16]
    for z, share in ((NOISE, 1 / 3), (GONE, 2 / 3)):
        mean = (1 - share) * low + share * high
        assert np.abs(plane(out, z) - mean)[inside].max() <= 0.5
    assert not np.array_equal(plane(out, NOISE), plane(out, GONE))


def test_black_is_background(runs: dict[str, Path]) -> None:
    for z in (NOISE, GONE):
        assert (plane(runs["black"], z) == 7).all()


def test_kept_noise_is_shown_where_its_neighbours_are_and_a_missing_slice_is_not(runs: dict[str, Path]) -> None:
    out = runs["keep"]
    kept = transforms(out).slices[NOISE - FIRST]
    assert (kept.verdict, kept.source_slices, kept.placed_by) == ("bad", (NOISE,), "neighbours")
    noise, tissue = (np.abs(np.diff(plane(out, z)[16:-16, 16:-16])).mean() for z in (NOISE, NOISE - 1))
    assert noise > 2 * tissue
    assert np.array_equal(plane(out, GONE), plane(out, GONE + 1))


def test_other_planes_are_the_same_whatever_is_done(runs: dict[str, Path]) -> None:
    good = [z - FIRST for z in range(FIRST, FIRST + 8) if z not in (NOISE, GONE)]
    base = lossless(runs["nearest"])[good]
    assert all(np.array_equal(lossless(runs[t])[good], base) for t in TREATMENTS)


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_it_is_said_everywhere(runs: dict[str, Path], treatment: Treatment) -> None:
    out = runs[treatment]
    replaced = {str(z): list(s) for z, s in transforms(out).replaced.items()}
    aligned = json.loads((out / "aligned" / "zarr.json").read_text())["attributes"]["clio_argo"]
    viewer = cloud_volume(out / "ng").provenance["processing"][0]["method"]
    for said in (aligned, viewer):
        assert (said["bad_slices"], said["flagged"], said["replaced"]) == (treatment, [NOISE, GONE], replaced)
    done = completion(out)
    assert (done.status, done.flagged, done.bad_slices) == ("complete_with_flags", (NOISE, GONE), treatment)
    assert {str(z): list(s) for z, s in done.replaced.items()} == replaced
    report = (out / "report.html").read_text()
    assert all(s.content in report for s in transforms(out).flagged)
    assert all(" ".join(map(str, s)) in (out / "transforms.csv").read_text() for s in transforms(out).replaced.values())
