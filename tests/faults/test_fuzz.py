"""Hostile documents and files: each is used or refused by name, none ends in a stack trace or writes elsewhere.

The default profile tries a few hundred; `HYPOTHESIS_PROFILE=search` thousands.
"""

import json
import resource
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clio_argo.errors import ClioError, UserError
from clio_argo.model.import_transforms import parse_transforms
from clio_argo.model.numbering import printf_numbering
from clio_argo.model.parse_request import build_request, field_paths, parse_setting, parse_text
from clio_argo.model.plan import Plan
from clio_argo.model.user_inputs import parse_overrides, parse_positions
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace import name_patterns
from clio_argo.workspace.preflight import preflight
from tests.faults.attempts import Conditions, attempt
from tests.faults.hostile import one_of_each, spoiled, values
from tests.stacks import demo_slices, encoded, request, run_here, write_stack

# what a step may end with: done, failed, refused, no memory
CODES = {0, 1, 2, 137}
LIMITS = Conditions(memory_mib=1024, limits={resource.RLIMIT_CPU: 20})
POSITIONS = "z,x_px,y_px\n3490,0,1\n3491,2.5,-1\n3492,4,0\n"
OVERRIDES = (
    "slices:\n  - {z: 3490, verdict: bad, reason: charged}\n"
    "pairs:\n  - {z: [3490, 3491], matrix: [[1, 0, 1.5], [0, 1, -2]], reason: by eye}\n"
)
CSV = "z,a,b,tx,c,d,ty\n3490,1,0,0,0,1,0\n3491,1,0,2.5,0,1,-1\n3492,1,0,3,0,1,0\n"
REQUEST = "id: fly\nsource: /data\nimage: iso.%05d.png\nresolution: [8, 8, 8]\ncontrast: {clip_limit: 0}\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three slices of 64 x 64, far from other files. Not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    return run_here(request(write_stack(folder / "source", demo_slices(3, 64)), max_bad=2), folder / "out")


@pytest.fixture(scope="module")
def plan(tiny: Path) -> Plan:
    return Store(str(tiny)).document(Plan, "plan.json")


# --- what people write ----------------------------------------------------------------------------------

texts = st.one_of(*(spoiled(t.encode()) for t in (REQUEST, OVERRIDES, POSITIONS, CSV)))


@given(spoiled(REQUEST.encode()))
def test_any_request_is_one_or_refused(data: bytes) -> None:
    with suppress(UserError):
        build_request(parse_text(data.decode(errors="replace"), "request.yaml"))


@pytest.mark.properties
@given(text=texts.map(lambda b: b.decode(errors="replace")))
def test_any_given_file_is_one_or_refused(plan: Plan, text: str) -> None:
    for parse in (parse_overrides, parse_positions, parse_transforms):
        _, problems = parse(text, "file", plan)
        assert all("file" in p for p in problems)


