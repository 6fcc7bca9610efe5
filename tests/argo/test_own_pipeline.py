"""Pipelines of one's own, named as MODULE:NAME: what is emitted, submitted to, and refused."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from clio_argo.argo import workflow_template
from clio_argo.argo.templates import require_steps
from clio_argo.errors import UserError
from clio_argo.model.step import StepResult
from clio_argo.pipeline import PIPELINE, Mount, Pipeline, Step, Toleration
from clio_argo.plugins import load_pipeline
from tests.stacks import cli, demo_slices, request, run_here, write_stack

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


@pytest.mark.properties
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


NEEDY = Step(
    "segment", after=("publish",), image="registry.example/segment:1", command=("segment",), memory="8000", gpu=1,
    resources=(("ephemeral-storage", "20Gi"),), node_selector=(("cloud.google.com/gke-accelerator", "nvidia-l4"),),
    tolerations=(Toleration("nvidia.com/gpu"), Toleration("team", "em", "NoSchedule")), service_account="segmenter",
    volumes=(Mount("/models", claim="models", read_only=True), Mount("/keys", secret="keys")),
)  # fmt: skip


def test_a_step_has_the_node_and_the_rights_that_it_asks_for() -> None:
    pipeline = PIPELINE.with_step(NEEDY)
    made = {t["name"]: t for t in workflow_template(pipeline).to_dict()["spec"]["templates"]}["segment"]
    own = {"ephemeral-storage": "20Gi", "nvidia.com/gpu": "1"}
    assert made["container"]["resources"] == {"limits": own, "requests": {"cpu": "800m", **own}}
    assert made["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert made["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "team", "operator": "Equal", "value": "em", "effect": "NoSchedule"},
    ]
    assert made["serviceAccountName"] == "segmenter"
    assert made["volumes"] == [
        {"name": "segment-0", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        {"name": "segment-1", "secret": {"secretName": "keys"}},
    ]
    assert [m["mountPath"] for m in made["container"]["volumeMounts"]] == ["/tmp", "/models", "/keys"]


def test_a_step_with_a_node_of_its_own_has_a_pod_of_its_own() -> None:
    verify = replace(PIPELINE["verify"], node_selector=(("disk", "fast"),))
    joined = PIPELINE.replace(verify).joined(asked=False)
    assert [s.name for s in joined.steps] == ["plan", "reduce-coarsen", "verify", "publish"]


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (lambda: PIPELINE.with_step(replace(NEEDY, memory="20000")), "segment asks for 20000 MiB.* 12288 MiB"),
        (lambda: PIPELINE.with_step(replace(NEEDY, name="seg_ment")), "'seg_ment' is no name: up to 63 of a-z"),
        (lambda: PIPELINE.with_step(replace(NEEDY, name="")), "a step: '' is no name"),
        (lambda: PIPELINE.with_step(replace(NEEDY, memory="8Gi")), "memory '8Gi': give whole MiB"),
        (lambda: PIPELINE.with_step(replace(NEEDY, settings="background")), "settings is a tuple: settings="),  # type: ignore[arg-type]
        (lambda: PIPELINE.with_step(replace(NEEDY, cpu="many")), "cpu 'many': give cores"),
        (lambda: PIPELINE.with_step(replace(NEEDY, gpu=-1)), "gpu -1: give a number of GPUs"),
        (lambda: PIPELINE.with_step(replace(NEEDY, resources=(("disk", "lots"),))), "disk 'lots' is no amount"),
        (lambda: PIPELINE.with_step(replace(NEEDY, volumes=(Mount("/m"),))), "either a claim or a secret"),
        (lambda: PIPELINE.with_step(replace(NEEDY, volumes=(Mount("m", claim="m"),))), "give a path from the root"),
        (lambda: PIPELINE["verfy"], "there is no step verfy; steps are plan, "),
        (lambda: PIPELINE.with_step(replace(NEEDY, name="verify")), "two steps are called verify"),
        (lambda: PIPELINE.with_step(replace(NEEDY, name="notify")), "two steps are called notify"),
        (lambda: PIPELINE.with_step(replace(NEEDY, memory="plan.render_mib")), "plan makes reduce_parts, match_parts"),
        (lambda: PIPELINE.with_step(replace(NEEDY, fan_out="nobody.parts")), "reads from nobody, which is no step"),
    ],
)
def test_a_step_that_cannot_run_is_refused_with_the_reason(pipeline: Callable[[], Pipeline], message: str) -> None:
    with pytest.raises(UserError, match=message):
        workflow_template(pipeline())


@pytest.mark.properties
def test_steps_make_what_they_are_known_to_make(tmp_path: Path) -> None:
    results: dict[str, StepResult] = {}
    run_here(request(write_stack(tmp_path / "source", demo_slices(4, 64)), max_bad=1), tmp_path / "out", None, results)
    for step in PIPELINE.steps:
        assert not step.makes or set(step.makes) == results[step.name].outputs.keys() - {*step.outputs, "error"}
