"""Hostile documents and files: each is used or refused by name, none ends in a stack trace or writes elsewhere.

The default profile tries a few hundred; `HYPOTHESIS_PROFILE=search` thousands.
"""

import resource
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.errors import ClioError, UserError
from clio_argo.model.import_transforms import parse_transforms
from clio_argo.model.parse_request import build_request, parse_text
from clio_argo.model.plan import Plan
from clio_argo.model.user_inputs import parse_overrides, parse_positions
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.preflight import preflight
from tests.faults.attempts import Conditions, attempt
from tests.faults.hostile import one_of_each, spoiled
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


@given(text=texts.map(lambda b: b.decode(errors="replace")))
def test_any_given_file_is_one_or_refused(plan: Plan, text: str) -> None:
    for parse in (parse_overrides, parse_positions, parse_transforms):
        _, problems = parse(text, "file", plan)
        assert all("file" in p for p in problems)


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
