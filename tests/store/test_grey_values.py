"""Laws of the grey values that values of any type become: in order, kept where they can be, near where not, counted."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clio_argo.model.values import LEVELS, LOWEST, READ, StackValues, ValueMap, own_range, stretched
from clio_argo.store.grey_values import to_grey
from clio_argo.store.images.base import Undecodable

TYPES = sorted(READ.keys() - {"uint8", "uint16"})
NARROW = ("int8", "int16", "int32", "uint32", "float32", "float64")
WINDOWS = st.tuples(st.floats(-1e5, 1e5), st.floats(1e-3, 1e6)).map(lambda w: (w[0], w[0] + w[1]))
FINITE = st.floats(-1e300, 1e300)


def values_of(kind: str, low: float = -2e5, high: float = 2e6) -> st.SearchStrategy[np.ndarray]:
    """Slices [3, 5] of a type with values of some range."""
    if kind.startswith("float"):
        width: Any = int(kind[5:])
        low, high = (float(np.clip(v, -60000, 60000)) if width == 16 else v for v in (low, high))
        low, high = (float(np.dtype(kind).type(v)) for v in (low, high))
        return arrays(kind, (3, 5), elements=st.floats(low, high, width=width, allow_subnormal=False))
    limits = np.iinfo(kind)
    return arrays(kind, (3, 5), elements=st.integers(max(limits.min, int(low)), min(limits.max, int(high))))


def mapped(kind: str, window: tuple[float, float]) -> ValueMap:
    plain = ValueMap.of(kind)
    assert plain is not None
    low, step = stretched(*window, plain.top)
    return ValueMap(type_name=kind, low=low, step=step)


@given(st.sampled_from(TYPES), WINDOWS, st.data())
def test_grey_values_are_in_the_order_of_the_values_and_half_a_step_away_at_most(
    kind: str, window: tuple[float, float], data: st.DataObject
) -> None:
    samples, rule = data.draw(values_of(kind)), mapped(kind, window)
    decoded = to_grey(samples, rule)
    assert decoded.pixels.dtype == READ[kind]
    exact, grey = samples.ravel().astype(np.longdouble), decoded.pixels.ravel()
    assert (np.diff(grey[np.argsort(exact, kind="stable")].astype(int)) >= 0).all()
    levels = (exact - rule.low) / rule.step
    inside = (levels > -0.4999) & (levels < rule.top + 0.4999)
    assert (np.abs(levels - grey)[inside] <= 0.5001).all()
    assert (grey[levels < 0] == 0).all()
    assert (grey[levels > rule.top] == rule.top).all()
    beyond = (levels < -0.5001) | (levels > rule.top + 0.5001)
    sure = beyond | inside
    if sure.all():
        assert decoded.clipped == pytest.approx(beyond.mean(), abs=1e-3)
        assert not (beyond.any() and decoded.exact)


@given(st.sampled_from(["int8", "int16"]), st.data())
def test_signed_values_are_shifted(kind: str, data: st.DataObject) -> None:
    samples = data.draw(values_of(kind))
    decoded = to_grey(samples, ValueMap.of(kind))
    assert np.array_equal(decoded.pixels.astype(int), samples.astype(int) - int(LOWEST[kind]))
    assert (decoded.clipped, decoded.exact, decoded.nothing) == (0, True, None)


@given(st.sampled_from(NARROW), st.integers(0, 2**31 - LEVELS), st.integers(1, LEVELS - 1), st.data())
def test_whole_values_of_a_narrow_range_are_kept(kind: str, low: int, span: int, data: st.DataObject) -> None:
    if kind in LOWEST:
        low, span = int(LOWEST[kind]), min(span, 255)
    if kind == "float32":
        low = min(low, 2**23)
    samples = np.rint(data.draw(values_of(kind, low, low + span))).astype(kind)
    assume(samples.min() < samples.max())
    first, step = own_range(float(samples.min()), float(samples.max()), whole=True)
    decoded = to_grey(samples, ValueMap(type_name=kind, low=first, step=step))
    assert step == 1
    if kind != "int8":  # its grey values have 8 bits, and its own range is never asked for
        assert decoded.exact
        assert decoded.clipped == 0
        assert np.array_equal(decoded.pixels + first, samples)


@example(0, 65536, True)
@example(1e5 + 1, 1e5 + 65536, True)
@example(1e5 + 1, 1e5 + 65533, True)
@example(-1e5 - 1, -1e5 + 65000, True)
@given(FINITE, FINITE, st.booleans())
def test_a_range_holds_what_it_is_made_for_with_room(one: float, other: float, whole: bool) -> None:
    low, high = sorted((one, other))
    if whole:
        low, high = np.floor(low), np.floor(high)
    assume(high / 2 - low / 2 > 1e-290)
    first, step = own_range(low, high, whole)
    below, used = (low - first) / step, (high / 2 - low / 2) / step * 2
    assert below >= 0
    assert below + used <= LEVELS - 1
    assert (step == 1) == (whole and high - low < LEVELS) or not whole
    if step != 1:
        assert LEVELS / 4 <= used <= LEVELS / 2
        assert min(below, LEVELS - 1 - below - used) > used / 4
        assert np.log2(step).is_integer()


@given(values_of("float32"), arrays(bool, (3, 5)), st.sampled_from([np.inf, -np.inf, np.nan]))
def test_what_is_no_number_is_no_picture_and_infinities_are_clipped(
    samples: np.ndarray, marked: np.ndarray, mark: float
) -> None:
    assume(marked.any() and not marked.all())
    with_marks = np.where(marked, np.float32(mark), samples)
    rule = mapped("float32", (-2e5, 2e6))
    plain, decoded = to_grey(samples, rule), to_grey(with_marks, rule)
    assert np.array_equal(decoded.pixels[~marked], plain.pixels[~marked])
    assert np.unique(decoded.pixels[marked]).tolist() == [65535 if mark == np.inf else 0]
    if np.isnan(mark):
        assert np.array_equal(decoded.nothing, marked)
        assert decoded.clipped == 0
        assert decoded.digest != plain.digest
    else:
        assert decoded.nothing is None
        assert decoded.clipped == pytest.approx(marked.mean(), rel=1e-3)
        assert not decoded.exact


def test_slices_of_several_bands_are_converted_whole() -> None:
    samples = np.arange(6e5).reshape(600, 1000)
    samples[[0, -1], 0], samples[300, 300] = -9e9, np.nan
    decoded = to_grey(samples, ValueMap(type_name="float64", low=0.0, step=16.0))
    assert np.array_equal(decoded.pixels, np.rint(np.nan_to_num(np.clip(samples, 0, None)) / 16))
    assert decoded.clipped == pytest.approx(2 / 599999, rel=1e-3)
    assert not decoded.exact


@pytest.mark.parametrize("window", [(-1e300, 1e300), (0.0, 5e-324), (1e300, np.nextafter(1e300, np.inf))])
def test_a_window_of_any_width_is_one(window: tuple[float, float]) -> None:
    samples = np.array([[window[0], window[1], np.inf, -np.inf, -1.7e308]])
    found = to_grey(samples, mapped("float64", window)).pixels.tolist()[0]
    assert found[0] == found[3] == found[4] == 0
    assert found[2] == 65535


def test_what_is_no_number_is_no_value_that_could_be_clipped() -> None:
    samples = np.array([[np.nan, np.nan, np.inf, 1, 2, 3]], np.float32)
    assert to_grey(samples, ValueMap.of("float32")).clipped == 0.25


@pytest.mark.parametrize("shape", [(1500, 2000), (2000, 1500)])
def test_a_slice_is_converted_within_little_memory(shape: tuple[int, int]) -> None:
    samples = np.full(shape, 0.5, np.float32)
    tracemalloc.start()
    to_grey(samples, ValueMap(type_name="float32", low=0.0, step=2**-16))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the result, and less than two planes of bytes for bands of floats
    assert peak < samples.size * 2 + samples.size * 6


def test_fractions_that_a_power_of_two_divides_are_kept() -> None:
    samples = np.arange(512, dtype=np.float32).reshape(16, 32) / 256
    first, step = own_range(0.0, 511 / 256, whole=False)
    assert to_grey(samples, ValueMap(type_name="float32", low=first, step=step)).exact


def test_a_slice_of_nan_is_refused() -> None:
    with pytest.raises(Undecodable, match="all its values are NaN"):
        to_grey(np.full((3, 5), np.nan, np.float16), ValueMap.of("float16"))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (ValueMap.of("int16"), "int16 + 32,768"),
        (ValueMap.of("uint32"), "uint32"),
        (ValueMap(type_name="uint32", low=1e9), "uint32 - 1,000,000,000"),
        (ValueMap(type_name="float32", low=-1, step=2**-15), "float32 from -1 to 0.999969 as 0 to 65535"),
    ],
)
def test_a_map_says_what_it_does(rule: ValueMap, text: str) -> None:
    assert rule.text == text


def test_a_note_never_says_that_rounded_values_are_lossless() -> None:
    rule = ValueMap(type_name="float32", low=-1, step=2**-15)
    assert "aligned/ is not lossless" in StackValues(map=rule, exact=False).note
    assert "lossless" not in StackValues(map=rule, exact=True).note
    assert (
        "slices with clipped values: 2, most in z 7 (2.00%)"
        in StackValues(map=rule, exact=False, clipped={3: 1e-6, 7: 0.02}).note
    )


def test_values_that_share_a_grey_value_are_not_called_kept() -> None:
    values = ValueMap(type_name="float64", low=0.0, step=0.4)
    assert not to_grey(np.array([[89.0, 88.8]]), values).exact
    assert to_grey(np.array([[0.0, 0.4]]), values).exact


def test_nan_beside_a_true_lowest_value_is_not_called_kept() -> None:
    assert not to_grey(np.array([[0.0, np.nan, 2.0]], np.float32), ValueMap(type_name="float32", low=0.0)).exact
