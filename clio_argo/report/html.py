"""The report of a run as one HTML file.

It holds no script and loads nothing but the pictures beside it, because pages that serve artifacts of a
workflow allow inline styles, inline SVG and images of their own place, and nothing else.
"""

from clio_argo.report import tables
from clio_argo.report.by_hand import by_hand
from clio_argo.report.curves import crowding, figures, legend, marks, pair_curves, slice_curves
from clio_argo.report.data import ReportData
from clio_argo.report.glance import glance
from clio_argo.report.headline import headline, pictures
from clio_argo.report.markup import Html, section, tag, void
from clio_argo.report.style import CSS


def report_html(data: ReportData) -> str:
    """The whole page, in the order in which a person asks: how did it end, does it look right, what is wrong."""
    body = tag("body", tag("main", *_parts(data)))
    return f"<!DOCTYPE html>\n{tag('html', _head(data), body, lang='en')}\n"


def _head(data: ReportData) -> Html:
    return tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{data.config.id}: clio-argo report"),
        tag("style", Html(CSS)),
    )


def _parts(data: ReportData) -> tuple[Html, ...]:
    found = marks(data)
    of_slices = [mark for mark in found if mark.kind not in ("link", "low", "jump")]
    return (
        headline(data),
        glance(data),
        pictures(data),
        section(
            "alignment", "Alignment", legend(found), crowding(data), *figures(data, pair_curves(data), found)
        ),
        section("quality", "Brightness and focus", *figures(data, slice_curves(data), of_slices)),
        tables.flagged(data),
        tables.low(data),
        tables.jumps(data),
        tables.ways(data),
        tables.breaks(data),
        by_hand(data),
        tables.gates(data),
        tables.problems(data),
        tables.request(data),
        tables.found(data),
        tables.volume(data),
        tables.stages(data),
        tables.sizes(data),
        tables.versions(data),
    )
