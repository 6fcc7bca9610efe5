"""Every slice of a real stack with the faults that microscopes make is placed or flagged, and no other."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from clio_argo.kernels.solve import solve_stack
from clio_argo.model.alignment import Fits, Transforms
from clio_argo.steps.match import LOOP_EVERY
from clio_argo.store.documents import Store
from tests.defects import DEFECTS, UNALIGNABLE
from tests.stacks import FIRST, NOISE, demo_slices, request, run_here, transforms, write_stack

SIZE, SLICES, MAX_BAD = 320, 38, 4
FAULTS = {FIRST + 4 * i + 2: name for i, name in enumerate((*DEFECTS, *UNALIGNABLE, "copy"))} | {NOISE: "noise"}
WORDS = {
    "dark": "dark", "bright": "bright", "blurred": "blurred", "curtained": "curtained", "displaced": "unlike its",
    "covered": "partly covered", "noise": "matches none", "black": "shows nothing", "copy": "the same pixels as",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fourth slice has a fault, and one more is noise."""
    slices = demo_slices(SLICES, SIZE)
    for z, name in list(FAULTS.items())[:-1]:
        slices[z] = slices[z - 1] if name == "copy" else {**DEFECTS, **UNALIGNABLE}[name](slices[z])
    return write_stack(tmp_path_factory.mktemp("faults"), slices)


@pytest.fixture(scope="module")
def found(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Transforms:
    config = request(stack, max_bad=MAX_BAD)
    return transforms(run_here(config, tmp_path_factory.mktemp("out"), stop_before="render"))


@pytest.mark.properties
def test_faults_are_found_and_nothing_else(found: Transforms) -> None:
    assert {s.z for s in found.slices if s.verdict != "good"} == set(FAULTS)


@pytest.mark.parametrize(("z", "fault"), FAULTS.items())
def test_reason_names_the_fault(found: Transforms, z: int, fault: str) -> None:
    assert WORDS[fault] in found.slices[z - FIRST].reason


def test_tissue_is_placed_and_shown_and_the_rest_is_replaced(found: Transforms) -> None:
    verdicts = {z: "suspect" if name in DEFECTS else "bad" for z, name in FAULTS.items()}
    assert {s.z: s.verdict for s in found.slices if s.verdict != "good"} == verdicts
    assert all((s.source_slices == (s.z,)) == (s.verdict != "bad") for s in found.slices)
    assert all(s.matrix for s in found.slices if s.verdict != "bad")


@pytest.mark.properties
def test_what_a_check_does_not_find_counts_as_not_tried(stack: Path, tmp_path: Path) -> None:
    """Every fourth slice is fitted with its second neighbour as a check; `rematch` may try that pair in more ways."""
    store = Store(str(run_here(request(stack, max_bad=MAX_BAD), tmp_path, stop_before="suspects")))
    fits = {(f.z0, f.z1): f for name in store.names("fits") for f in store.document(Fits, name).fits}
    numbers = sorted({z for pair in fits for z in pair})
    neighbours = set(pairwise(numbers))
    checks = {(a, b) for a, b in zip(numbers, numbers[2:], strict=False) if a % LOOP_EVERY == 0}
    assert {pair for pair, fit in fits.items() if not fit.matched} < neighbours < fits.keys()
    assert checks & fits.keys()
    assert checks - fits.keys()


@pytest.mark.properties
def test_part_borders_change_nothing(
    stack: Path, found: Transforms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clio_argo.workspace.survey.slices_per_unit", lambda *_: 7)
    out = run_here(request(stack, max_bad=MAX_BAD), tmp_path, stop_before="render")
    assert transforms(out).slices == found.slices


def test_a_wrong_link_is_no_fault_of_its_slices(found: Transforms) -> None:
    """Even a link that claims 30 px, twice as sure as all others, moves nothing."""
    usable = [s.z for s in found.slices if s.matrix]
    wrong = next(f for f in found.fits if f.matched and (f.z0, f.z1) == (FIRST + 7, FIRST + 8))
    moved = wrong.model_copy(update={"matrix": ((1.0, 0.0, 30.0), (0.0, 1.0, 0.0)), "noise_px": wrong.noise_px / 2})
    fits = [moved if f is wrong else f for f in found.fits]
    before, after = (solve_stack(usable, f, SIZE, SIZE) for f in (found.fits, fits))
    assert (wrong.z0, wrong.z1) in after.outliers
    for z in usable[3:]:
        np.testing.assert_allclose(
            after.placed[z] - after.placed[usable[3]], before.placed[z] - before.placed[usable[3]], atol=0.5
        )
