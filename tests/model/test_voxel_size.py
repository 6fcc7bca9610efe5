"""Which voxel size a stack has: units, the request, its files, and what is assumed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.parse_request import build_request
from clio_argo.model.request import Request
from clio_argo.model.voxel_size import UNITS_NM, Told, nanometres, voxel_size

lengths = st.floats(0.1, 10_000)


@given(nm=lengths, unit=st.sampled_from(sorted(UNITS_NM)))
def test_a_length_is_the_same_in_every_unit(nm: float, unit: str) -> None:
    for spelled in (unit, unit.upper().replace("Μ", "µ"), f" {unit} "):
        assert nanometres(repr(nm / UNITS_NM[unit]), spelled) == pytest.approx(nm, rel=1e-5)


@pytest.mark.parametrize(("value", "unit"), [("", "nm"), (None, "nm"), (8, "pixel"), (8, None), ("nan", "nm")])
def test_what_is_no_length_is_none(value: object, unit: object) -> None:
    assert not nanometres(value, unit) > 0


@given(x=lengths, y=lengths, z=lengths | st.just(0.0), given=st.none() | st.tuples(lengths, lengths, lengths))
def test_a_request_wins_and_files_fill_what_it_leaves_open(
    x: float, y: float, z: float, given: tuple[float, float, float] | None
) -> None:
    found = voxel_size(given, {"a": Told((x, y, z), "ImageJ"), "b": Told((x, y, z), "ImageJ")})
    assert found.nm == (given or (x, y, z or x))
    assert ("z assumed to be as x" in found.text) == (given is None and not z)
    pairs = [p for p in zip(given or (), (x, y, z), strict=False) if all(p)]
    assumed = given is None and not z
    assert bool(found.warnings) == (assumed or any(abs(a - b) > 0.01 * b for a, b in pairs))


def test_files_that_disagree_are_named_and_most_of_them_win() -> None:
    files = {name: Told((nm, nm, nm), "SmartSEM") for name, nm in zip("abcde", (10, 8, 8, 8.05, 4), strict=True)}
    found = voxel_size(None, files)
    assert found.nm == (8, 8, 8)
    odd = "a: 10 x 10 x 10 nm, e: 4 x 4 x 4 nm"
    assert found.warnings == (f"2 of 5 files say another voxel size than 8 x 8 x 8 nm: {odd}",)


def test_where_nothing_tells_it_8_nm_is_assumed_and_said() -> None:
    for files in ({}, {"a": Told((352_778, 352_778, 0), "TIFF resolution")}, {"a": Told((0.008, 0.008, 0), "ImageJ")}):
        found = voxel_size(None, files)
        assert found.nm == (8, 8, 8)
        assert found.warnings == (found.text,)
        assert "assumed" in found.text
    assert voxel_size((8, 8, 8), {}).warnings == ()


@pytest.mark.parametrize("value", [0.008, 8e-9, 1e12, 0.0999, 10_001, -8, [8, 8, 0.008], "8,8,1e5"])
def test_what_can_be_no_voxel_in_nm_is_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"resolution: \S+ nm\? A voxel has 0\.1 to 10,000 nm"):
        build_request({"id": "a", "source": "s", "resolution": value})
    if not isinstance(value, str):
        with pytest.raises(ValueError, match=r"nm\?"):
            Request(id="a", source="s", resolution=value)


def test_the_limits_themselves_are_taken() -> None:
    assert build_request({"id": "a", "source": "s", "resolution": [0.1, 10_000, 1]}).resolution == (0.1, 10_000, 1)


@pytest.mark.parametrize("nm", [(4, 4, 50_000), (4, 4, 1e-3), (4, 20_000, 4)])
def test_a_size_in_files_that_is_none_along_y_or_z_is_not_taken(nm: tuple[float, float, float]) -> None:
    assert voxel_size(None, {"a": Told(nm, "ImageJ")}).nm == (8, 8, 8)
