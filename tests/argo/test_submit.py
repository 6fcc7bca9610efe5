"""What is refused before a workflow is created, and the workflow that is created."""

from typing import Any

import pytest

from clio_argo.argo.submit import CONTROLLER, again, label_problems, override, prefix, request_arguments, workflow
from clio_argo.argo.workflow import workflow_template
from clio_argo.errors import UserError
from clio_argo.model.request import Request

RUN = "gs://bucket/fly"


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return dict(workflow_template().to_dict())


def config(**settings: Any) -> Request:
    return Request(**{"id": "fly", "source": "gs://slices/fly", **settings})


def mounting(template: dict[str, Any], path: str) -> dict[str, Any]:
    container = {"volumeMounts": [{"name": "data", "mountPath": path}]}
    return {**template, "spec": {**template["spec"], "templates": [{"name": "plan", "container": container}]}}


def test_a_request_travels_as_json_beside_the_runs_root(template: dict[str, Any]) -> None:
    arguments = request_arguments(config(minz=3), RUN, template)
    assert Request.model_validate_json(arguments["config"]) == config(minz=3)
    assert arguments["run"] == RUN
    assert set(arguments) <= {p["name"] for p in template["spec"]["arguments"]["parameters"]}


@pytest.mark.parametrize(
    ("settings", "run", "words"),
    [
        ({"source": "/data/fly"}, RUN, "source /data/fly: pods see no such folder; upload it"),
        ({"source": "file:///data/fly"}, RUN, "source file:///data/fly: pods see"),
        ({"source": "fly/raw"}, RUN, "write gs://fly/raw if it is a bucket"),
        ({"source": "https://x/fly"}, RUN, "unknown kind of store 'https'"),
        ({"source": "gs:///fly"}, RUN, "names no bucket"),
        ({}, "gs://My-Bucket/fly", "the bucket's name may hold lower-case letters"),
        ({}, "out", "--out out: pods see no such folder"),
        ({"buckets": {"viewer": "/d"}}, RUN, "buckets.viewer /d: pods see no such folder; upload it"),
        ({"positions": "stage.csv"}, RUN, "positions stage.csv: pods see no such file; upload it"),
        ({"overrides": "/home/ann/fly.yaml"}, RUN, "overrides /home/ann/fly.yaml: pods see no such file"),
        ({"transforms": "file:///old/transforms.json"}, RUN, "transforms file:///old/transforms.json: pods see"),
        ({"image": "{{workflow.name}}.%d.png"}, RUN, "image: holds '{{'"),
        ({"labels": {"{{x": "y"}}, RUN, "labels.{{x: holds '{{'"),
        ({}, RUN + "$(HOME)", "--out: holds '$('"),
        ({"labels": {"grant": "a b"}}, RUN, "labels.grant: 'a b'"),
        ({"labels": {"-": "x"}}, RUN, "labels.-"),
        (
            {"labels": {"app.kubernetes.io/name": "x"}},
            RUN,
            "labels.app.kubernetes.io/name: 'app.kubernetes.io/name' is",
        ),
        ({"image_regex": "x" * 2**16}, RUN, "a workflow carries 65536"),
    ],
)
def test_what_no_pod_could_use_is_refused(
    settings: dict[str, Any], run: str, words: str, template: dict[str, Any]
) -> None:
    with pytest.raises(UserError) as refused:
        request_arguments(config(**settings), run, template)
    assert words in str(refused.value)


