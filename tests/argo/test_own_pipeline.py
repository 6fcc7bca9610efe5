"""Pipelines of one's own, named as MODULE:NAME: what is emitted, submitted to, and refused."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from clio_argo.argo import workflow_template
from clio_argo.argo.templates import require_steps
from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE
from clio_argo.plugins import load_pipeline
from tests.stacks import cli

MODULE = """
from clio_argo.model.step import StepResult
from clio_argo.pipeline import PIPELINE, Step

def count(run, units):
    return StepResult()

COUNT = Step("count", "own_steps:count", after=("verify",), title="count objects")
SEGMENT = Step("segment", after=("count",), image="registry.example/segment:1.2", command=("segment", "$(CLIO_RUN)"))
MINE = PIPELINE.with_step(COUNT, before=("publish",)).with_step(SEGMENT, before=("publish",))
CONTAINER = PIPELINE.with_step(Step("segment", after=("verify",), image="segment:1", command=("segment",)))
"""
NAME = "own_steps:MINE"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules on the path of this process."""
    (tmp_path / "own_steps.py").write_text(MODULE)
    (tmp_path / "broken_steps.py").write_text("1 / 0")
    (tmp_path / "needy_steps.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def emitted(modules: Path, *arguments: str) -> dict[str, Any]:
    """Templates that the command line prints, by name."""
    path = os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])
    printed = cli("template", *arguments, PYTHONPATH=path)
    assert printed.returncode == 0, printed.stderr
    return {t["name"]: t for t in next(yaml.safe_load_all(printed.stdout))["spec"]["templates"]}


def variables(template: dict[str, Any]) -> dict[str, str]:
    return {v["name"]: v.get("value", "") for v in template["container"]["env"]}


def test_a_function_and_a_container_are_emitted_in_their_places(modules: Path) -> None:
    templates = emitted(modules, "--pipeline", NAME)
    tasks = {t["name"]: t for t in templates["parts"]["dag"]["tasks"]}
    assert (tasks["count"]["depends"], tasks["segment"]["depends"]) == ("verify", "count")
    assert tasks["publish"]["depends"] == "verify && count && segment"
    count, segment = templates["count"]["container"], templates["segment"]["container"]
    assert [*count["command"], *count["args"]][:2] == ["clio-argo-step", "count"]
    assert (segment["image"], segment["command"]) == ("registry.example/segment:1.2", ["segment", "$(CLIO_RUN)"])


@pytest.mark.properties
def test_containers_that_run_its_code_are_told_the_pipeline(modules: Path) -> None:
    templates = {n: t for n, t in emitted(modules, "--pipeline", NAME).items() if "container" in t}
    told = {name for name, t in templates.items() if variables(t).get("CLIO_PIPELINE") == NAME}
    assert told == {s.name for s in (*PIPELINE.all_steps, *load_pipeline(NAME).joined_steps)} | {"count"}


@pytest.mark.properties
def test_stock_images_run_a_pipeline_that_adds_only_containers(modules: Path) -> None:
    templates = emitted(modules, "--pipeline", "own_steps:CONTAINER").values()
    assert not [t["name"] for t in templates if "container" in t and "CLIO_PIPELINE" in variables(t)]
    assert load_pipeline(None) == load_pipeline("clio_argo.pipeline:PIPELINE") == PIPELINE


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_steps", "expected MODULE:NAME"),
        ("own_steps:NONE", "has no attribute 'NONE'"),
        ("own_steps:COUNT", "expected a Pipeline, found Step"),
        ("no_such_module:MINE", "install its package, or add its folder to PYTHONPATH"),
        ("needy_steps:MINE", "No module named 'not_installed_anywhere'"),
        ("broken_steps:MINE", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, message: str, modules: Path) -> None:
    with pytest.raises(UserError) as refused:
        load_pipeline(name)
    assert str(refused.value).startswith(f"--pipeline {name}: ")
    assert message in str(refused.value)


def test_submission_refuses_the_template_of_another_pipeline(modules: Path) -> None:
    mine = load_pipeline(NAME)
    require_steps(dict(workflow_template(mine).to_dict()), mine)
    with pytest.raises(UserError, match=r"that it lacks: count, .*segment; steps that only it has: all, "):
        require_steps(dict(workflow_template().to_dict()), mine)
