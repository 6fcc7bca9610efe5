"""What stands behind the plan: one pod, pods that are cut where something stands between, or a pod for each part."""

from typing import Any

import pytest

from benchmarks.cluster_graph import Graph, read_graph
from clio_argo.argo import workflow_template
from clio_argo.argo.settings import Approval, ClusterSettings
from clio_argo.argo.tasks import tasks_of
from clio_argo.pipeline import PIPELINE, Pipeline, Step

SEGMENT = Step("segment", after=("verify",), image="registry.example/segment:1.2", command=("segment",))
COUNT = Step("count", "own:count", after=("verify",), title="count")
FETCH = Step("fetch", image="fetch:1", command=("fetch",), memory="64")


def emitted(pipeline: Pipeline = PIPELINE, asked: bool = False) -> dict[str, Any]:
    approval = Approval(default="ask" if asked else "automatic")
    return dict(workflow_template(pipeline, ClusterSettings(approval=approval)).to_dict())


def pods(pipeline: Pipeline, single: object, asked: bool) -> list[str]:
    """Steps whose containers a run has, without the exit handler."""
    graph: Graph = read_graph(emitted(pipeline, asked)).taken({"plan": {"single": single}})
    return [t.name for t in graph.tasks if t.template.image][:-1]


@pytest.mark.parametrize(
    ("single", "asked", "expected"),
    [
        (True, False, ["plan", "all"]),
        (True, True, ["plan", "reduce-solve", "render-publish"]),
        (False, False, [s.name for s in PIPELINE.steps]),
        (False, True, [s.name for s in PIPELINE.steps]),
        # a plan that failed told nothing
        ("", True, [s.name for s in PIPELINE.steps]),
    ],
)
def test_one_form_is_taken(single: object, asked: bool, expected: list[str]) -> None:
    assert pods(PIPELINE, single, asked) == expected


def test_a_container_of_ones_own_stands_between_two_pods() -> None:
    own = PIPELINE.with_step(COUNT, before=("publish",)).with_step(SEGMENT, before=("publish",))
    assert pods(own, True, False) == ["plan", "reduce-count", "segment", "publish"]
    assert pods(own, True, True) == ["plan", "reduce-solve", "render-count", "segment", "publish"]
    tasks = {t.path: t for t in tasks_of(emitted(own)["spec"]["templates"], "main")}
    assert tasks["all.segment"].depends == "reduce-count"
    assert tasks["all.publish"].depends == "reduce-count && segment"


def test_a_function_of_ones_own_runs_with_the_others() -> None:
    own = PIPELINE.with_step(COUNT, before=("publish",))
    assert pods(own, True, False) == ["plan", "all"]
    assert "count" in own.joined(asked=False)["all"].steps
    for more in (
        {"cpu": "4"},
        {"image": "registry.example/own:1"},
        {"env": (("A", "b"),)},
        {"fan_out": "plan.reduce_parts"},
    ):
        apart = PIPELINE.with_step(Step("count", "own:count", after=("verify",), **more), before=("publish",))
        assert [s.name for s in apart.joined(asked=False).steps] == ["plan", "reduce-verify", "count", "publish"], more


def test_what_the_plan_waits_for_is_not_joined() -> None:
    own = PIPELINE.with_step(FETCH, before=("plan", "publish"))
    assert pods(own, True, False) == ["fetch", "plan", "all"]
    main = next(t for t in emitted(own)["spec"]["templates"] if t["name"] == "main")
    after = {t["name"]: t.get("depends") for t in main["dag"]["tasks"]}
    assert after == {
        "fetch": None, "plan": "fetch", "all": "plan && fetch", "asked": "plan && fetch", "parts": "plan && fetch",
    }  # fmt: skip


def test_lists_of_a_pod_that_did_several_steps_are_its_outputs() -> None:
    """A container of one's own may fan out over what a step tells that ran with others."""
    wide = Step("wide", after=("solve",), fan_out="solve.write_parts", image="wide:1", command=("wide",))
    own = PIPELINE.with_step(wide, before=("render",))
    joined = own.joined(asked=False)
    assert joined["wide"].fan_out == "reduce-solve.write_parts"
    assert joined.outputs_of("reduce-solve") == ("write_parts",)
    templates = {t["name"]: t for t in emitted(own)["spec"]["templates"]}
    assert {p["name"] for p in templates["reduce-solve"]["outputs"]["parameters"]} == {"write_parts", "error"}


def test_a_joined_pod_has_what_its_steps_need() -> None:
    """Image, memory as the plan has it, secrets, the report, and outputs of the workflow."""
    whole = PIPELINE.joined(asked=False)["all"]
    assert (whole.image, whole.memory, whole.secret) == ("align", "plan.single_mib", "registration_secret")
    assert whole.outputs == PIPELINE["publish"].outputs
    assert whole.steps == tuple(s.name for s in PIPELINE.steps[1:])
    template = next(t for t in emitted()["spec"]["templates"] if t["name"] == "all")
    shown = {p["globalName"] for p in template["outputs"]["parameters"]}
    assert shown == {*PIPELINE["publish"].outputs, "error"}
    assert [a["name"] for a in template["outputs"]["artifacts"]] == ["report"]
    only = PIPELINE.joined(asked=True)["render-publish"]
    assert only.after == ("reduce-solve",)


def test_a_pipeline_that_plans_nothing_is_one_graph() -> None:
    steps = Pipeline((Step("plan", "own:plan"), Step("publish", "own:publish", ("plan",))), approval="plan")
    made = emitted(steps)["spec"]["templates"]
    assert [t["name"] for t in made if "dag" in t] == ["main", "ask"]
