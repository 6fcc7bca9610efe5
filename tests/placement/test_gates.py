"""What stops a run before it renders, and what lets it pass."""

import math
from pathlib import Path
from typing import Any

import pytest

from clio_argo.errors import GateStopped
from clio_argo.model.alignment import IDENTITY, PairFit, PlacedSlice, Transforms, compose
from clio_argo.model.plan import Plan
from clio_argo.model.run import Gate
from clio_argo.placement.gates import check_gates, gates
from clio_argo.placement.residuals import disagreement_px
from clio_argo.store.documents import Store
from tests.stacks import completion, demo_slices, plain, request, run_here, transforms, write_stack

FIRST = 3490


def at(z: int, x: float) -> PlacedSlice:
    return PlacedSlice(z=z, file="f", verdict="good", matrix=((1, 0, x), (0, 1, 0)), source_slices=(z,))


def link(z0: int, z1: int, x: float) -> PairFit:
    return PairFit(z0=z0, z1=z1, matrix=((1, 0, x), (0, 1, 0)), model="translation")


def test_the_link_that_agrees_best_counts() -> None:
    slices = (at(1, 0), at(2, 3), at(3, 4), at(5, 4))
    fits = (link(1, 2, 40), link(1, 3, 4.5), link(2, 3, 3), PairFit(z0=3, z1=5))
    found = disagreement_px(Transforms(width=9, height=9, slices=slices, fits=fits), 100, 50)
    assert found == [(1, 2, pytest.approx(0.5)), (2, 3, pytest.approx(0.5))]


def test_the_error_of_a_fit_is_the_mean_over_the_corners_and_the_centre() -> None:
    """A turn by a quarter about the first pixel moves each point by sqrt(2) times its distance from there."""
    turn = PairFit(z0=1, z1=2, matrix=((0, -1, 0), (1, 0, 0)), model="rigid")
    ((_, _, error),) = disagreement_px(Transforms(width=9, height=9, slices=(at(1, 0), at(2, 0)), fits=(turn,)), 7, 5)
    assert error == pytest.approx(math.sqrt(2) * (0 + 6 + 4 + 1.5 * math.hypot(6, 4)) / 5)


def test_a_stack_without_links_has_no_disagreement() -> None:
    assert disagreement_px(Transforms(width=9, height=9, slices=(at(1, 0), at(2, 0))), 9, 9) == []


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gates")
    source = write_stack(folder / "source", demo_slices(6))
    return run_here(request(source), folder / "out", stop_before="render")


def test_links_of_a_real_stack_agree_within_a_pixel(aligned: Path) -> None:
    found = disagreement_px(transforms(aligned), 192, 192)
    assert [(a, b) for a, b, _ in found] == [(z, z + 1) for z in range(FIRST, FIRST + 5)]
    assert max(error for *_, error in found) < 1


def test_a_slice_that_lies_where_no_link_puts_it_stops_the_run(aligned: Path) -> None:
    found, store = transforms(aligned), Store(str(aligned))
    away = compose(((1, 0, 15), (0, 1, 0)), found.slices[2].matrix or IDENTITY)
    moved = (*found.slices[:2], found.slices[2].model_copy(update={"matrix": away}), *found.slices[3:])
    config = request(aligned.parent / "source")
    broken = found.model_copy(update={"slices": moved})
    gate = {g.name: g for g in gates(broken, store.document(Plan, "plan.json"), config)}["max_residual_px"]
    assert not gate.passed
    assert gate.value == pytest.approx(15, abs=1)
    accepted = config.model_copy(update={"max_residual_px": 17.0})
    assert all(g.passed for g in gates(broken, store.document(Plan, "plan.json"), accepted))
    assert f"z {FIRST + 1} to {FIRST + 2}: 1" in "\n".join(gate.problems)


@pytest.mark.parametrize(("width", "height"), [(385, 192), (192, 385)])
def test_a_canvas_of_more_than_twice_a_slice_stops_the_run(aligned: Path, width: int, height: int) -> None:
    plan, config = Store(str(aligned)).document(Plan, "plan.json"), request(aligned.parent / "source")
    canvases = ((384, 384), (width, height))
    twice, more = (transforms(aligned).model_copy(update={"width": w, "height": h}) for w, h in canvases)
    assert {g.name: g.passed for g in gates(twice, plan, config)}["canvas"]
    stopped = {g.name: g for g in gates(more, plan, config)}["canvas"]
    assert not stopped.passed
    assert f"the canvas would be {width} x {height} for slices of 192 x 192" in "".join(stopped.problems)


def test_a_long_gap_is_told_at_plan_with_the_flag_that_accepts_it(tmp_path: Path) -> None:
    slices = {z: image for z, image in demo_slices(9, 160).items() if not FIRST + 3 <= z < FIRST + 6}
    source = write_stack(tmp_path / "source", slices)
    settings: dict[str, Any] = {"max_bad": 3, "max_gap": 2}
    with pytest.raises(GateStopped, match=r"3 slices bad or missing in a row .*z 3493 to 3495.* --set max_gap=3"):
        run_here(plain(source, **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run_here(plain(source, **{**settings, "max_gap": 3}), tmp_path / "out")
    assert completion(tmp_path / "out").status == "complete_with_flags"


def test_how_to_go_on_stands_before_what_a_cut_message_loses() -> None:
    why = tuple(f"z {z} iso.{z}.png: bad, does not decode" for z in range(500))
    stopped = [Gate(name=n, value=9, limit=1, unit="", problems=(f"{n} --set {n}=9", *why)) for n in ("one", "two")]
    with pytest.raises(GateStopped) as caught:
        check_gates([*stopped, Gate(name="three", value=0, limit=1, unit="")])
    lines = str(caught.value).splitlines()
    assert lines[:3] == ["stopped before rendering:", "  - one --set one=9", "  - two --set two=9"]
    assert lines[-1] == "    and 400 more; the report has all"


@pytest.mark.properties
def test_slices_that_no_link_joins_are_named_everywhere(tmp_path: Path) -> None:
    slices = {z: image if z < FIRST + 4 else image[::-1] for z, image in demo_slices(8).items()}
    config = request(write_stack(tmp_path / "source", slices))
    with pytest.raises(GateStopped, match=rf"max_breaks=1(.|\n)*from z {FIRST + 3} to z {FIRST + 4}"):
        run_here(config, tmp_path / "out")
    out = run_here(config.model_copy(update={"max_breaks": 1}), tmp_path / "out")
    done = completion(out)
    assert [(b.below, b.above) for b in done.breaks] == [(FIRST + 3, FIRST + 4)]
    assert done.status == "complete_with_flags"
    assert f"no fit crosses from z {FIRST + 3} to z {FIRST + 4}" in (out / "report.html").read_text()
