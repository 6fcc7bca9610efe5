"""The notebook of a run does its work on runs that have ended and that go on, and is kept without outputs."""

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from clio_argo.model.layout import COMPLETE, CONFIG, PLAN, QUALITY, TRANSFORMS, VOLUME, record_name
from clio_argo.model.plan import Plan, Problem

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebooks" / "report.ipynb"


def executed(run: Path) -> str:
    """All that the notebook shows of a run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source += f"\nRUN = {str(run)!r}\nEVERY_S = 0.5"
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return "\n".join(_text(output) for cell in notebook.cells for output in cell.get("outputs", ()))


def _text(output: Any) -> str:
    data = output.get("data", {})
    return str(output.get("text") or data.get("text/html") or data.get("text/plain"))


def test_it_is_valid_and_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not [c for c in notebook.cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


def test_its_links_lead_somewhere() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    links = re.findall(r"\]\(([^)#]+)", "".join(c.source for c in cells if c.cell_type == "markdown"))
    assert links
    assert not [link for link in links if not (NOTEBOOK.parent / link).exists()]


@pytest.mark.properties
def test_a_run_that_has_ended(demo: Path) -> None:
    shown = executed(demo)
    assert "12 of 12 stages are done" in shown
    assert "time to go 0.0 min" in shown
    assert shown.count("<svg") == 5
    assert "<title>reduce</title>" in shown
    assert "<th>z 3513</th><td>bad: " in shown
    assert "'bad': 1" in shown
    assert f"<code>clio-argo view {demo}" in shown
    assert "mean of the middle plane" in shown


@pytest.mark.properties
def test_a_run_that_goes_on(demo: Path, tmp_path: Path) -> None:
    shutil.copytree(demo, out := tmp_path / "run", ignore=shutil.ignore_patterns("aligned", "ng"))
    for gone in (COMPLETE, QUALITY, TRANSFORMS, VOLUME, record_name("match", 3)):
        (out / gone).unlink()
    plan = Plan.from_bytes((out / PLAN).read_bytes(), PLAN)
    problems = [
        Problem(kind="unreadable", z=3495, detail="cut short"),
        *(Problem(kind="missing", z=z) for z in (3496, 3497)),
    ]
    (out / PLAN).write_bytes(plan.model_copy(update={"problems": tuple(problems)}).to_bytes())
    shown = executed(out)
    assert "52 of 60 slices" in shown
    assert "z 3495: unreadable (cut short)\nz 3496 to 3497: missing\n" in shown
    assert f"{TRANSFORMS} does not exist: the run has not come so far" in shown
    assert shown.count("<svg") == 2


@pytest.mark.properties
def test_a_run_that_an_acquisition_is_followed_for(demo: Path, tmp_path: Path) -> None:
    (out := tmp_path / "run").mkdir()
    shutil.copy(demo / CONFIG, out)
    shown = executed(out)
    assert "0 of 12 stages are done" in shown
    assert "not known yet" in shown
    assert "1970" not in shown
    assert f"{PLAN} does not exist: there is no run, or it has not come so far" in shown
