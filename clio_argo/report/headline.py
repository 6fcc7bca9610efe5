"""How a run ended, in words and a handful of numbers, and where to look."""

import math
from collections.abc import Iterator
from typing import Literal

from clio_argo.report.curves import direct_links, median_of, shift_px
from clio_argo.report.data import Picture, ReportData
from clio_argo.report.markup import Html, count, join, plural, relative_url, section, size, tag, void

Tone = Literal["green", "amber", "red"]
ENDED = {
    "complete": "Complete",
    "complete_with_flags": "Complete, with flags",
    "aligned": "Aligned, not rendered yet",
}
REASONS = 6
VIEWS = ("XZ", "YZ", "XY")


def tone(data: ReportData) -> Tone:
    """Green: every slice is in place. Amber: complete, with something to look at. Red: the run stopped."""
    if data.status not in ENDED:
        return "red"
    found = data.transforms
    doubts = found.flagged or found.suspect or found.breaks or data.status == "complete_with_flags"
    return "amber" if doubts else "green"


def _ending(data: ReportData) -> Html:
    """How it ended; of a long list of reasons the first lines, since the tables below hold them all."""
    status = "complete_with_flags" if data.status == "complete" and tone(data) == "amber" else data.status
    if status in ENDED:
        return tag("strong", ENDED[status])
    first, *lines = status.splitlines() or [""]
    left = len(lines) - REASONS
    more = [f"and {plural(left, 'more line')}, all in the tables below"] if left > 0 else []
    reasons = tag("ul", *(tag("li", line.strip(" -")) for line in [*lines[:REASONS], *more]))
    return join([tag("strong", f"Stopped: {first.removeprefix('stopped ').rstrip(':')}"), reasons])


def headline(data: ReportData) -> Html:
    colour = tone(data)
    return tag(
        "header",
        tag("p", "clio-argo report", class_="kind"),
        tag("h1", data.config.id),
        tag("div", _ending(data), " ", tag("span", _flags(data)), class_=f"status {colour}"),
        _link(data),
        tag("ul", *(tag("li", tag("b", v), tag("span", k)) for k, v in key_figures(data)), class_="figures"),
    )


def key_figures(data: ReportData) -> Iterator[tuple[str, str]]:
    """Name and value of what a person looks at first."""
    fits = data.transforms.fits
    near = list(direct_links(fits).values())
    shifts = [math.hypot(*shift_px(f, data.plan.width, data.plan.height)) for f in near]
    yield "slices", count(data.plan.depth)
    yield "flagged", count(len(data.transforms.flagged))
    yield "breaks", count(len(data.transforms.breaks))
    yield "links found", f"{count(sum(f.found for f in fits))} of {count(len(fits))}"
    yield "largest shift per pair", _px(max((s for s in shifts if math.isfinite(s)), default=None))
    yield "median residual", _px(median_of(f.residual_px for f in near))
    yield "canvas", f"{count(data.transforms.width)} × {count(data.transforms.height)} px"
    if data.sizes_bytes:
        yield "written", size(sum(data.sizes_bytes.values()))


def pictures(data: ReportData) -> Html:
    """Each view before and after alignment, the XZ view first: there a person sees whether the stack jumps."""
    ordered = sorted(data.pictures, key=lambda p: (*VIEWS, p.title).index(p.title))
    shown = [_view(p) for p in ordered] or [tag("p", "No pictures were made.", class_="note")]
    return section("views", "Before and after", *shown)


def web_link(url: str, text: str) -> Html:
    """A link if the address is one of the web; anything else stays text."""
    web = url.lower().startswith(("http://", "https://"))
    return tag("a", text, href=url, rel="noreferrer") if web else tag("code", url)


def _flags(data: ReportData) -> Html:
    flagged, suspect = data.transforms.flagged, data.transforms.suspect
    if not flagged:
        text = "No slice is flagged."
    else:
        bad = sum(s.verdict == "bad" for s in flagged)
        text = (f"{count(len(flagged))} of {plural(data.plan.depth, 'slice')} flagged: {count(bad)} bad, "
                f"{count(len(flagged) - bad)} missing.")  # fmt: skip
    more = f" {count(len(suspect))} suspect." if suspect else ""
    broken = f" {plural(len(data.transforms.breaks), 'break')}." if data.transforms.breaks else ""
    low = len(data.quality.low) if data.quality else 0
    unlike = f" {plural(low, 'pair')} far less alike than those around." if low else ""
    return tag("a", text + more + broken + unlike, href="#glance")


def _link(data: ReportData) -> Html:
    if data.link is None:
        return tag("p", "No volume to open.", class_="note")
    # a sandboxed page may not open the link; the address can still be copied
    address = tag("details", tag("summary", "Address"), tag("code", data.link, class_="address"))
    first = [" while ", tag("code", f"clio-argo view {data.run.removeprefix('file://')}"), " is running"]
    served = first if data.run.startswith("file://") else []
    return tag("div", tag("p", web_link(data.link, "Open in neuroglancer"), *served, class_="open"), address)


def _view(picture: Picture) -> Html:
    sides = (("before", picture.before), ("after", picture.after))
    return tag(
        "figure",
        tag("h3", picture.title),
        tag("div", *(_side(picture.title, when, file) for when, file in sides), class_="sides"),
        tag("figcaption", picture.caption),
    )


def _side(title: str, when: str, file: str | None) -> Html:
    label = tag("p", when.capitalize(), class_="when")
    if file is None:
        return tag("div", label, tag("p", "No picture.", class_="none"))
    url = relative_url(file)
    image = void("img", src=url, alt=f"{title} view {when} alignment")
    return tag("div", label, tag("a", image, href=url))


def _px(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} px"
