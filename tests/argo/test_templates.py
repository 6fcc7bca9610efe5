"""Which template is followed, and which ones are pruned."""

from typing import Any

import pytest

from clio_argo.argo.templates import choose, reference, unused
from clio_argo.argo.workflow import workflow_template
from clio_argo.errors import UserError


def template(name: str, version: str = "1", current: bool = False, stands_for: str = "") -> dict[str, Any]:
    labels = {"app.kubernetes.io/version": version, **({"clio-argo/current": "true"} if current else {})}
    annotations = {"clio-argo/template": stands_for} if stands_for else None
    return {"metadata": {"name": name, "labels": labels, "annotations": annotations}}


def workflow(of: str, phase: str) -> dict[str, Any]:
    return {"spec": {"workflowTemplateRef": {"name": of}}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "clio-argo install -n em"),
        ([template("b"), template("a")], "--template: a, b"),
        ([template("a", "0.0.1")], "a is of version 0.0.1"),
    ],
)
def test_the_template_must_be_there_alone_and_of_this_version(found: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(found, "em")


def test_the_emitted_template_is_of_this_version() -> None:
    emitted = dict(workflow_template().to_dict())
    assert choose([emitted], "em") == emitted
    assert reference(emitted) == emitted["metadata"]["name"]


def test_a_workflow_refers_to_what_a_current_template_stands_for() -> None:
    assert reference(template("clio-argo", stands_for="clio-argo-1-x")) == "clio-argo-1-x"


def test_what_runs_and_what_is_current_is_not_pruned() -> None:
    kept = [
        template("clio-argo", current=True, stands_for="new"),
        template("new"),
        template("running"),
        template("waits"),
    ]
    workflows = [
        workflow("running", "Running"),
        workflow("waits", ""),
        workflow("old", "Failed"),
        workflow("older", "Succeeded"),
    ]
    assert unused([*kept, template("old"), template("older")], workflows) == ["old", "older"]
    assert unused([*kept, template("old")], []) == ["old", "running", "waits"]
