"""A chart in a notebook: valid, escaped, and with every line, however few samples it has."""

import re
from xml.etree import ElementTree

import pytest

from clio_argo.report.chart import Chart
from clio_argo.report.plots import HEIGHT, WIDTH, Sample

LINES: list[dict[str, list[Sample]]] = [
    {},
    {"a": []},
    {"a": [(3, 4)]},
    {"a": [(0, -1), (1, None), (2, 5)], "b": [(1e-3, 2e6)]},
    {f"line {i}": [(x, (x * i) % 7) for x in range(3000)] for i in range(10)},
]


@pytest.mark.parametrize("lines", LINES, ids=len)
def test_all_lines_lie_within_the_frame(lines: dict[str, list[Sample]]) -> None:
    chart = Chart("Rate", "minutes", "slices per minute", lines)
    drawn = ElementTree.fromstring(chart._repr_html_())
    paths = [p for p in drawn.iter("path") if p.find("title") is not None]
    assert [p.findtext("title") for p in paths] == list(lines)
    numbers = [re.findall(r"[ML](\S+) ([\d.]+)", p.attrib["d"]) for p in paths]
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for found in numbers for x, y in found)
    assert [bool(found) for found in numbers] == [bool(samples) for samples in lines.values()]


def test_names_are_text() -> None:
    shown = Chart("<b>", "&", "px", {"<script>": [(0, 1)]})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
