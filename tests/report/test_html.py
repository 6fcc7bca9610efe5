"""The report says everything, lets nothing in, and stays small."""

import json
import re
import time
from html.parser import HTMLParser
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.model.alignment import Break, PairFit, PlacedSlice, Trend
from clio_argo.model.plan import Problem
from clio_argo.report.curves import pair_curves
from clio_argo.report.data import Picture, ReportData
from clio_argo.report.html import report_html
from clio_argo.report.overview import MOST_CARDS, notable
from clio_argo.report.script import script
from tests.report.example import example

EMPTY_ELEMENTS = {"meta", "img", "path"}
NO_BAD = 10**9


class _Page(HTMLParser):
    """All texts and attributes of a page whose tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.rows: list[list[str]] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.feed(page)
        self.close()
        assert not self.open
        self.text = " ".join(self.text.split())  # as a browser shows it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        values = dict(attrs)
        self.scripts += [(values.get("type"), "")] if tag == "script" else []
        assert not any(name.startswith("on") for name in values)
        self.sources += [values["src"] or ""] if "src" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            kind, text = self.scripts.pop()
            self.scripts.append((kind, text + data))
        elif "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def _changed(data: ReportData, **transforms: object) -> ReportData:
    return data.model_copy(update={"transforms": data.transforms.model_copy(update=transforms)})


def _check_nothing_is_loaded(page: _Page) -> None:
    # what is run is known, and the rest is data
    assert [kind for kind, _ in page.scripts] == ["application/json", None]
    assert page.scripts[1][1] == script()
    json.loads(page.scripts[0][1])
    assert not {"link", "iframe", "object", "embed", "base", "form", "use", "image"} & page.tags
    assert not any(re.match(r"[a-z+.-]*:|//", s, re.IGNORECASE) for s in page.sources)


@pytest.mark.parametrize("slices", [1, 2, 60, 2000])
@pytest.mark.parametrize("broken", [False, True])
def test_a_page_is_well_formed_and_loads_nothing_but_its_pictures(slices: int, broken: bool) -> None:
    text = report_html(example(slices, broken=broken and slices > 1))
    page = _Page(text)
    _check_nothing_is_loaded(page)
    views = {f"views/{v}_{w}.png" for v in ("xy", "xz", "yz") for w in ("after", "before")}
    pictures = {s for s in page.sources if s.startswith("views/slices/")}
    assert set(page.sources) == views | pictures
    assert len(pictures) <= MOST_CARDS
    text = text.replace(script(), "")
    assert "data:" not in text
    assert "url(" not in text
    assert "@import" not in text
    # markup that was taken for text
    assert not re.search(r"</?[a-z]+>", page.text)


def test_the_first_pictures_are_those_that_show_jumps() -> None:
    sources = _Page(report_html(example(60))).sources
    assert [s for s in sources if "slices" not in s][:2] == ["views/xz_before.png", "views/xz_after.png"]


def test_sections_come_in_the_order_of_questions() -> None:
    found = re.findall(r'<section id="(\w+)"', report_html(example(60)))
    assert found == [
        "overview", "views", "alignment", "quality", "flagged", "outliers", "jumps", "methods", "breaks",
        "gates", "problems", "request", "source", "volume", "time", "sizes", "versions",
    ]  # fmt: skip


@pytest.mark.properties
def test_flagged_slices_are_listed_with_their_reasons_and_long_lists_say_what_is_left_out() -> None:
    data = example(3000, bad_every=3)
    page = _Page(report_html(data))
    rows = {tuple(row) for row in page.rows}
    assert len(data.transforms.flagged) == 1000
    for s in data.transforms.flagged[:100]:
        assert (str(s.z), s.file or "–", s.verdict, s.reason, f"slice {s.source_slices[0]}") in rows
    assert "1,000 of 3,000 slices flagged: 500 bad, 500 missing." in page.text
    left = [s.z for s in data.transforms.flagged[100:]]
    assert f"And 900 more, from z {left[0]} to {left[-1]}: see transforms.json." in page.text


def test_the_strip_leads_to_a_card_of_every_slice_that_is_not_good() -> None:
    data = example(60)
    text = report_html(data)
    wrong = [s for s in data.transforms.slices if s.verdict != "good"]
    assert wrong
    for s in wrong:
        assert f'href="#z{s.z}"' in text
        assert f'<li id="z{s.z}" class="{s.verdict}">' in text
    assert [s for s in _Page(text).sources if "slices" in s] == list(data.slice_pictures.values())


def test_flagged_slices_are_pictured_before_suspect_ones() -> None:
    data = example(3000, bad_every=60)
    shown = notable(data.transforms)
    assert len(shown) == MOST_CARDS
    assert {s.z for s in data.transforms.flagged} <= {s.z for s in shown}
    assert [s.z for s in shown] == sorted(s.z for s in shown)


def test_notes_on_the_volume_stand_at_the_top() -> None:
    text = report_html(example(20, bad_every=NO_BAD).model_copy(update={"notes": ("z 3 and < z 4",)}))
    assert "<li>z 3 and &lt; z 4</li>" in text[: text.index("</header>")]


def test_a_stack_without_faults_says_so() -> None:
    data = example(20, bad_every=NO_BAD)
    slices = tuple(s.model_copy(update={"verdict": "good", "reason": ""}) for s in data.transforms.slices)
    assert "All 20 slices are good." in _Page(report_html(_changed(data, slices=slices))).text


def test_pairs_jumps_and_methods_are_listed() -> None:
    page = _Page(report_html(example(400, first=300)))
    assert ["429", "430", "0.300", "0.780"] in page.rows
    assert ["499", "500", "+0.0", "+0.0"] in page.rows
    assert "far less similar than those around" in page.text
    assert any(row[:2] == ["none", "translation"] for row in page.rows)


def test_brightness_is_shown_before_and_after_flicker_was_evened_out() -> None:
    data = example(60)
    slices = tuple(s.model_copy(update={"grey": (1.1, -3.0)}) for s in data.transforms.slices)
    assert "evened out" in _Page(report_html(_changed(data, slices=slices))).text
    assert "evened out" not in _Page(report_html(data)).text


def test_the_headline_is_green_where_there_is_nothing_to_look_at() -> None:
    data = example(60, bad_every=NO_BAD).model_copy(update={"status": "complete"})
    good = tuple(s.model_copy(update={"verdict": "good"}) for s in data.transforms.slices)
    text = report_html(_changed(data, slices=good))
    assert 'class="status green"' in text
    assert "Complete No slice is flagged." in _Page(text).text


@pytest.mark.parametrize(
    ("status", "bad_every", "colour", "words"),
    [
        ("complete", NO_BAD, "amber", "Complete, with flags 1 suspect, shown, and to be looked at."),
        ("complete", 23, "amber", "Complete, with flags 3 of 60"),
        ("complete_with_flags", 23, "amber", "Complete, with flags 3 of 60"),
        ("9 slices are bad, 1 allowed", 23, "red", "Stopped: 9 slices are bad, 1 allowed 3 of 60"),
    ],
)
def test_the_headline_says_how_it_ended(status: str, bad_every: int, colour: str, words: str) -> None:
    data = example(60, bad_every=bad_every).model_copy(update={"status": status})
    text = report_html(data)
    assert f'class="status {colour}"' in text
    assert words in _Page(text).text


def test_a_break_is_never_green() -> None:
    data = _changed(example(60, bad_every=NO_BAD), breaks=(Break(below=3500, above=3501),))
    text = report_html(data)
    assert 'class="status amber"' in text
    assert "no fit crosses from z 3500 to z 3501" in text
    assert ["3500", "3501", ""] in _Page(text).rows


def test_corrections_of_a_person_are_listed_with_their_reasons() -> None:
    data = example(60)
    first, *slices = data.transforms.slices
    placed = first.model_copy(update={"manual": True, "reason": "manual: <charging>", "page": 3})
    fits = (
        PairFit(z0=3493, z1=3494, reason="manual: excluded, folded"),
        PairFit(z0=3494, z1=3495, reason="excluded by hand: in version 0.1"),
        *data.transforms.fits,
    )
    changed = _changed(data, slices=(placed, *slices), fits=fits, sources={"overrides.yaml": "0badcafe"})
    page = _Page(report_html(changed))
    assert ["3493", placed.verdict, "manual: <charging>"] in page.rows
    assert ["3494", "3493", "manual: excluded, folded"] in page.rows
    assert ["3495", "3494", "excluded by hand: in version 0.1"] in page.rows
    assert ["overrides.yaml", "0badcafe"] in page.rows
    assert "Manual corrections" in page.text
    assert "Manual corrections" not in _Page(report_html(data)).text


def test_a_local_run_says_how_its_volume_is_opened_and_long_reasons_are_cut() -> None:
    command = "clio-argo view '/data/my run'"
    update = {"viewer_url": command, "status": "stopped by gates:\n" + "\n".join(f" - reason {i}" for i in range(9))}
    text = _Page(report_html(example(9).model_copy(update=update))).text
    assert f"To open it in neuroglancer: {command}" in text
    assert "Stopped: by gates reason 0" in text
    assert "reason 5 and 3 more lines, all in the tables below" in text


def test_many_problems_of_files_without_a_number_are_cut() -> None:
    data = example(9)
    problems = tuple(Problem(kind="unsupported", file=f"{i}.txt") for i in range(150))
    page = _Page(report_html(data.model_copy(update={"plan": data.plan.model_copy(update={"problems": problems})})))
    assert "And 50 more, from z – to –: see plan.json." in page.text
    assert "150 problems: 150 unsupported." in page.text


def test_a_stopped_run_has_no_volume_no_link_and_no_pictures() -> None:
    update = {
        "volume": None,
        "viewer_url": None,
        "pictures": (),
        "costs": None,
        "sizes_bytes": {},
        "quality": None,
        "slice_pictures": {},
        "status": "too many bad",
    }
    text = _Page(report_html(example(60).model_copy(update=update))).text
    for said in (
        "No volume to open.",
        "None was written.",
        "No pictures were made.",
        "Nothing was timed.",
        "Nothing was rendered.",
    ):
        assert said in text


def test_a_picture_that_could_not_be_made_is_named() -> None:
    picture = Picture(title="XZ", caption="c", before=None, after="xz.png")
    page = _Page(report_html(example(9).model_copy(update={"pictures": (picture,)})))
    assert [s for s in page.sources if "slices" not in s] == ["xz.png"]
    assert "No picture." in page.text


@pytest.mark.parametrize("slices", [1, 60])
def test_nothing_found(slices: int) -> None:
    data = example(slices)
    lost = tuple(PairFit(z0=z, z1=z + 1, reason="no features") for z in range(3493, 3492 + slices))
    page = _Page(report_html(_changed(data, fits=lost).model_copy(update={"statistics": (), "quality": None})))
    assert page.text.count("Nothing was measured.") == 5
    assert sum(row[-1] == "no features" for row in page.rows) == slices - 1


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e300])
def test_a_correlation_that_was_not_measured_is_a_gap(value: float) -> None:
    data = example(60)
    fits = tuple(f.model_copy(update={"correlation": value}) for f in data.transforms.fits)
    page = _Page(report_html(_changed(data, fits=fits).model_copy(update={"quality": None})))
    assert page.text.count("Nothing was measured.") == 1


def test_settings_that_differ_come_first_and_all_are_there() -> None:
    page = _Page(report_html(example(9)))
    asked = page.rows.index(["setting", "value", "default"])
    assert page.rows[asked + 1 : asked + 6] == [
        ["id", "fly medulla", "required"],
        ["source", "gs://bucket/medulla", "required"],
        ["image", "iso.%05d.png", "–"],
        ["contrast.clip_limit", "0.01", "0.02"],
        ["max_bad", "0.05", "0.01"],
    ]
    assert ["resolution", "–"] in page.rows
    assert ["alignment.model", "auto"] in page.rows
    assert ["lossless", "true"] in page.rows


def test_scales_are_written_as_neuroglancer_writes_them() -> None:
    rows = _Page(report_html(example(60))).rows
    assert ["0", "8 × 8 × 8", "5,040 × 4,062 × 60", "0, 0, 3493"] in [row[:4] for row in rows]


def test_only_an_address_of_the_web_becomes_a_link() -> None:
    page = _Page(report_html(example(9).model_copy(update={"viewer_url": "javascript:alert(1)"})))
    assert not any(link.startswith("javascript") for link in page.links)
    assert "javascript:alert(1)" in page.text


@pytest.mark.properties
@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), min_size=1))
def test_hostile_names_stay_text(name: str) -> None:
    text = report_html(_hostile(f"</style></title><script>x</script><!--<script><img src=http://x {name}'\""))
    text.encode()
    page = _Page(text)
    _check_nothing_is_loaded(page)


def _hostile(name: str) -> ReportData:
    """A report in which `name` stands wherever a file, a bucket or a person can put a text."""
    data = example(5)
    bad = PlacedSlice(z=3495, file=name, verdict="bad", reason=name, matrix=None, source_slices=(3494,))
    slices = tuple(bad if s.z == 3495 else s for s in data.transforms.slices)
    lost = (PairFit(z0=3494, z1=3495, reason=name),)
    problem = Problem(kind="truncated", z=3495, file=name, detail=name)
    return _changed(data, slices=slices, fits=lost).model_copy(
        update={
            "request": data.request.model_copy(update={"id": name, "source": name, "labels": {name: name}}),
            "plan": data.plan.model_copy(update={"source": name, "digest": name, "problems": (problem,)}),
            "pictures": (Picture(title=name, caption=name, before=name, after=f"https://{name}"),),
            "sizes_bytes": {name: 1},
            "slice_pictures": {3495: name},
            **dict.fromkeys(("status", "viewer_url", "run", "version"), name),
        }
    )


@pytest.mark.properties
@pytest.mark.parametrize("bad_every", [101, 1])
def test_a_report_of_14000_slices_is_small_and_quick(bad_every: int) -> None:
    data = example(14_000, bad_every=bad_every, broken=True)
    start = time.process_time()
    text = report_html(data)
    assert time.process_time() - start < 8
    assert len(text.encode()) < 5_000_000
    assert all(len(svg) < 450_000 for svg in re.findall(r"<svg.*?</svg>", text))


def test_the_same_data_give_the_same_page() -> None:
    assert report_html(example(60)) == report_html(example(60))


@pytest.mark.parametrize(("follows", "other", "path"), [("recorded", "images", "by the images"),
                                                        ("images", "recorded", "as recorded")])  # fmt: skip
def test_a_trend_is_told_with_the_setting_that_changes_it_and_both_paths_are_drawn(
    follows: Literal["recorded", "images"], other: str, path: str
) -> None:
    data = example(60)
    slices = tuple(s.model_copy(update={"slow_px": (0.27 * s.z, 0.0)}) for s in data.transforms.slices)
    trend = Trend(part="shift", follows=follows, px_per_slice=0.27, extent_px=15.9)
    told = _changed(data, slices=slices, trends=(trend,))
    page, quiet = _Page(report_html(told)).text, _Page(report_html(data)).text
    assert "the images run by 0.27 px per slice against the recorded frames, 16 px over the stack" in page
    assert f"alignment.trend: {other}" in page
    assert f"x, slow part {path}" in page
    assert "slow part" not in quiet
    curve = next(c for c in pair_curves(told) if c.title == "Position")
    x, _, dots, _ = (dict(s.samples) for s in curve.series)
    sign = 1 if follows == "recorded" else -1
    assert all(dots[z] == pytest.approx(x[z] + sign * 0.27 * z) for z in dots)
    small = _changed(data, slices=slices, trends=(trend.model_copy(update={"extent_px": 0.4}),))
    assert "Trend" not in _Page(report_html(small)).text


def test_times_of_stages_are_compared_with_what_was_expected_and_priced() -> None:
    data = example(60)
    done, aligned = (_Page(report_html(d)).text for d in (data, data.model_copy(update={"volume": None})))
    # as in the example: expected a quarter more than it took, $0.01 a vCPU hour
    assert re.search(r"18\.6 s\s*23\.\d s\s*80%", done)
    assert "vCPU hours on nodes of a cluster would be" in done
    assert "(spot)" in done
    assert data.costs
    for source_bytes, told in ((10**9 - 1, False), (10**9, True)):
        costs = data.costs.model_copy(update={"source_bytes": source_bytes})
        assert ("of grey values" in _Page(report_html(data.model_copy(update={"costs": costs}))).text) is told
    assert "What is left will take" not in done
    assert "What is left will take about 90.0 s of CPU time." in aligned


def test_tries_that_were_lost_are_told_by_stage_and_reason() -> None:
    data = example(40)
    assert data.costs is not None
    assert "Tries that were lost" not in _Page(report_html(data)).text
    stages = [s.model_copy(update={"lost": {"preempted": 3, "fault": 1}}) for s in data.costs.stages[:1]]
    lossy = data.model_copy(update={"costs": data.costs.model_copy(update={"stages": tuple(stages)})})
    assert ["plan", "3", "0", "1"] in _Page(report_html(lossy)).rows
