"""Text stays text, and numbers are readable."""

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.report.formats import duration, plural, relative_url, size, visible
from clio_argo.report.html import environment

ANY_TEXT = st.text(st.characters())  # lone surrogates included, as names of files have them
PARAGRAPH = environment().from_string('<p title="{{ text }}">{{ text }}</p>')
TABLE = environment().from_string(
    '{% from "macros.html.j2" import cells, table %}'
    '{% call(z) table(("z",), rows, (0,), "Slices", 0) %}{{ cells(z) }}{% endcall %}'
)


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(attrs)


@given(ANY_TEXT)
def test_no_text_becomes_markup(text: str) -> None:
    parser = _Texts()
    page = PARAGRAPH.render(text=text)
    parser.feed(page)
    assert parser.tags == ["p"]
    assert set(parser.attributes) == {"title"}
    page.encode()  # a file cannot hold lone surrogates


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"])))
def test_what_can_be_seen_is_not_changed(text: str) -> None:
    parser = _Texts()
    parser.feed(PARAGRAPH.render(text=text))
    assert parser.attributes["title"] == text


def test_characters_that_hide_or_turn_text_are_shown() -> None:
    assert visible("a\u202egnp.exe\x00") == "a\\u202egnp.exe\\x00"


@given(ANY_TEXT)
def test_a_picture_lies_beside_the_report_whatever_its_name(name: str) -> None:
    url = relative_url(name)
    assert not urlsplit(url).scheme
    assert urlsplit(urljoin("https://host/run/report.html", url)).netloc == "host"


def test_a_plain_name_stays_as_it_is() -> None:
    assert relative_url("views/xz_before.png") == "views/xz_before.png"


@pytest.mark.parametrize("rows", [40, 41, 100, 101])
def test_a_long_table_is_folded_and_a_longer_one_says_what_is_left_out(rows: int) -> None:
    drawn = TABLE.render(rows=[(z,) for z in range(rows)])
    assert drawn.count("<tr>") == min(rows, 100) + 1
    assert ("And 1 more, from z 100 to 100: see transforms.json." in drawn) == (rows > 100)
    assert (f"Slices: {rows}" in drawn) == ("<details>" in drawn) == (rows > 40)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.46 KiB"), (2**20 * 12, "12.0 MiB"), (2**62, "4096 PiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.00 s"), (64.24, "64.2 s"), (600, "10 min"), (7300, "2 h 02 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plurals() -> None:
    assert [plural(n, "slice") for n in (0, 1, 1234)] == ["0 slices", "1 slice", "1,234 slices"]
