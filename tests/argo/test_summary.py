"""Node trees that Argo 4.0.2 wrote (tests/data/argo), as people see them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.argo.nodes import nodes_of, pack, unpack
from clio_argo.argo.summary import Stage, Summary, kinds_of_pods, summarise
from clio_argo.argo.why import Reason
from clio_argo.errors import UserError
from clio_argo.model.reasons import reason
from clio_argo.pipeline import PIPELINE

DATA = Path(__file__).parents[1] / "data" / "argo"
LATER_STEPS = tuple(s.name for s in PIPELINE.steps[7:])
LATER = datetime(2026, 11, 21, 12, 48, 9, tzinfo=UTC)


def recorded(name: str) -> dict[str, Any]:
    """A Workflow of plan, reduce (three parts, each may be tried again), coarsen (no parts), ask, publish."""
    document: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return document


def compressed(workflow: dict[str, Any]) -> dict[str, Any]:
    status = {k: v for k, v in workflow["status"].items() if k != "nodes"}
    return {**workflow, "status": {**status, "compressedNodes": pack(workflow["status"]["nodes"])}}


def stage(found: Summary, name: str) -> Stage:
    return next(s for s in found.stages if s.name == name)


def test_stages_come_in_the_order_of_the_graph() -> None:
    assert [s.name for s in summarise(recorded("running")).stages] == ["plan", "reduce", "coarsen", "ask", "publish"]


def test_a_small_run_is_two_pods() -> None:
    found = summarise(recorded("small"))
    assert [(s.name, s.phase, s.done, s.total) for s in found.stages] == [
        ("plan", "Succeeded", 1, 1), ("all", "Succeeded", 1, 1), ("onExit", "Succeeded", 1, 1),
    ]  # fmt: skip
    assert kinds_of_pods(recorded("small")) == ["all", "notify", "plan"]


def test_what_comes_behind_the_plan_is_not_shown_before_it_is_known() -> None:
    workflow = recorded("small")
    kept = {k: n for k, n in workflow["status"]["nodes"].items() if n["name"].startswith("wd.plan")}
    workflow["status"]["nodes"] = kept
    assert [s.name for s in summarise(workflow).stages] == ["plan"]
    omitted = {
        "name": "wd.parts",
        "type": "Skipped",
        "phase": "Omitted",
        "message": "omitted: depends condition not met",
    }
    workflow["status"]["nodes"] = {**kept, "x": {"id": "x", **omitted}}
    assert [s.name for s in summarise(workflow).stages] == ["plan"]


def test_stages_of_a_nested_graph_are_those_of_the_run() -> None:
    """A pod for each part, tries of parts, and lists that came through the inputs of the graph."""
    workflow, began = recorded("small"), "2026-11-29T19:48:00Z"
    nodes = {k: n for k, n in workflow["status"]["nodes"].items() if n["name"].startswith("wd.plan")}
    plan = next(n for n in nodes.values() if n["name"] == "wd.plan")
    plan["outputs"]["parameters"].append({"name": "reduce_parts", "value": '["0-7", "8-15"]'})
    for name, kind, phase in (
        ("wd.parts", "DAG", "Failed"), ("wd.parts.reduce", "TaskGroup", "Succeeded"),
        ("wd.parts.reduce(0:0-7)", "Retry", "Succeeded"), ("wd.parts.reduce(0:0-7)(0)", "Pod", "Failed"),
        ("wd.parts.reduce(0:0-7)(1)", "Pod", "Succeeded"), ("wd.parts.reduce(1:8-15)", "Retry", "Succeeded"),
        ("wd.parts.reduce(1:8-15)(0)", "Pod", "Succeeded"), ("wd.parts.frame", "Retry", "Failed"),
        ("wd.parts.frame(0)", "Pod", "Failed"), ("wd.all", "Skipped", "Skipped"), ("wd.asked", "Skipped", "Skipped"),
    ):  # fmt: skip
        shown = name.rpartition(".")[2]
        nodes[name] = {"id": name, "name": name, "displayName": shown, "type": kind, "phase": phase, "startedAt": began}
    nodes["wd.parts.frame(0)"]["message"] = "main: Error (exit code 1): error: no slice"
    workflow["status"].update(nodes=nodes, phase="Failed")
    found = summarise(workflow)
    assert [s.name for s in found.stages] == ["plan", *(s.name for s in PIPELINE.steps[1:7]), "ask", *LATER_STEPS]
    assert [(s.phase, s.done, s.total, s.retries, s.failed) for s in found.stages[1:3]] == [
        ("Succeeded", 2, 2, 1, 0), ("Failed", 0, 1, 0, 1),
    ]  # fmt: skip
    assert found.failures == (Reason("frame", "error: no slice"),)


def test_artifacts_without_a_place_name_the_setting() -> None:
    """The message is that of Argo 4.0.2 with a bucket that does not exist."""
    told = "upload /tmp/argo/outputs/artifacts/request.tgz: writer close: googleapi: got HTTP response code 404"
    kept = reason(f"wait: Error (exit code 64): {told}")
    assert kept.startswith(told)
    assert "setting artifacts" in kept
    assert reason(f"main: Error (exit code 64): {told}") == told


def test_a_fan_out_is_as_long_as_the_list_it_was_made_from() -> None:
    found = summarise(recorded("running"))
    assert {s.name: (s.done, s.total, s.running, s.phase) for s in found.stages} == {
        "plan": (1, 1, 0, "Succeeded"),
        "reduce": (0, 3, 3, "Running"),
        "coarsen": (0, 0, 0, ""),
        "ask": (0, 1, 0, ""),
        "publish": (0, 1, 0, ""),
    }


def test_the_length_is_unknown_until_the_list_is_there() -> None:
    workflow = recorded("running")
    nodes = workflow["status"]["nodes"]
    workflow["status"]["nodes"] = {k: {**n, "outputs": {}} for k, n in nodes.items()}
    assert stage(summarise(workflow), "reduce").total is None


def test_tries_are_counted_as_retries_and_not_as_parts() -> None:
    reduce = stage(summarise(recorded("waiting")), "reduce")
    assert (reduce.done, reduce.total, reduce.retries, reduce.failed) == (3, 3, 1, 0)


def test_a_part_that_was_tried_again_is_no_failure() -> None:
    assert summarise(recorded("waiting")).failures == ()


def test_a_failure_says_what_the_step_wrote() -> None:
    found = summarise(recorded("failed"))
    assert found.message == ""
    assert found.failures == (Reason("reduce(1:part:1,slices:1-2)", "CLIO: slice 17 cannot be read"),)


def test_a_failure_without_a_pod_is_told_by_what_broke() -> None:
    workflow = recorded("failed")
    top = workflow["status"]["nodes"]["wb"]
    workflow["status"]["nodes"] = {"wb": {**top, "phase": "Error", "message": "template reduce is undefined"}}
    assert summarise(workflow).failures == (Reason("wb", "template reduce is undefined"),)


def test_what_was_omitted_is_not_done() -> None:
    assert stage(summarise(recorded("failed")), "publish").done == 0


def test_progress_of_running_pods_counts_for_rate_and_time_to_go() -> None:
    workflow = recorded("running")
    for node in workflow["status"]["nodes"].values():
        if node["type"] == "Pod" and node["phase"] == "Running":
            node["progress"] = "1/4"
    reduce = stage(summarise(workflow), "reduce")
    assert reduce.work == 0.75
    assert reduce.rate(LATER) == pytest.approx(0.75 / 20)
    assert reduce.left(LATER) == timedelta(seconds=60)


def test_a_workflow_says_that_it_waits_and_who_decided() -> None:
    workflow = recorded("waiting")
    found = summarise(workflow)
    assert found.waiting is not None
    assert (found.waiting.display_name, found.decision) == ("ask", None)
    decided = decide(workflow, "maybe")
    assert decided.rejected
    assert str(decided.decision) == "maybe by ann"
    assert not decide(workflow, "approve").rejected


def decide(workflow: dict[str, Any], word: str) -> Summary:
    waiting = next(n for n in workflow["status"]["nodes"].values() if n["type"] == "Suspend")
    said = {"parameters": [{"name": "decision", "value": word}]}
    waiting.update(phase="Succeeded", message=f"{word} by ann", outputs=said)
    workflow["status"]["phase"] = "Succeeded"
    found = summarise(workflow)
    assert found.succeeded is (word == "approve")
    return found


def test_a_workflow_that_nobody_took_up_has_no_phase() -> None:
    assert summarise({"metadata": {"name": "x"}, "spec": {}}).phase == ""


@pytest.mark.parametrize("name", ["running", "waiting", "failed"])
def test_compressed_nodes_are_the_same(name: str) -> None:
    assert summarise(compressed(recorded(name))) == summarise(recorded(name))


def test_nodes_in_argos_database_are_not_taken_for_none() -> None:
    workflow = recorded("running")
    workflow["status"].update(nodes={}, offloadNodeStatusVersion="fnv:1")
    with pytest.raises(UserError, match="ARGO_SERVER"):
        nodes_of(workflow)


@given(st.text() | st.binary().map(lambda b: b.hex()))
def test_damaged_compression_is_named(text: str) -> None:
    with pytest.raises(UserError, match="workflow wa: its compressed node status"):
        unpack(text, "wa")


@pytest.mark.properties
@given(st.dictionaries(st.text(), st.dictionaries(st.text(), st.text())))
def test_packing_loses_nothing(nodes: dict[str, Any]) -> None:
    assert unpack(pack(nodes), "wa") == nodes
