"""Numbers in names of files: which of them is the slice, with sign and decimals, and in which steps they go."""

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.numbering import Number, constant_step, discover_numbering, is_regular, printf_numbering


def numbers(names: Sequence[str]) -> list[Number | None]:
    return list(map(discover_numbering(names), names))


F = Fraction


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # a minus is a sign where names make no sense otherwise
        (("slice_-003.tif", "slice_000.tif", "slice_003.tif"), (-3, 0, 3)),
        (("z-3.tif", "z0.tif", "z3.tif"), (-3, 0, 3)),
        (("-3.tif", "-2.tif", "0.tif"), (-3, -2, 0)),
        (("a--3.tif", "a-0.tif", "a-3.tif"), (-3, 0, 3)),
        (("s +1.tif", "s -1.tif", "s 0.tif"), (1, -1, 0)),
        # and a separator where they do
        (("a-003.tif", "a-001.tif"), (3, 1)),
        (("z-003.tif", "z-001.tif"), (3, 1)),
        (("2026-11-02.tif", "2026-11-03.tif"), (2, 3)),
        (("z0.00.tif", "z0.03.tif", "z0.06.tif"), (0, F("0.03"), F("0.06"))),
        (("z0.97.tif", "z1.00.tif", "z1.03.tif"), (F("0.97"), 1, F("1.03"))),
        (("0.tif", "12.5.tif", "25.tif", "37.5.tif"), (0, F("12.5"), 25, F("37.5"))),
        (("z-0.03.tif", "z0.00.tif", "z0.03.tif"), (F("-0.03"), 0, F("0.03"))),
        # versions and dates are no decimals
        (("v2.9.tif", "v2.10.tif", "v2.11.tif"), (9, 10, 11)),
        (("2026.11.02.tif", "2026.11.03.tif"), (2, 3)),
        (("s.0001.tif", "s.0002.tif"), (1, 2)),
        (("fly_-80C_1.tif", "fly_-80C_2.tif"), (1, 2)),
        (("scan0.5_1.tif", "scan0.5_2.tif"), (1, 2)),
    ],
)
def test_numbers_have_sign_and_decimals_where_names_need_them(
    names: tuple[str, ...], expected: tuple[Number, ...]
) -> None:
    assert numbers(names) == [*expected]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("1.1.tif", "1.2.tif", "2.1.tif", "2.2.tif"), "2 numbers vary"),
        (("1.9.tif", "1.10.tif", "2.0.tif"), "2 numbers vary"),
        (("0.97.tif", "1.00.tif"), "2 numbers vary"),
        (("a-3.tif", "a3.tif", "a0.tif"), "several patterns"),
        (("s_-3.tif", "s_-2.tif"), "the minus in s_-3.tif, s_-2.tif is a sign or separates"),
        (("a_1_-1.tif", "a_1_1.tif", "a_2_0.tif"), "several patterns"),
    ],
)
def test_what_is_no_number_with_sign_or_decimals_stays_refused(names: tuple[str, ...], why: str) -> None:
    with pytest.raises(UserError, match=why):
        numbers(names)


PRINTED: dict[str, Callable[[Fraction], str]] = {
    "fixed": lambda n: f"{float(n):.2f}",
    "padded": lambda n: f"{float(n):07.2f}",
    "short": lambda n: f"{float(n):.6g}",
}


@given(
    start=st.integers(-50, 50),
    step=st.integers(1, 3000).map(lambda n: Fraction(n, 100)),
    lost=st.sets(st.integers(1, 14), max_size=3),
    form=st.sampled_from(sorted(PRINTED)),
)
def test_step_times_z_is_the_number_and_order_is_kept(start: int, step: Fraction, lost: set[int], form: str) -> None:
    meant = [(start + k) * step for k in range(16) if k not in lost]
    names = [f"s_{PRINTED[form](n)}.tif" for n in meant]
    if max(meant) < 0:
        with pytest.raises(UserError, match="is a sign or separates"):
            numbers(names)
        return
    found = [n for n in numbers(names) if n is not None]
    unit = constant_step(found)
    assert len(found) == len(names)
    assert is_regular(found, unit)
    z = [int(n // unit) for n in found]
    assert z == sorted(set(z))
    rest = found[0] % unit
    assert [k * unit + rest for k in z] == found


@given(z=st.integers(-999_999_999, 999_999_999), width=st.integers(0, 12), zero=st.sampled_from(["", "0"]))
def test_a_pattern_reads_what_it_prints(z: int, width: int, zero: str) -> None:
    pattern = f"s_%{zero}{width or ''}d.tif"
    assert printf_numbering(pattern)(pattern % z) == z


def test_a_pattern_reads_nothing_that_it_does_not_print() -> None:
    number = printf_numbering("s_%05d.tif")
    assert [number(n) for n in ("s_-0003.tif", "s_00003.tif", "s_-003.tif", "s_-00003.tif")] == [-3, 3, None, None]
