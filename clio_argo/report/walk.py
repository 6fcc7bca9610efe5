"""What the script of the report is given, by which one walks in it: verdicts and the values of its curves by slice.

Where none may run, as on Argo's pages, nothing of this is seen: the plots are drawn without it. The script puts what
it is given into the page as text only. Numbers are little-endian bytes in base64. Of the four bytes of a sample the
lowest is left out: four digits that matter are right, and take four letters instead of seven as a decimal.
"""

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from pydantic import Field

from clio_argo.model.alignment import PlacedSlice
from clio_argo.model.base import Value
from clio_argo.model.layout import thumbnail_name
from clio_argo.report.data import ReportData
from clio_argo.report.formats import relative_url, visible
from clio_argo.report.headline import is_web
from clio_argo.report.plots import KINDS, Curve, Mark, Plot, Series, Style

# as long as the texts that are shown without the script; all of them are 0.3 MB at most
LONGEST_TEXT, MOST_TEXTS = 80, 4_000
# what the parts that differ of the names of 14,000 files take if they are 20 letters
MOST_LETTERS = 280_000
# of these the script knows the slice, and needs but the reason
VERDICTS = ("suspect", "missing", "bad")


class Line(Value):
    """A line: `y` as samples, one of each slice of the stack; NaN interrupts it."""

    name: str
    style: Style
    y: str


class Dots(Value):
    """Samples `y` that no line joins; `z` as those of marks."""

    name: str
    style: Style
    z: str
    y: str


class Chart(Value):
    """One plot, in the order of the page. kinds: of the marks that are drawn in it."""

    title: str
    unit: str
    include: tuple[float, ...]
    lines: tuple[Line, ...]
    dots: tuple[Dots, ...]
    kinds: tuple[str, ...]


class Marks(Value):
    """Marks of one kind: `z` less the first slice, as float32; `text` as uint16, the numbers of their texts."""

    kind: str
    z: str
    text: str


class Files(Value):
    """Names of the files of all slices: what they have in common, and what differs; None: no file."""

    begin: str
    end: str
    middles: tuple[str | None, ...]


class Walk(Value):
    """All that the script is given."""

    first: int = Field(description="Number of the first slice.")
    verdicts: str = Field(description="First letter of the verdict of each slice.")
    texts: tuple[str, ...] = Field(description="Number 0 is empty: there is no text, or no room for it.")
    marks: tuple[Marks, ...]
    charts: tuple[Chart, ...]
    files: Files | None = Field(description="None: the names are too long for the page.")
    thumbnail: str | None = Field(description="Picture of plane 0; the digits are those of z. None: there are none.")
    pictures: dict[int, str] = Field(description="Pictures of slices as they were recorded, by z.")
    link: str | None = Field(description="Page of neuroglancer.")
    command: str | None = Field(description="Command that opens the volume where there is no link.")

    @property
    def as_script(self) -> str:
        """The JSON for a script element, which it cannot end."""
        values = self.model_dump()
        return htmlsafe_json_dumps(values, json.dumps, ensure_ascii=False, separators=(",", ":"))


def walk(data: ReportData, plots: Sequence[Plot]) -> Walk:
    """What the script is given of a report with these plots."""
    placed = {s.z: s for s in data.transforms.slices}
    first = data.plan.minz
    slices = [placed.get(z) for z in range(first, data.plan.maxz + 1)]
    marks = {m: _text(m, placed) for m in dict.fromkeys(m for p in plots for m in p.marks)}
    texts = _number(["", *marks.values()])
    used = [k for k in KINDS if any(m.kind == k for m in marks)]
    url = None if data.viewer_url is None else str(visible(data.viewer_url))
    return Walk(
        first=first,
        verdicts="".join(s.verdict[0] if s else "m" for s in slices),
        texts=tuple(texts),
        marks=tuple(_marks(k, [(m.z - first, texts.get(t, 0)) for m, t in marks.items() if m.kind == k]) for k in used),
        charts=tuple(_chart(plot.curve, first, tuple(dict.fromkeys(m.kind for m in plot.marks))) for plot in plots),
        files=_files(slices),
        # it is written with the volume
        thumbnail=thumbnail_name(0) if data.volume else None,
        pictures={z: relative_url(name) for z, name in data.slice_pictures.items()},
        link=url if url and is_web(url) else None,
        command=url if url and not is_web(url) else None,
    )  # fmt: skip


def _chart(curve: Curve, first: int, kinds: tuple[str, ...]) -> Chart:
    lines = tuple(Line(name=s.name, style=s.style, y=_samples(s)) for s in curve.series if s.joined)
    dots = tuple(_dots(s, first) for s in curve.series if not s.joined)
    there = not curve.empty
    return Chart(
        title=curve.title, unit=curve.unit, include=curve.include, kinds=kinds,
        lines=lines if there else (), dots=dots if there else (),
    )  # fmt: skip


def _dots(series: Series, first: int) -> Dots:
    # numbers of files may be dates, of which four bytes hold no slice and no half
    z = _packed((z - first for z, _ in series.samples), "<f4")
    return Dots(name=series.name, style=series.style, z=z, y=_samples(series))


def _samples(series: Series) -> str:
    values = np.array([math.nan if y is None else y for _, y in series.samples], "<f4")
    # rounds to the upper three bytes; not-a-number has no bits near the lowest
    rounded = values.view("<u4") + np.uint32(0x80)
    return b64encode(rounded.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()).decode()


def _text(mark: Mark, placed: Mapping[int, PlacedSlice]) -> str:
    return _shortened(placed[int(mark.z)].reason if mark.kind in VERDICTS else mark.text)


def _marks(kind: str, marks: Sequence[tuple[float, int]]) -> Marks:
    return Marks(kind=kind, z=_packed((z for z, _ in marks), "<f4"), text=_packed((t for _, t in marks), "<u2"))


def _files(slices: Sequence[PlacedSlice | None]) -> Files | None:
    names = [_file(s) if s and s.file is not None else None for s in slices]
    begin = _common([n for n in names if n is not None])
    rest = [n[len(begin) :] if n is not None else None for n in names]
    end = _common([n[::-1] for n in rest if n is not None])[::-1]
    middles = tuple(n[: len(n) - len(end)] if n is not None else None for n in rest)
    small = len(begin) + len(end) + sum(len(n or "") for n in middles) <= MOST_LETTERS
    return Files(begin=begin, end=end, middles=middles) if small else None


def _common(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    # the first and the last in order differ the soonest
    pair = zip(min(texts, default=""), max(texts, default=""), strict=False)
    return "".join(a for a, _ in takewhile(lambda p: p[0] == p[1], pair))


def _file(placed: PlacedSlice) -> str:
    return f"{visible(placed.file)}" + (f" (page {placed.page})" if placed.page else "")


def _number(texts: Iterable[str]) -> dict[str, int]:
    """The first different texts, with their numbers in the order in which they come."""
    return {text: i for i, text in enumerate(list(dict.fromkeys(texts))[:MOST_TEXTS])}


def _shortened(text: str) -> str:
    shown = str(visible(text))
    return shown if len(shown) <= LONGEST_TEXT else shown[: LONGEST_TEXT - 2] + " …"


def _packed(numbers: Iterable[float], dtype: str) -> str:
    return b64encode(np.array(list(numbers), dtype).tobytes()).decode()
