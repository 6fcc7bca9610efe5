"""HTML as text that cannot be forgotten to escape: whatever is not `Html` is escaped where it is put together."""

import html
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote

FOLD_ABOVE_ROWS, MOST_ROWS = 40, 100
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


class Html(str):
    """Markup; any other string is text. `join` puts pieces together: with `+` they would become text."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Text as markup; control, direction and surrogate characters become visible escapes."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(text if text.isascii() and text.isprintable() else _visible(text)))


def _visible(text: str) -> str:
    # such characters break XML, turn the line around, or cannot be encoded at all
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c)[0] == "C" and c not in "\n\t" else c
        for c in text
    )


def join(parts: Iterable[str]) -> Html:
    return Html("".join(map(escape, parts)))


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element; attribute names as `class_` and `stroke_width`."""
    return Html(f"<{name}{_attributes(attributes)}>{join(children)}</{name}>")


def void(name: str, /, **attributes: str) -> Html:
    """An element without content."""
    return Html(f"<{name}{_attributes(attributes)}/>")


def _attributes(values: dict[str, str]) -> str:
    return "".join(f' {k.rstrip("_").replace("_", "-")}="{escape(v)}"' for k, v in values.items())


def section(name: str, title: str, *children: str) -> Html:
    """A part of the page that links can point to as `#name`."""
    return tag("section", tag("h2", title), *children, id=name)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> Html:
    """A table that scrolls by itself; columns `numeric` (from 0) are set flush right."""
    head = tag("thead", tag("tr", *(tag("th", h) for h in headings)))
    body = tag("tbody", *(tag("tr", *(tag("td", c) for c in row)) for row in rows))
    # a class per column on the table, because one on each cell would double a long table
    columns = {"class": " ".join(f"n{i}" for i in numeric)} if numeric else {}
    return tag("div", tag("table", head, body, **columns), class_="scroll")


def long_table(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()
) -> Html:
    """The first rows of a table, and how many more there are; folded where it would bury the rest of the page."""
    left = len(rows) - MOST_ROWS
    whole = table(headings, rows[:MOST_ROWS], numeric)
    if left > 0:
        last = f"And {count(left)} more, from {headings[0]} {rows[MOST_ROWS][0]} to {rows[-1][0]}: see transforms.json."
        whole = join([whole, tag("p", last, class_="note")])
    return whole if len(rows) <= FOLD_ABOVE_ROWS else fold(f"{title}: {count(len(rows))}", whole)


def fold(summary: str, *children: str) -> Html:
    return tag("details", tag("summary", summary), *children)


def pairs(rows: Iterable[tuple[str, str]]) -> Html:
    """Names and values."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in rows))


def relative_url(name: str) -> str:
    """The name of a file beside the report as a URL that can point nowhere else."""
    # a quoted colon makes no scheme, and without a leading slash there is no host
    return quote(name.lstrip("/\\"), safe="/", errors="replace")


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, one: str) -> str:
    """`1 slice`, `1,234 slices`."""
    return f"{count(number)} {one}{'' if number == 1 else 's'}"


def size(number_bytes: int) -> str:
    """Bytes in binary units with three digits."""
    value, unit = float(number_bytes), 0
    while value >= 1000 and unit + 1 < len(UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.{0 if unit == 0 or value >= 100 else 1 if value >= 10 else 2}f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.{1 if seconds >= 10 else 2}f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 100 else f"{minutes} min"