# values where people write numbers, names and lists; text as YAML, CSV and JSON are made of
anything = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
typed = st.text(st.sampled_from("zxypas:,-[]{}&*!<>|?#'\"%@\n \t\\.0123456789eE+~\0\ud800é"), max_size=60)
keys = st.sampled_from(
    ["slices", "pairs", "z", "matrix", "verdict", "exclude", "reason", "3490", "width", "height", "id"]
)
structures = st.dictionaries(keys, anything | st.lists(st.dictionaries(keys, anything), max_size=2), max_size=4)
documents = (
    typed
    | structures.map(lambda v: json.dumps(v, ensure_ascii=False))
    | st.lists(st.tuples(*[anything] * 7), max_size=3).map(
        lambda rows: CSV[:16] + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    | st.lists(st.tuples(*[anything] * 3), max_size=3).map(
        lambda rows: POSITIONS[:12] + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
)


@pytest.mark.properties
@example(text="z,x_px,y_px\n3490," + "9" * 200_000 + ",0\n")
@example(text="z,a,b,tx,c,d,ty\n" + "9" * 5000 + ",1,0,0,0,1,0\n")
@example(text='{"3490": [1' + "0" * 400 + ", 0, 0, 1, 0, 0]}")
@example(text='{"a":' * 20_000)
@example(text="[" * 20_000)
@example(text="3490,'[" + "9" * 400 + ",0,0,1,0,0]'")
@given(text=documents)
def test_whatever_a_file_holds_it_is_one_or_refused(plan: Plan, text: str) -> None:
    for parse in (parse_overrides, parse_positions, parse_transforms):
        _, problems = parse(text, "file", plan)
        assert all("file" in p for p in problems)
    with suppress(UserError):
        parse_setting(f"contrast.clip_limit={text}")
    with suppress(UserError):
        build_request(parse_text(REQUEST, "request"), parse_text(text, "request.yaml"))


@given(path=st.sampled_from(field_paths()), value=anything)
def test_whatever_a_setting_holds_it_is_planned_or_refused(tiny: Path, path: str, value: Any) -> None:
    needed = {"id": "x", "source": str(tiny.parent / "source"), "max_bad": 2, "workers": 1}
    with suppress(ClioError):
        preflight(build_request(needed, {path: value})).refuse()


@pytest.mark.parametrize("names", [1, 1000])
def test_an_expression_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch, names: int) -> None:
    monkeypatch.setattr(name_patterns, "LIMIT_S", 0.5)
    with pytest.raises(UserError, match=r"takes longer than 0\.5 s"):
        name_patterns.regex_numbers("(a+)+(?P<z>b)", ["a" * 60] * names)


@pytest.mark.parametrize(
    "expression", ["(" * 500 + ")" * 500, "(a{99999999999999999999})", "(" * 9, "[0-9]+", "(a)" * 999]
)
def test_an_expression_that_is_none_is_refused(expression: str) -> None:
    with pytest.raises(UserError, match="image_regex"):
        name_patterns.regex_numbers(expression, ["1.png"])


@given(expression=st.text(st.sampled_from("()[]{}*+?|\\^$.<>P=!:-zdwa1,"), max_size=12))
@settings(max_examples=settings().max_examples // 4)
def test_any_expression_numbers_names_or_is_refused(expression: str) -> None:
    with suppress(UserError):
        assert name_patterns.regex_numbers(expression, ["a1", "1", "\ud800"]).keys() <= {"a1", "1", "\ud800"}


@pytest.mark.parametrize("pattern", ["%0999999999d", "%" + "9" * 5000 + "d", "%256d"])
def test_a_pattern_of_endless_numbers_is_refused(pattern: str) -> None:
    with pytest.raises(UserError, match="more than 255 characters"):
        printf_numbering(pattern)


@given(data=st.data())
def test_any_transforms_document_is_one_or_refused(tiny: Path, plan: Plan, data: st.DataObject) -> None:
    text = data.draw(spoiled((tiny / "transforms.json").read_bytes())).decode(errors="replace")
    parse_transforms(text, "transforms.json", plan)


# --- what a run left, and somebody changed -----------------------------------------------------------------

READ_BY: dict[str, tuple[str, ...]] = {
    "config.json": ("solve", "publish", "notify"),
    "plan.json": ("reduce", "match", "suspects", "solve", "render"),
    "plan/000000.json": ("reduce", "render"),
    "user_inputs.json": ("solve",),
    "fits/000000.json": ("suspects", "solve"),
    "suspects.json": ("rematch", "solve"),
    "transforms.json": ("publish", "notify"),
    "planes/000000.json": ("render",),
    "volume.json": ("render", "write", "coarsen", "verify", "publish"),
    "manifest/reduce/000000.json": ("reduce", "match"),
    "manifest/render/000000.json": ("render", "write", "verify", "publish"),
    "tmp/facts/000000.npz": ("match", "suspects", "solve"),
    "tmp/reduced/000000.npz": ("match",),
    "tmp/frame/000000.npz": ("frame",),
    "tmp/frame/pattern.npz": ("match", "solve"),
    "tmp/likeness/000000.npz": ("publish",),
    "ng/info": ("write", "verify", "publish"),
    "aligned/0/zarr.json": ("render", "write"),
    "complete.json": ("notify",),
}


@pytest.fixture(scope="module")
def twin(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that a test may spoil, if it mends it."""
    return shutil.copytree(tiny, tmp_path_factory.mktemp("twin") / "above" / "beside" / "out")


def test_every_document_is_spoiled(tiny: Path) -> None:
    written = {n.replace("000001", "000000").replace("000002", "000000") for n in Store(str(tiny)).names()}
    documents = {n for n in written if n.endswith((".json", ".npz")) and not n.startswith(("process/", "aligned/"))}
    units = {f"manifest/{s.name}/000000.json" for s in PIPELINE.steps}
    assert documents - units - READ_BY.keys() == {"verify.json", "quality.json"}


@pytest.mark.properties
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_a_step_uses_a_spoiled_document_or_refuses_it(tiny: Path, twin: Path, data: st.DataObject) -> None:
    name, content = data.draw(one_of_each({n: (tiny / n).read_bytes() for n in READ_BY}))
    step = data.draw(st.sampled_from(READ_BY[name]))
    (twin / name).write_bytes(content)
    around = elsewhere(twin)
    try:
        ended = attempt(step, twin, 0, LIMITS)
    finally:
        shutil.rmtree(twin)
        shutil.copytree(tiny, twin)
    assert ended.code in CODES, (ended.code, ended.said)
    assert "Traceback" not in ended.said, ended.said
    assert elsewhere(twin) == around


def elsewhere(out: Path) -> set[Path]:
    """What lies beside and above a run."""
    near = [p for folder in (out.parent, *out.parents[1:3]) for p in folder.iterdir()]
    return {p for p in near if not p.name.startswith("said-")}


# --- images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@given(data=st.data())
@settings(max_examples=settings().max_examples // 4)
def test_any_image_is_planned_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    slices, source = demo_slices(3, 64), tmp_path_factory.mktemp("images")
    write_stack(source, slices, f"iso.%05d{suffix}")
    (source / f"iso.03491{suffix}").write_bytes(data.draw(spoiled(encoded(slices[3491], suffix))))
    before = sorted(source.parent.iterdir())
    with suppress(ClioError):
        preflight(request(source)).refuse()
    assert sorted(source.parent.iterdir()) == before