def test_all_problems_are_told_at_once(template: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        request_arguments(config(source="/data/fly", labels={"a": "b c"}), "/out", template)
    assert str(refused.value).count("\n  - ") == 3


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("grant", "x", ""),
        ("lab.example/grant", "", ""),
        (f"{'d' * 63}.example/{'n' * 63}", "v" * 63, ""),
        (CONTROLLER, "team", ""),
        (CONTROLLER, "a b", "value"),
        ("grant", "v" * 64, "value"),
        ("grant", "-x", "value"),
        ("n" * 64, "x", "name"),
        ("x/" + "n" * 64, "x", "name"),
        ("Lab/grant", "x", "name"),
        ("/grant", "x", "name"),
        ("app.kubernetes.io/name", "mine", "name"),
        ("clio-argo/current", "true", "name"),
        ("workflows.argoproj.io/phase", "Failed", "name"),
    ],
)
def test_labels_follow_the_rules_of_kubernetes_and_hide_nothing(name: str, value: str, wrong: str) -> None:
    told = label_problems("-l ", {name: value})
    refused = {"name": name, "value": value}
    assert [t.partition(" of a label")[0] for t in told] == (
        [f"-l {name}: {refused[wrong]!r} is not a {wrong}"] if wrong else []
    )


def test_folders_that_the_template_mounts_can_be_used(template: dict[str, Any]) -> None:
    mounted = mounting(template, "/data")
    sound = config(source="/data/fly", positions="/data/stage.csv", overrides="gs://bucket/o.yaml")
    assert request_arguments(sound, "file:///data/out", mounted)["run"] == "file:///data/out"
    with pytest.raises(UserError, match="/database"):
        request_arguments(config(source="/database/fly"), RUN, mounted)


def test_arguments_are_checked_as_argo_does_not(template: dict[str, Any]) -> None:
    assert override(template, {"minz": "3", "skip_align": ""}) == {"minz": "3", "skip_align": ""}
    with pytest.raises(UserError) as refused:
        override(template, {"minx": "3", "skip_align": "maybe", "run": RUN, "id": "{{x}}"})
    told = str(refused.value)
    for words in (
        "-p minx: the template has no such argument; it has minz",
        "-p skip_align=maybe",
        "-p run",
        "-p id: holds '{{'",
    ):
        assert words in told


def test_a_workflow_refers_to_the_template_and_holds_nothing_else(template: dict[str, Any]) -> None:
    made = workflow(template["metadata"]["name"], {"run": RUN}, {"generateName": "fly-"}, {"grant": "x"})
    assert set(made["spec"]) == {"workflowTemplateRef", "arguments"}
    assert made["spec"]["workflowTemplateRef"]["name"] == template["metadata"]["name"]
    assert made["metadata"]["labels"] == {"app.kubernetes.io/name": "clio-argo", "grant": "x"}


def test_names_that_no_label_holds_are_refused() -> None:
    for key, most in (("name", 63), ("generateName", 58)):
        workflow("t", {}, {key: "x" * most}, {})
        with pytest.raises(UserError, match=f"has {most + 1} characters: give one of at most {most}, with --"):
            workflow("t", {}, {key: "x" * (most + 1)}, {})


def test_a_workflow_is_repeated_with_its_arguments_and_own_labels() -> None:
    made = workflow("t", {"run": RUN, "config": "{}"}, {"generateName": "fly-"}, {"grant": "x"})
    made["metadata"] |= {
        "name": "fly-1",
        "labels": {**made["metadata"]["labels"], "workflows.argoproj.io/phase": "Failed", CONTROLLER: "team"},
    }
    repeated = again(made, "t2")
    assert repeated["spec"]["arguments"] == made["spec"]["arguments"]
    assert repeated["spec"]["workflowTemplateRef"] == {"name": "t2"}
    assert repeated["metadata"]["labels"] == {
        "app.kubernetes.io/name": "clio-argo",
        "grant": "x",
        CONTROLLER: "team",
        "workflows.argoproj.io/resubmitted-from-workflow": "fly-1",
    }


@pytest.mark.parametrize(
    ("name", "begin"), [("Fly 3.2", "fly-3-2-"), ("größe", "gr-e-"), ("___", "clio-"), ("x" * 200, "x" * 40 + "-")]
)
def test_names_follow_the_rules_of_kubernetes(name: str, begin: str) -> None:
    assert prefix(name) == begin
