"""Stacks of signed, wide and floating-point values: what is planned of them, and which grey values they become."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from rich.console import Console

from clio_argo.cli.views import plan_view
from clio_argo.errors import UserError
from clio_argo.model.plan import SliceFile
from clio_argo.store.slices import Source
from clio_argo.workspace.preflight import Preflight, preflight
from tests.stacks import request
from tests.store.images.samples import texture

Image = np.ndarray
# of each type: the values of a texture of 16 bits, and the grey values that they become without a `value_window`
VALUES: dict[str, tuple[Callable[[Image], Image], Callable[[Image], Image]]] = {
    "int8": (lambda t: t // 256 - 128.0, lambda t: t // 256),
    "int16": (lambda t: t - 32768.0, lambda t: t),
    "int32": (lambda t: t - 32768.0, lambda t: t),
    "uint32": (lambda t: t + 2.0**31, lambda t: t),
    "float16": (lambda t: (t // 64) * 1.0, lambda t: t // 64),
    "float32": (lambda t: t * 1.0, lambda t: t),
    "float64": (lambda t: t * 1.0, lambda t: t),
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "big-endian": {"byteorder": ">"},
    "strips": {"rowsperstrip": 10, "compression": "zstd"},
    "tiles": {"tile": (16, 32)},
    "predictor": {"tile": (16, 16), "compression": "deflate", "predictor": True},
    "big-endian predictor": {"compression": "lzw", "predictor": True, "byteorder": ">"},
}


def texture16(seed: int = 1) -> Image:
    """Two values apart reach 0 and 65535."""
    return texture(np.uint16, seed=seed).astype(np.float64)


def stack_of(folder: Path, slices: Iterable[Image], **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for z, pixels in enumerate(slices):
        tifffile.imwrite(folder / f"{z:02}.tif", pixels, photometric="minisblack", metadata=None, **options)
    return folder


def looked_at(folder: Path, **settings: Any) -> Preflight:
    found = preflight(request(folder, max_bad=0.9, max_gap=99, **settings))
    found.refuse()
    return found


def files(found: Preflight) -> list[SliceFile]:
    return [s for unit in found.units for s in unit.slices]


def grey(folder: Path, **settings: Any) -> Image:
    """Grey values [z, y, x] of all slices."""
    found, source = looked_at(folder, **settings), Source(str(folder))
    return np.stack([source.decode(s) for s in files(found)])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", VALUES)
def test_values_of_every_type_and_layout_become_grey_values(tmp_path: Path, kind: str, layout: str) -> None:
    values, expected = VALUES[kind]
    pixels = texture16()
    stack_of(tmp_path, [values(pixels).astype(kind)], **LAYOUTS[layout])
    found = grey(tmp_path)
    assert found.dtype == ("uint8" if kind == "int8" else "uint16")
    assert found.dtype.isnative
    assert np.array_equal(found[0], expected(pixels))


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_a_stack_of_imagej_behind_one_header(tmp_path: Path, kind: str) -> None:
    pages = np.stack([texture16(seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", (pages - 32768).astype(kind), imagej=True, metadata={"axes": "ZYX"})
    assert np.array_equal(grey(tmp_path), pages)


@pytest.mark.parametrize(("kind", "highest"), [("int8", 127), ("int16", 32767), ("uint32", 2**32 - 1), ("float32", 0)])
def test_values_of_which_the_highest_are_dark_are_turned(tmp_path: Path, kind: str, highest: int) -> None:
    ramp = np.arange(64, dtype=np.float64).reshape(8, 8)
    tifffile.imwrite(tmp_path / "0.tif", (highest - ramp).astype(kind), photometric="miniswhite", metadata=None)
    found = grey(tmp_path)[0].astype(int)
    assert np.array_equal(found - found[0, 0], ramp)
    assert found[0, 0] == {"int16": 0, "int8": 0, "uint32": 0, "float32": 0}[kind]


def test_grey_that_was_saved_as_opaque_colour_is_grey(tmp_path: Path) -> None:
    pixels = np.where(np.eye(37, 52), np.nan, texture16()).astype(np.float32)
    opaque = np.dstack([pixels, pixels, pixels, np.ones_like(pixels)])
    tifffile.imwrite(tmp_path / "0.tif", opaque, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    assert np.array_equal(grey(tmp_path)[0], np.nan_to_num(pixels))


WIDE = 1e-3 * (texture16() - 20000).astype(np.float32)


def test_a_range_of_its_own_leaves_room_for_other_slices(tmp_path: Path) -> None:
    stack_of(tmp_path, [WIDE * 0.9, WIDE, WIDE * 0.5])
    values = looked_at(tmp_path).plan.values
    assert values is not None
    found = grey(tmp_path)
    assert np.abs(values.low + values.step * found[1].astype(float) - WIDE).max() <= values.step / 2
    span = WIDE.max() - WIDE.min()
    low, high = values.low, values.low + values.step * 65535
    assert low < WIDE.min() - span / 3
    assert high > WIDE.max() + span / 3
    assert span / values.step > 2**14


def test_a_stack_that_grows_by_a_slice_keeps_its_grey_values(tmp_path: Path) -> None:
    stack_of(tmp_path, [WIDE * f for f in (1, 0.98, 1.02)])
    before = grey(tmp_path)
    stack_of(tmp_path, [WIDE * f for f in (1, 0.98, 1.02, 1.03)])
    assert np.array_equal(grey(tmp_path)[:3], before)


def test_hot_pixels_and_infinities_leave_the_range_as_it_is(tmp_path: Path) -> None:
    stack_of(tmp_path / "clean", [np.tile(WIDE, (20, 20))])
    hot = np.tile(WIDE, (20, 20))
    hot[5, 5:9] = 3e38, -3e38, np.inf, -np.inf
    stack_of(tmp_path / "hot", [hot])
    clean, found = looked_at(tmp_path / "clean").plan.values, looked_at(tmp_path / "hot").plan.values
    assert found == clean
    assert grey(tmp_path / "hot")[0, 5, 5:9].tolist() == [65535, 0, 65535, 0]
    decoded = Source(str(tmp_path / "hot")).decode_heard(files(looked_at(tmp_path / "hot"))[0])
    assert decoded.clipped == pytest.approx(4 / hot.size, rel=1e-3)
    assert not decoded.exact


@pytest.mark.parametrize("kind", ["int32", "float32"])
@pytest.mark.parametrize("least", [-9000, 50_000])
def test_marks_of_no_data_are_clipped_and_whole_values_beside_them_stay(tmp_path: Path, kind: str, least: int) -> None:
    pixels = np.tile(texture16() // 4 + least, (20, 20))
    pixels[7, 7] = -(2**31)
    folder = stack_of(tmp_path, [pixels.astype(kind)])
    values = looked_at(folder).plan.values
    assert values is not None
    found = grey(folder)[0].astype(int)
    assert found[7, 7] == 0
    assert np.array_equal((found + values.low)[:7], pixels[:7])


def test_whole_values_beside_marks_that_leave_no_room_are_rounded(tmp_path: Path) -> None:
    pixels = np.tile(texture16() * 0.6 // 1, (20, 20))
    pixels[7, 7] = -(2**31)
    values = looked_at(stack_of(tmp_path, [pixels.astype(np.int32)])).plan.values
    assert values is not None
    assert values.step == 2


def test_values_are_whole_if_those_of_all_slices_are(tmp_path: Path) -> None:
    whole, most = texture16(), texture16() + 32768
    fractions = whole.copy()
    fractions[5, 5] = 0.25
    steps = {}
    for name, other in (("whole", most), ("fractions", fractions)):
        for order in (1, -1):
            folder = stack_of(tmp_path / f"{name}{order}", [s.astype(np.float32) for s in (whole, other)[::order]])
            values = looked_at(folder).plan.values
            assert values is not None
            steps[name, order] = values.step
    assert steps == {("whole", 1): 4, ("whole", -1): 4, ("fractions", 1): 2, ("fractions", -1): 2}


def test_a_stack_is_looked_at_by_eight_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_of(tmp_path, [WIDE] * 17)
    seen, samples = list[int](), Source.samples

    def counted(source: Source, slice_file: SliceFile) -> Any:
        seen.append(slice_file.z)
        return samples(source, slice_file)

    monkeypatch.setattr(Source, "samples", counted)
    looked_at(tmp_path)
    assert seen == [0, 3, 6, 9, 12, 15]
    seen.clear()
    looked_at(tmp_path, value_window=(0, 1))
    assert not seen


def test_a_value_window_says_which_values_are_black_and_white(tmp_path: Path) -> None:
    stack_of(tmp_path, [np.array([[-5.0, 0, 1, 2, 3, np.nan]] * 8, np.float32)])
    assert grey(tmp_path, value_window=(0, 2))[0, 0].tolist() == [0, 0, 32768, 65535, 65535, 0]


@pytest.mark.parametrize(("kind", "top"), [("int8", 255), ("int16", 65535)])
def test_a_value_window_of_signed_values(tmp_path: Path, kind: str, top: int) -> None:
    stack_of(tmp_path, [np.array([[-100, -50, 0, 50, 100]] * 8, kind)])
    found = grey(tmp_path, value_window=(-50, 50))[0, 0].tolist()
    assert found == [0, 0, round(top / 2), top, top]


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_value_window_of_plain_values_is_refused(tmp_path: Path, kind: str) -> None:
    stack_of(tmp_path, [texture(np.dtype(kind).type)])
    with pytest.raises(UserError, match=f"value_window: .* the slices are {kind}"):
        looked_at(tmp_path, value_window=(0, 10))


def test_an_empty_value_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"value_window.*below"):
        request(tmp_path, value_window=(3, 3))


@pytest.mark.parametrize(("value", "said"), [(np.nan, "holds a value"), (7.5, "are 7.5"), (-np.inf, "holds a value")])
def test_a_stack_without_a_range_asks_for_one(tmp_path: Path, value: float, said: str) -> None:
    stack_of(tmp_path, [np.full((16, 16), value, np.float32)])
    with pytest.raises(UserError, match=rf"{said}.*value_window: \[LOW, HIGH\]"):
        looked_at(tmp_path)
    assert looked_at(tmp_path, value_window=(0, 1)).plan.usable == 1


def test_slices_of_another_type_are_named(tmp_path: Path) -> None:
    plain = texture(np.uint16)
    stack_of(tmp_path, [plain, plain, plain.astype(np.int16), plain.astype(np.float32), plain > 9, plain])
    problems = {p.z: p for p in looked_at(tmp_path).plan.problems}
    assert {z: (p.kind, p.detail.partition(":")[0]) for z, p in problems.items()} == {
        2: ("other depth", "int16, most are uint16"),
        3: ("other depth", "float32, most are uint16"),
        4: ("unsupported", "1-bit values"),
    }


def test_a_slice_of_wide_values_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_of(tmp_path, [np.tile(texture16(), (20, 20))])
    [slice_file] = files(looked_at(tmp_path))
    # of a store each piece would be a request
    monkeypatch.delattr(Source, "_open")
    assert Source(str(tmp_path)).decode(slice_file).any()


def test_a_bomb_of_floats_is_seen(tmp_path: Path) -> None:
    stack_of(tmp_path, [WIDE] * 8)
    tifffile.imwrite(tmp_path / "08.tif", np.zeros((4000, 300), np.float32), compression="zstd", metadata=None)
    assert [p.kind for p in looked_at(tmp_path).plan.problems] == ["decompression bomb"]


@pytest.mark.parametrize(
    ("slices", "said", "lossless"),
    [
        (texture(np.uint16), "16 bit", True),
        ((texture16() - 32768).astype(np.int16), "int16 + 32,768, nothing is lost", True),
        (
            texture16().astype(np.uint32),
            "uint32; fractions would be rounded, and values beyond 0 to 65,535 clipped",
            False,
        ),
        (WIDE, "float32 from ", False),
    ],
)
def test_plan_says_what_becomes_of_the_values(tmp_path: Path, slices: Image, said: str, lossless: bool) -> None:
    found, console = looked_at(stack_of(tmp_path, [slices])), Console(width=200, record=True)
    console.print(*plan_view(request(tmp_path), found.plan, found.volume, ""))
    text = console.export_text()
    assert said in text
    assert ("lossless" in text) == lossless
