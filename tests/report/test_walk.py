"""What the script of the report is given is what the plots show, and has a size that holds for any stack."""

import json
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clio_argo.report import curves, overview
from clio_argo.report.data import ReportData
from clio_argo.report.plots import Plot
from clio_argo.report.script import script, style
from clio_argo.report.walk import MOST_LETTERS, MOST_TEXTS, VERDICTS, Walk, walk
from tests.report.example import example

NAMES = st.lists(st.one_of(st.none(), st.text(st.characters(categories=["L", "N", "P"]))), min_size=1, max_size=9)


def walked(data: ReportData) -> Walk:
    """What the script of a report is given."""
    z, marks = (data.plan.minz, data.plan.maxz), overview.find_marks(data)
    return walk(data, [Plot(z, marks, curve) for curve in (*curves.pair_curves(data), *curves.slice_curves(data))])


def unpack(packed: str, dtype: str = "<f4") -> NDArray[Any]:
    """The numbers in base64."""
    return np.frombuffer(b64decode(packed), dtype)


def samples(packed: str) -> NDArray[np.float32]:
    """The samples in base64: numbers of 32 bits without the lowest eight."""
    upper = np.frombuffer(b64decode(packed), np.uint8).reshape(-1, 3)
    return np.pad(upper, ((0, 0), (1, 0))).view("<f4").ravel()


def named(files: list[str | None]) -> ReportData:
    """A report of slices with these files."""
    data = example(len(files))
    placed = zip(data.transforms.slices, files, strict=True)
    slices = tuple(s.model_copy(update={"file": file}) for s, file in placed)
    return data.model_copy(update={"transforms": data.transforms.model_copy(update={"slices": slices})})


# of numbers beyond 2 ** 24 four bytes do not hold each, nor halves of those beyond 2 ** 23
FIRSTS = pytest.mark.parametrize("first", [-60, 3493, 20_260_101])


@FIRSTS
def test_it_has_every_value_of_every_curve(first: int) -> None:
    data = example(120, first, broken=True)
    drawn = [*curves.pair_curves(data), *curves.slice_curves(data)]
    for chart, curve in zip(walked(data).charts, drawn, strict=True):
        assert (chart.title, chart.unit) == (curve.title, curve.unit)
        for kept, joined in ((chart.lines, True), (chart.dots, False)):
            for mine, series in zip(kept, (s for s in curve.series if s.joined is joined), strict=True):
                values = [np.nan if y is None else y for _, y in series.samples]
                np.testing.assert_allclose(samples(mine.y), values, rtol=2**-16)
        for mine, series in zip(chart.dots, (s for s in curve.series if not s.joined), strict=True):
            assert (first + unpack(mine.z).astype(float)).tolist() == [z for z, _ in series.samples]


@FIRSTS
def test_it_has_every_verdict_and_mark_with_its_reason(first: int) -> None:
    data = example(120, first, broken=True)
    given = walked(data)
    assert given.verdicts == "".join(s.verdict[0] for s in data.transforms.slices)
    told = {(m.kind, first + z): given.texts[t] for m in given.marks
            for z, t in zip(unpack(m.z).tolist(), unpack(m.text, "<u2"), strict=True)}  # fmt: skip
    reasons = {s.z: s.reason for s in data.transforms.slices}
    for mark in overview.find_marks(data):
        assert told[mark.kind, mark.z] == (reasons[int(mark.z)] if mark.kind in VERDICTS else mark.text)


@given(NAMES)
def test_names_of_files_are_what_they_have_in_common_and_what_differs(files: list[str | None]) -> None:
    found = walked(named(files)).files
    assert found
    assert [None if m is None else found.begin + m + found.end for m in found.middles] == files


def test_names_that_are_too_long_for_the_page_are_left_out() -> None:
    assert walked(named([f"{z}{'x' * (MOST_LETTERS // 2)}{z}" for z in range(3)])).files is None


def test_there_are_pictures_of_planes_only_where_there_is_a_volume() -> None:
    data = example(9)
    assert walked(data).thumbnail == "thumbnails/000000.jpg"
    assert walked(data.model_copy(update={"volume": None})).thumbnail is None


@pytest.mark.parametrize("url", ["clio-argo view '/data/my run'", "javascript:alert(1)", None])
def test_what_is_no_address_of_the_web_is_a_command(url: str | None) -> None:
    given = walked(example(9).model_copy(update={"viewer_url": url}))
    assert (given.link, given.command) == (None, url)


@pytest.mark.properties
@pytest.mark.parametrize("bad_every", [101, 23, 1])
def test_a_page_of_14000_slices_grows_by_a_megabyte_at_most(bad_every: int) -> None:
    data = example(14_000, bad_every=bad_every, broken=True)
    pictures = {z: data.slice_pictures[z] for z in list(data.slice_pictures)[: overview.MOST_CARDS]}
    given = walked(data.model_copy(update={"slice_pictures": pictures}))
    assert len((given.as_script + script() + style()).encode()) < 1_000_000
    assert len(given.texts) <= MOST_TEXTS
    assert json.loads(given.as_script)["first"] == 3493


def test_the_script_can_stand_in_a_page() -> None:
    # browsers make one line break of two characters, which would change its digest
    assert not [text for text in ("</script", "<!--", "\r") if text in script().lower()]
    assert "MIT License" in script()
    assert "</style" not in style().lower()
