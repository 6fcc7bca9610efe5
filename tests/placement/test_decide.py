"""Where slices lie and what fills their planes, decided from values alone: no store, no file, no pixel."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clio_argo import placement
from clio_argo.errors import UserError
from clio_argo.model.alignment import IDENTITY, Matrix, PairFit, PlacedSlice, SliceStatistics, Transforms, invert
from clio_argo.model.parse_request import build_request
from clio_argo.model.plan import FanOut, Plan, Problem, SliceFile
from clio_argo.model.sizes import SizeRun
from clio_argo.model.user_inputs import Overrides, PairOverride, Position, SliceOverride, UserInputs
from clio_argo.model.values import ValueMap
from clio_argo.placement.decide import Inputs, Statistics, decide

FIRST, SLICES, SIDE = 100, 12, 64
NUMBERS = range(FIRST, FIRST + SLICES)
STEP_PX = 3.0
ODD = FIRST + 5


def shift(x: float) -> Matrix:
    return ((1.0, 0.0, x), (0.0, 1.0, 0.0))


def statistics(z: int, **changes: Any) -> SliceStatistics:
    return SliceStatistics(z=z, digest=f"{z:08x}", mean=100, std=40, focus=0.2, stripes=0.05).model_copy(update=changes)


def fits(without: Sequence[int] = ()) -> tuple[PairFit, ...]:
    """Every slice lies `STEP_PX` right of the one before; slices in `without` match nothing."""
    good = {"model": "translation", "method": "features", "correlation": 0.97, "worst_tile_correlation": 0.9}
    return tuple(
        PairFit(z0=z, z1=z + n, reason="no match")
        if {z, z + n} & set(without)
        else PairFit.model_validate({"z0": z, "z1": z + n, "matrix": shift(n * STEP_PX), "noise_px": 0.2, **good})
        for z in NUMBERS
        for n in (1, 2)
        if z + n in NUMBERS
    )


@dataclass(frozen=True)
class Stack:
    """The inputs of `decide`, and a call of it."""

    changes: dict[int, dict[str, Any]] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    fits: tuple[PairFit, ...] | None = field(default_factory=fits)
    inputs: Inputs = field(default_factory=lambda: Inputs(UserInputs()))
    dtype: str = "uint8"
    values: ValueMap | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def decide(self) -> Transforms:
        numbers = [z for z in NUMBERS if z not in self.missing]
        files = {
            z: SliceFile.model_validate(
                {"z": z, "name": f"{z}.png", "width": SIDE, "height": SIDE, "dtype": self.dtype, "size_bytes": 1,
                 "stamp": ""}
            )
            for z in numbers
        }  # fmt: skip
        histogram = np.zeros(256 if self.dtype == "uint8" else 65536, np.int64)
        histogram[1000 % len(histogram) : 2000 % len(histogram)] = 1
        measured = Statistics([statistics(z, **self.changes.get(z, {})) for z in numbers], histogram)
        request = build_request({"id": "made", "source": "nowhere", **self.settings})
        return decide(self.plan, files, measured, self.fits, self.inputs, request)

    @property
    def plan(self) -> Plan:
        units = FanOut(units=1, parts=1)
        return Plan.model_validate(
            {"source": "nowhere", "minz": FIRST, "maxz": NUMBERS[-1], "width": SIDE, "height": SIDE,
             "dtype": self.dtype, "values": self.values,
             "sizes": (SizeRun(z=FIRST, slices=SLICES, width=SIDE, height=SIDE),),
             "usable": SLICES - len(self.missing), "source_bytes": 1, "digest": "", "unit_slices": 16,
             "reduce": units, "match": units,
             "problems": [Problem(kind="missing", z=z) for z in self.missing]}
        )  # fmt: skip


def by_z(transforms: Transforms) -> dict[int, PlacedSlice]:
    return {s.z: s for s in transforms.slices}


def step_px(transforms: Transforms, z: int) -> float:
    """How far slice z + 1 lies to the right of slice z."""
    matrices = [s.matrix for s in transforms.slices if s.z in (z, z + 1)]
    assert all(matrices)
    return float(np.array(matrices[1])[0, 2] - np.array(matrices[0])[0, 2])


def overrides(slices: Sequence[SliceOverride] = (), pairs: Sequence[PairOverride] = ()) -> Inputs:
    return Inputs(
        UserInputs(overrides=Overrides(slices=tuple(slices), pairs=tuple(pairs)), files={"o.yaml": "0badcafe"})
    )


def test_a_whole_stack_is_good_and_lies_where_its_fits_say() -> None:
    placed = Stack().decide()
    assert [(s.z, s.verdict, s.source_slices) for s in placed.slices] == [(z, "good", (z,)) for z in NUMBERS]
    assert [step_px(placed, z) for z in NUMBERS[:-1]] == pytest.approx([STEP_PX] * (SLICES - 1), abs=0.1)
    assert placed.width == pytest.approx(SIDE + STEP_PX * (SLICES - 1), abs=2)
    assert (placed.breaks, placed.flagged, placed.window) == ((), (), None)


def test_the_same_values_give_the_same_document() -> None:
    assert Stack().decide().to_bytes() == Stack().decide().to_bytes()


def test_without_alignment_slices_lie_at_their_recorded_positions() -> None:
    positions = tuple(Position(z=z, x_px=2 * (z - FIRST), y_px=0) for z in NUMBERS)
    placed = Stack(fits=None, inputs=Inputs(UserInputs(positions=positions))).decide()
    assert [step_px(placed, z) for z in NUMBERS[:-1]] == [2.0] * (SLICES - 1)
    assert placed.fits == ()


@pytest.mark.parametrize(
    ("changes", "verdict", "reason", "sources"),
    [
        ({"mean": 20.0}, "suspect", "dark", (ODD,)),
        ({"valid": 0.0}, "bad", "shows nothing", (ODD - 1,)),
        ({"error": "truncated", "digest": ""}, "bad", "truncated", (ODD - 1,)),
        ({"digest": f"{ODD - 1:08x}"}, "bad", f"the same pixels as z {ODD - 1}", (ODD - 1,)),
    ],
)
def test_verdicts(changes: dict[str, Any], verdict: str, reason: str, sources: tuple[int, ...]) -> None:
    without = () if verdict == "suspect" else (ODD,)
    odd = by_z(Stack(changes={ODD: changes}, fits=fits(without)).decide())[ODD]
    assert (odd.verdict, odd.source_slices) == (verdict, sources)
    assert reason in odd.reason


def test_a_slice_that_matches_nothing_is_bad_and_says_why() -> None:
    odd = by_z(Stack(fits=fits([ODD])).decide())[ODD]
    assert (odd.verdict, odd.matrix) == ("bad", None)
    assert odd.reason == "matches none of its neighbours (4 tried; the nearest: no match)"


def test_a_missing_file_is_missing_whatever_else_is_known() -> None:
    odd = by_z(Stack(missing=(ODD,), fits=fits([ODD])).decide())[ODD]
    assert (odd.verdict, odd.file, odd.matrix, odd.source_slices) == ("missing", None, None, (ODD - 1,))


@pytest.mark.parametrize(
    ("treatment", "sources"),
    [("nearest", (ODD - 1,)), ("interpolate", (ODD - 1, ODD + 1)), ("black", ()), ("keep", (ODD,))],
)
def test_replacement(treatment: str, sources: tuple[int, ...]) -> None:
    placed = Stack(fits=fits([ODD]), settings={"bad_slices": treatment}).decide()
    assert by_z(placed)[ODD].source_slices == sources
    if treatment == "keep":
        assert by_z(placed)[ODD].placed_by == "neighbours"
        assert step_px(placed, ODD) == pytest.approx(STEP_PX, abs=0.1)


def test_a_stack_without_fits_across_has_a_break() -> None:
    apart = tuple(f for f in fits() if not f.z0 < ODD <= f.z1)
    assert [(b.below, b.above) for b in Stack(fits=apart).decide().breaks] == [(ODD - 1, ODD)]


def test_manual_verdicts_and_fits_win_and_are_counted() -> None:
    slices = [
        SliceOverride(z=ODD, verdict="bad", reason="charging"),
        SliceOverride(z=FIRST, exclude=True, reason="torn"),
    ]
    pair = PairOverride(z=(FIRST + 7, FIRST + 8), matrix=shift(5), reason="measured")
    placed = Stack(inputs=overrides(slices, [pair])).decide()
    odd, first = by_z(placed)[ODD], by_z(placed)[FIRST]
    assert (odd.verdict, odd.manual, odd.reason, odd.source_slices) == ("bad", True, "manual: charging", (ODD - 1,))
    assert (first.verdict, first.matrix, first.source_slices) == ("missing", None, (FIRST + 1,))
    assert step_px(placed, FIRST + 7) == pytest.approx(5, abs=0.05)
    assert {f.reason for f in placed.fits if FIRST in (f.z0, f.z1)} == {f"slice {FIRST} is excluded"}
    assert (placed.overrides, placed.sources) == (3, {"o.yaml": "0badcafe"})


def test_a_bad_slice_that_is_called_good_is_shown_between_its_neighbours() -> None:
    good = overrides([SliceOverride(z=ODD, verdict="good", reason="I can see it")])
    odd = by_z(Stack(fits=fits([ODD]), inputs=good).decide())[ODD]
    assert (odd.verdict, odd.source_slices, odd.placed_by) == ("good", (ODD,), "neighbours")


def test_a_slice_that_does_not_decode_cannot_be_called_good() -> None:
    good = overrides([SliceOverride(z=ODD, verdict="good", reason="I can see it")])
    changes = {ODD: {"error": "truncated", "digest": ""}}
    with pytest.raises(UserError, match=rf"do not decode(.|\n)*z {ODD}: truncated"):
        Stack(changes=changes, fits=fits([ODD]), inputs=good).decide()


def test_imported_transforms_replace_fits_and_slices_that_are_unusable_now_are_flagged() -> None:
    earlier = Stack().decide()
    gone, damaged = ODD, ODD + 2
    changes = {damaged: {"error": "truncated", "digest": ""}}
    stack = Stack(missing=(gone,), changes=changes, fits=(), inputs=Inputs(UserInputs(), imported=earlier))
    placed = stack.decide()
    assert (placed.width, placed.height) == (earlier.width, earlier.height)
    for z, now in by_z(placed).items():
        if z in (gone, damaged):
            assert (now.verdict, now.matrix) == ("missing" if z == gone else "bad", None)
        else:
            assert (now.verdict, now.matrix, now.placed_by) == ("good", by_z(earlier)[z].matrix, "imported")


@pytest.mark.parametrize(
    ("dtype", "settings", "window"),
    [
        ("uint8", {}, None),
        ("uint8", {"viewer": {"window": [50, 200]}}, (50, 200)),
        ("uint16", {"viewer": {"window": [50, 200]}}, (50, 200)),
    ],
)
def test_window(dtype: str, settings: dict[str, Any], window: tuple[float, float] | None) -> None:
    assert Stack(dtype=dtype, settings=settings).decide().window == window


def test_the_window_of_16_bit_leaves_out_one_pixel_in_two_hundred_at_either_end() -> None:
    window = Stack(dtype="uint16").decide().window
    assert window == pytest.approx((1005, 1995), abs=1)


def test_imported_transforms_bring_their_window() -> None:
    earlier = Stack(dtype="uint16", settings={"viewer": {"window": [50, 200]}}).decide()
    assert Stack(dtype="uint16", inputs=Inputs(UserInputs(), imported=earlier)).decide().window == (50, 200)

    # not the same grey values
    other = Stack(dtype="uint16", values=FLOATS, inputs=Inputs(UserInputs(), imported=earlier)).decide()
    assert other.window == pytest.approx((1005, 1995), abs=1)
    again = Stack(dtype="uint16", values=FLOATS, inputs=Inputs(UserInputs(), imported=other)).decide()
    assert again.window == other.window


FLOATS = ValueMap(type_name="float32", low=-1, step=2**-15)


def test_clipped_values_are_told_and_from_a_thousandth_on_the_slice_is_suspect() -> None:
    changes = {z: {"clipped": share, "exact": False} for z, share in ((FIRST, 0.001), (FIRST + 3, 0.0011))}
    found = Stack(dtype="uint16", values=FLOATS, changes=changes).decide()
    assert found.values is not None
    assert found.values.clipped == {FIRST: 0.001, FIRST + 3: 0.0011}
    assert not found.is_lossless
    assert {z: s.reason for z, s in by_z(found).items() if s.reason} == {
        FIRST
        + 3: "clipped: 0.11% of its values lie beyond those that become grey values (value_window) and were clipped"
    }
    assert {s.verdict for s in found.slices} == {"good", "suspect"}
    assert Stack(dtype="uint16", values=FLOATS).decide().is_lossless


def test_flicker_is_evened_out_only_where_asked() -> None:
    changes = {z: {"mean": 100.0 + 5 * (z % 2)} for z in NUMBERS}
    assert {s.grey for s in Stack(changes=changes).decide().slices} == {None}
    even = Stack(changes=changes, settings={"contrast": {"flicker": 50}}).decide()
    means = [g[0] * changes[s.z]["mean"] + g[1] for s in even.slices if (g := s.grey)]
    assert len(means) == SLICES
    assert np.ptp(means) < 0.5


def test_a_fit_that_disagrees_with_all_others_moves_nothing() -> None:
    wrong = tuple(f.model_copy(update={"matrix": shift(40)}) if (f.z0, f.z1) == (ODD, ODD + 2) else f for f in fits())
    placed = Stack(fits=wrong).decide()
    assert [step_px(placed, z) for z in NUMBERS[:-1]] == pytest.approx([STEP_PX] * (SLICES - 1), abs=0.3)


def test_matrices_lead_to_the_canvas() -> None:
    placed = Stack().decide()
    origins = [np.array(invert(s.matrix or IDENTITY))[:, 2] for s in placed.slices]
    assert max(o.max() for o in origins) <= 0.5


def test_no_module_of_placement_imports_a_store() -> None:
    modules = [ast.parse(f.read_text()) for f in Path(placement.__file__).parent.glob("*.py")]
    imported = {n.module for m in modules for n in ast.walk(m) if isinstance(n, ast.ImportFrom)}
    assert {"clio_argo.model.plan"} <= imported
    assert not [name for name in imported if name and name.startswith(("clio_argo.store", "clio_argo.workspace"))]
