"""Which template is followed, and which ones are pruned."""

from typing import Any

import pytest

from clio_argo.argo.templates import choose, continuing, named, reference, unused
from clio_argo.argo.workflow import workflow_template
from clio_argo.errors import UserError


def template(name: str, version: str = "1", current: bool = False, stands_for: str = "") -> dict[str, Any]:
    labels = {"app.kubernetes.io/version": version, **({"clio-argo/current": "true"} if current else {})}
    annotations = {"clio-argo/template": stands_for} if stands_for else None
    return {"metadata": {"name": name, "labels": labels, "annotations": annotations}}


def naming(made: dict[str, Any], account: str, **spec: Any) -> dict[str, Any]:
    """A template whose pods run as an account."""
    return {**made, "spec": {"serviceAccountName": account, "templates": [], **spec}}


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


def test_a_failed_workflow_goes_on_with_its_own_template_while_that_can_work() -> None:
    old, new = naming(template("old"), "worker"), naming(template("new", current=True), "worker")
    assert continuing("old", [old, new], "1") == "old"
    assert continuing("old", [old], "1") == "old", "nobody knows what the installation has"


@pytest.mark.parametrize("left", [[], [naming(template("old"), "former")]], ids=["pruned", "another account"])
def test_a_mended_installation_continues_what_failed_before(left: list[dict[str, Any]]) -> None:
    new = naming(template("clio-argo", current=True, stands_for="kept"), "worker")
    assert continuing("old", [*left, new], "1") == "kept"
    with pytest.raises(UserError, match="resubmit"):
        continuing("old", [*left, new], "0.9")


def test_all_that_pods_cannot_start_without_is_compared() -> None:
    volumes = [{"name": "keys", "secret": {"secretName": "s3"}}, {"persistentVolumeClaim": {"claimName": "slices"}}]
    made = naming(
        template("t"), "worker", executor={"serviceAccountName": "executor"}, podPriorityClassName="high",
        volumes=volumes, templates=[{"serviceAccountName": "notifier"}, {}],
    )  # fmt: skip
    assert named(made) == {
        "account worker", "account executor", "account notifier", "priority class high", "secret s3", "claim slices",
    }  # fmt: skip
