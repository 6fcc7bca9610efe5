"""Documents that Argo would take and never finish are refused, each with the reason."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from clio_argo.argo import workflow_template
from clio_argo.argo.check import check, references
from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE, Step

Document = dict[str, Any]
EMITTED: Document = dict(workflow_template().to_dict())
GRAPH = {"plan": "main", "asked": "main"}


def template(document: Document, name: str) -> Document:
    return next(t for t in document["spec"]["templates"] if t["name"] == name)


def task(document: Document, name: str) -> Document:
    return next(t for t in template(document, GRAPH.get(name, "parts"))["dag"]["tasks"] if t["name"] == name)


def argument(value: str) -> Callable[[Document], None]:
    """Give verify something else as its memory."""
    return lambda d: task(d, "verify")["arguments"]["parameters"][1].update(value=value)


WRONG: dict[str, tuple[Callable[[Document], None], str]] = {
    "an output of a fan-out": (
        argument("{{tasks.render.outputs.parameters.error}}"),
        "verify: refers to an output of render, which can be skipped; it would wait for ever",
    ),
    "an output of a task with when": (
        lambda d: task(d, "solve").update(when="{{workflow.parameters.approval}} == ask"),
        "render: refers to an output of solve, which can be skipped",
    ),
    "an output in an expression": (
        argument("{{=asInt(tasks.write.outputs.parameters.mib) + 1}}"),
        "verify: refers to an output of write, which can be skipped",
    ),
    "an output that nobody makes": (
        argument("{{tasks.solve.outputs.parameters.verify_mib}}"),
        "verify: refers to solve's output verify_mib, which does not exist",
    ),
    "a task that comes later": (
        argument("{{tasks.publish.outputs.parameters.link}}"),
        "verify: refers to an output of publish, which may still run then",
    ),
    "an item without a list": (argument("{{item.part}}"), "verify: refers to item.part, which does not exist"),
    "a misspelt argument of the workflow": (
        argument("{{workflow.parameters.memroy}}"),
        "verify: refers to workflow.parameters.memroy, which does not exist",
    ),
    "a missing argument": (lambda d: task(d, "verify")["arguments"]["parameters"].pop(), "verify: does not give mib"),
    "an output of another graph": (
        argument("{{tasks.plan.outputs.parameters.solve_mib}}"),
        "verify: refers to an output of plan, which may still run then",
    ),
    "an input that its graph does not have": (
        argument("{{inputs.parameters.plan_slab}}"),
        "verify: refers to inputs.parameters.plan_slab, which does not exist",
    ),
    "a graph without its input": (
        lambda d: task(d, "asked")["arguments"]["parameters"].pop(),
        "asked: does not give plan_single_mib",
    ),
    "an argument too many": (
        lambda d: task(d, "verify")["arguments"]["parameters"].append({"name": "color", "value": "red"}),
        "verify: gives color, which verify does not take",
    ),
    "an input that is not there": (
        lambda d: template(d, "plan")["container"]["args"].append("{{inputs.parameters.slab}}"),
        "plan: refers to inputs.parameters.slab, which does not exist",
    ),
    "an argument that is not there, in a function": (
        lambda d: template(d, "plan")["container"]["args"].append("{{=sprig.upper(workflow.parameters.rum)}}"),
        "plan: refers to workflow.parameters.rum, which does not exist",
    ),
    "two templates of one name": (
        lambda d: d["spec"]["templates"].append(template(d, "plan")),
        "plan: the name is used 2 times",
    ),
    "no such template": (lambda d: task(d, "plan").update(template="plam"), "plan: there is no template plam"),
    "no such entrypoint": (lambda d: d["spec"].update(entrypoint="mian"), "there is no template mian to start with"),
    "after nothing": (lambda d: task(d, "match").update(depends="redcue"), "match: comes after redcue"),
    "no image": (lambda d: template(d, "plan")["container"].pop("image"), "plan: needs an image and a command"),
    "too many bytes": (
        lambda d: template(d, "plan")["container"]["args"].append("x" * 200_000),
        "bytes, at most 200000",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_refused(what: str) -> None:
    document = copy.deepcopy(EMITTED)
    spoil, reason = WRONG[what]
    spoil(document)
    with pytest.raises(UserError) as refused:
        check(document)
    assert reason in str(refused.value)


def test_all_problems_at_once() -> None:
    document = copy.deepcopy(EMITTED)
    for what in ("no image", "an item without a list", "no such entrypoint"):
        WRONG[what][0](document)
    with pytest.raises(UserError) as refused:
        check(document)
    assert len(str(refused.value).splitlines()) == 1 + 3


def test_what_is_emitted_is_sound() -> None:
    check(EMITTED)


def test_a_step_that_reads_what_a_fan_out_says_is_refused_when_it_is_emitted() -> None:
    own = Step("count", after=("render",), fan_out="render.counts", image="count:1", command=("count",))
    with pytest.raises(UserError, match="count: refers to an output of render, which can be skipped"):
        workflow_template(PIPELINE.with_step(own))


def test_references_in_text_and_expressions() -> None:
    text = ["{{a.b}} {{=asInt(inputs.parameters.mib) > 1 ? 'tasks.no' : workflow.parameters.x-y}}", {"k": "{{ item }}"}]
    assert references(text) == {"a.b", "inputs.parameters.mib", "workflow.parameters.x-y", "item"}
