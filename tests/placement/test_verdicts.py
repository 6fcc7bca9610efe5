"""Which facts make a slice bad or suspect, and that a stack's own ways do not."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from clio_argo.model.alignment import IDENTITY, PairFit, SliceStatistics
from clio_argo.placement.verdicts import judge, pairs_at_jumps, pairs_in_doubt

SLICES, ODD = 40, 20


def facts(seed: int = 0, spread: float = 0.02) -> list[SliceStatistics]:
    """Slices whose measures vary by a relative `spread`, around values that change slowly."""
    random = np.random.default_rng(seed)
    noise = np.exp(random.normal(0, spread, (SLICES, 4)))
    return [
        SliceStatistics(z=z, digest=str(z), mean=(100 + z) * m, std=40 * s, focus=0.16 * f, stripes=0.06 * t, valid=0.9)
        for z, (m, s, f, t) in enumerate(noise.tolist())
    ]


def fits(odd: Sequence[int] = (), reach: int = 1, agreement: float = 0.6) -> list[PairFit]:
    """Links between slices that agree well, but for those with an odd one."""
    pairs = [(a, a + r) for a in range(SLICES) for r in range(1, reach + 1) if a + r < SLICES]
    return [
        PairFit(
            z0=a,
            z1=b,
            matrix=IDENTITY,
            worst_tile_correlation=agreement if {a, b} & set(odd) else 0.95,
            correlation=0.98,
        )
        for a, b in pairs
    ]


def changed(of: list[SliceStatistics], z: int, **update: float | str | None) -> list[SliceStatistics]:
    return [f.model_copy(update=update) if f.z == z else f for f in of]


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.1])
def test_no_alarm_where_all_slices_are_alike_or_vary_alike(spread: float) -> None:
    for seed in range(20):
        assert judge(facts(seed, spread), fits()) == {}


def test_no_alarm_at_a_step_that_stays() -> None:
    stepped = [f.model_copy(update={"mean": f.mean + 80, "std": f.std * 2} if f.z >= ODD else {}) for f in facts()]
    assert judge(stepped, fits()) == {}


@pytest.mark.parametrize("mean", [30.0, 240.0])
def test_seven_odd_slices_in_a_row_are_faults_and_eight_are_a_step(mean: float) -> None:
    for run in (7, 8):
        odd = range(ODD, ODD + run)
        stack = [f.model_copy(update={"mean": mean} if f.z in odd else {}) for f in facts()]
        assert list(judge(stack, fits())) == (list(odd) if run == 7 else [])


@pytest.mark.parametrize(
    ("update", "word"),
    [
        ({"mean": 30.0}, "dark"),
        ({"mean": 240.0}, "bright"),
        ({"std": 10.0}, "of low contrast"),
        ({"focus": 0.06}, "blurred: focus 0.06, usually 0.1"),
        ({"stripes": 0.3}, "curtained"),
    ],
)
def test_an_odd_slice_is_suspect_and_its_reason_names_numbers(update: dict[str, float], word: str) -> None:
    found = judge(changed(facts(), ODD, **update), fits())
    assert set(found) == {ODD}
    assert found[ODD].verdict == "suspect"
    assert word in found[ODD].reason


# departures from facts() without spread that just make a fault: ratios of what is compared by its logarithm
STATISTICS = {
    "contrast": ("std", 40 * math.exp(0.5), 40),
    "focus": ("focus", 0.16 * math.exp(-0.3), 0.16),
    "stripes": ("stripes", 0.06 * math.exp(0.6), 0.06),
    "brightness": ("mean", 121 + 0.75 * 40, 121),  # a slice brighter than all others leaves their upper median
}
TURN = 0.015 / math.sqrt(2)
FITS = {
    "unlike its neighbours:": lambda part: {"correlation": 1 - 0.02 * math.exp(0.6 * part)},
    "in places": lambda part: {"worst_tile_correlation": 1 - 0.05 * math.exp(0.9 * part)},
    "out of shape": lambda part: {"matrix": ((1.0, TURN * part, 0.0), (-TURN * part, 1.0, 0.0))},
    "partly covered": lambda part: {"occluded": (0.03 * part, 0.03 * part)},
}


@pytest.mark.parametrize("name", STATISTICS)
def test_a_departure_as_large_as_stated_is_a_fault_and_a_smaller_one_is_none(name: str) -> None:
    field, limit, usual = STATISTICS[name]
    for part, found in ((0.98, set()), (1.02, {ODD})):
        value = usual + (limit - usual) * part
        assert set(judge(changed(facts(spread=0), ODD, **{field: value}), fits())) == found


@pytest.mark.parametrize("word", FITS)
def test_fits_that_depart_as_far_as_stated_are_a_fault_and_others_are_none(word: str) -> None:
    for part, found in ((0.98, []), (1.02, [ODD])):
        odd = [f.model_copy(update=FITS[word](part) if ODD in (f.z0, f.z1) else {}) for f in fits()]
        remarks = judge(facts(spread=0), odd)
        assert list(remarks) == found
        assert all(word in r.reason for r in remarks.values())


@pytest.mark.parametrize(
    ("update", "word"),
    [
        ({"error": "truncated"}, "truncated"),
        ({"valid": 0.0}, "shows nothing"),
        ({"digest": str(ODD - 1)}, f"the same pixels as z {ODD - 1}"),
    ],
)
def test_a_slice_without_content_of_its_own_is_bad(update: dict[str, float], word: str) -> None:
    found = judge(changed(facts(), ODD, **update), fits())
    assert {z: r.verdict for z, r in found.items()} == {ODD: "bad"}
    assert word in found[ODD].reason


def test_slices_that_hold_the_same_pixels_far_apart_are_suspect_both() -> None:
    stack = facts()
    copied = changed(stack, ODD, **stack[5].model_dump(exclude={"z"}))
    found = judge(copied, fits())
    assert {z: r.verdict for z, r in found.items()} == {5: "suspect", ODD: "suspect"}
    assert "the same pixels as z 5: one is a copy" in found[ODD].reason
    assert f"the same pixels as z {ODD}: one is a copy" in found[5].reason


def test_slices_whose_digests_are_equal_by_chance_are_no_copies() -> None:
    assert judge(changed(facts(), ODD, digest="5"), fits()) == {}


def test_without_alignment_only_what_does_not_decode_is_bad() -> None:
    stack = changed(changed(facts(), ODD, valid=0.0), 5, error="truncated")
    assert {z: r.verdict for z, r in judge(stack, None).items()} == {5: "bad", ODD: "suspect"}


@pytest.mark.parametrize("odd", [(ODD,), (0,), (SLICES - 1,), (10, 11), (10, 12)])
def test_neighbours_of_a_slice_that_agrees_with_none_are_not_blamed(odd: tuple[int, ...]) -> None:
    assert set(judge(facts(), fits(odd, reach=3))) == set(odd)


def test_a_good_slice_between_two_odd_ones_is_compared_with_others_as_far_apart() -> None:
    odd = (ODD - 1, ODD + 1)
    falling = [f.model_copy(update={"correlation": 1 - 0.02 * 4 ** (f.z1 - f.z0 - 1)}) for f in fits(odd, reach=3)]
    assert set(judge(facts(), falling)) == set(odd)


def test_a_part_that_only_one_slice_hides_is_its_fault() -> None:
    hidden = [f.model_copy(update={"occluded": (0.1 * (f.z0 == ODD), 0.1 * (f.z1 == ODD))}) for f in fits(reach=3)]
    assert {z: r.reason for z, r in judge(facts(), hidden).items()} == {
        ODD: "partly covered: occluded part 10%, usually 0%"
    }


def test_five_slices_are_compared_and_four_are_not() -> None:
    for count, found in ((4, []), (5, [1])):
        assert list(judge(changed(facts()[:count], 1, focus=0.01), [])) == found


def test_links_are_asked_for_around_slices_in_doubt_only() -> None:
    stack, links = facts(), fits()
    assert pairs_in_doubt(stack, links, {}) == []
    stack = changed(stack, ODD, valid=0.0)
    around = pairs_in_doubt(stack, [f for f in links if ODD not in (f.z0, f.z1)], judge(stack, links))
    assert (ODD - 1, ODD + 1) in around
    assert all(ODD not in pair for pair in around)
    assert {b - a for a, b in around} == {2, 3, 4}
    assert min(around)[0] >= ODD - 4
    assert max(b for _, b in around) <= ODD + 4


def test_links_are_asked_for_from_64_slices_below_a_jump_to_64_above() -> None:
    numbers, tried = range(1000, 1400), [PairFit(z0=1199, z1=1201)]
    asked = pairs_at_jumps(numbers, tried, [1200])
    assert asked == [(z, z + n) for z in range(1136, 1264) for n in (2, 3) if (z, n) != (1199, 2)]
