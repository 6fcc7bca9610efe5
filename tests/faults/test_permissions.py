"""What each step asks of the store, against the table in docs/reliability.md: least permissions are known ones."""

import re
from pathlib import Path

import numpy as np
import pytest

from clio_argo.model.request import REQUEST
from clio_argo.model.step import StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from tests.stacks import FIRST, demo_slices, encoded, request
from tests.stores import Bucket

DOCS = Path(__file__).parents[2] / "docs" / "reliability.md"
ROW = re.compile(r"^\| `(\w+)` \| ([a-z, -]+) \| ([a-z, -]+) \|$", re.MULTILINE)
VERBS = (("list", r"GET \S*/o(\?|$)"), ("get", r"GET \S*/o/"), ("create", r"(POST|PUT) "), ("delete", r"DELETE "))


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Verbs on source and run, by step."""
    rows = ROW.findall(DOCS.read_text())
    return {step: (_words(source), _words(run)) for step, source, run in rows}


def _words(text: str) -> set[str]:
    return {w.strip() for w in text.split(",")} - {"-"}


def asked(lines: list[str]) -> tuple[set[str], set[str]]:
    """Verbs on source and run among requests as "METHOD PATH"."""
    ours = [line for line in lines if "source%2F" in line or "/source/" in line]
    return _verbs(ours), _verbs([line for line in lines if line not in ours])


def _verbs(lines: list[str]) -> set[str]:
    return {verb for line in lines for verb, form in VERBS if re.match(form, line)}


@pytest.mark.properties
def test_each_step_asks_for_what_the_table_says(gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    source, slices = Store(f"{gcs.url}/source"), demo_slices(8, 64)
    slices[FIRST + 4] = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)  # links go around it
    for z, image in slices.items():
        source.write(f"iso.{z:05d}.png", encoded(image))
    config = request(Path("x"), max_bad=2, follow__every="0.01s", follow__until_idle="0.1s")
    config = config.model_copy(update={"source": source.url})
    monkeypatch.setenv(REQUEST, config.model_dump_json())
    first = requests_by_step(gcs)
    source.delete(f"iso.{FIRST + 7:05d}.png")  # what the first run made is in the way
    seen = {step: asked(first[step] + lines) for step, lines in requests_by_step(gcs).items()}
    # small volumes have no scale that blocks leave over
    assert {**seen, "coarsen": seen["write"]} == documented()


def requests_by_step(bucket: Bucket) -> dict[str, list[str]]:
    """All requests of a run, by step."""
    results, found = dict[str, StepResult](), dict[str, list[str]]()
    for step in PIPELINE.all_steps:
        before = len(bucket.log())
        for part in parts_of(step, results):
            results[step.name] = run_step(step, f"{bucket.url}/run", part.part)
        found[step.name] = bucket.log()[before:]
    return found
