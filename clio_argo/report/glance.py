"""The whole stack at a glance: a strip along z with all that is wrong, and each such slice with its picture."""

import textwrap
from collections.abc import Iterator, Sequence

from clio_argo.model.alignment import PlacedSlice, Transforms
from clio_argo.report.curves import legend, marks
from clio_argo.report.data import ReportData
from clio_argo.report.markup import Html, fold, plural, relative_url, section, tag, void
from clio_argo.report.plots import strip

OPEN_CARDS, MOST_CARDS, LONGEST_REASON = 10, 60, 120


def notable(transforms: Transforms) -> tuple[PlacedSlice, ...]:
    """The slices that are shown one by one, ordered by z: flagged ones before suspect ones, if there are too many."""
    wrong = [s for s in transforms.slices if s.verdict != "good"]
    first = sorted(wrong, key=lambda s: (not s.flagged, s.z))[:MOST_CARDS]
    return tuple(sorted(first, key=lambda s: s.z))


def glance(data: ReportData) -> Html:
    found, shown = marks(data), notable(data.transforms)
    whole = strip((data.plan.minz, data.plan.maxz), found, {s.z for s in shown})
    parts = (tag("div", whole, class_="strip"), legend(found), *_cards(data, shown), *_more(data, shown))
    return section("glance", "The stack at a glance", *parts)


def _cards(data: ReportData, shown: Sequence[PlacedSlice]) -> Iterator[Html]:
    if not shown:
        yield tag("p", f"All {plural(data.plan.depth, 'slice')} are good.")
    cards = [_card(data, s) for s in shown]
    if cards:
        yield tag("ul", *cards[:OPEN_CARDS], class_="cards")
    if cards[OPEN_CARDS:]:
        rest = tag("ul", *cards[OPEN_CARDS:], class_="cards")
        yield fold(f"{plural(len(cards) - OPEN_CARDS, 'slice')} more with pictures", rest)


def _more(data: ReportData, shown: Sequence[PlacedSlice]) -> Iterator[Html]:
    left = sum(s.verdict != "good" for s in data.transforms.slices) - len(shown)
    if left:
        link = tag("a", "listed below", href="#flagged")
        yield tag("p", f"And {plural(left, 'slice')} more, marked above and ", link, ".", class_="note")


def _card(data: ReportData, placed: PlacedSlice) -> Html:
    return tag(
        "li",
        _picture(data, placed),
        tag(
            "p",
            tag("b", f"z {placed.z}"),
            " ",
            tag("span", placed.verdict, class_=f"verdict {placed.verdict}"),
        ),
        tag("p", textwrap.shorten(placed.reason, LONGEST_REASON, placeholder=" …"), class_="note"),
        *([tag("p", f"Shown: {placed.shown_as}", class_="note")] if placed.shown != (placed.z,) else []),
        id=f"z{placed.z}",
        class_=placed.verdict,
    )


def _picture(data: ReportData, placed: PlacedSlice) -> Html:
    file = data.slice_pictures.get(placed.z)
    if file is None:
        return tag("p", "No picture.", class_="none")
    image = void("img", src=relative_url(file), alt=f"slice {placed.z}")
    return tag("a", image, href=relative_url(file))
