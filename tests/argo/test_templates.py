"""Which template is followed, and which ones are pruned."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pytest

from clio_argo.argo import ClusterSettings
from clio_argo.argo.faults import NotFound
from clio_argo.argo.manifests import templates
from clio_argo.argo.templates import choose, continuing, reference, relies_on, successor, unused
from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE


@dataclass(frozen=True)
class Templates:
    """The part of a client that knows templates."""

    namespace: str
    found: list[dict[str, Any]]

    def templates(self, selector: str) -> list[dict[str, Any]]:
        return self.found


def template(
    name: str,
    version: str = version("clio-argo"),
    current: bool = False,
    stands_for: str = "",
    release: str = "",
    made: str = "",
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/version": version, **({"clio-argo/current": "true"} if current else {})}
    labels |= {"app.kubernetes.io/instance": release} if release else {}
    annotations = {"clio-argo/template": stands_for} if stands_for else None
    return {"metadata": {"name": name, "labels": labels, "annotations": annotations, "creationTimestamp": made}}


def naming(made: dict[str, Any], account: str, **spec: Any) -> dict[str, Any]:
    """A template whose pods run as an account."""
    return {**made, "spec": {"serviceAccountName": account, "templates": [], **spec}}


def workflow(of: str, phase: str) -> dict[str, Any]:
    return {"spec": {"workflowTemplateRef": {"name": of}}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "words"), [([], "clio-argo install -n em"), ([template("a", "0.0.1")], "a is of version 0.0.1")]
)
def test_the_template_must_be_there_and_of_this_version(found: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(found, "em")


def test_of_the_emitted_templates_the_current_one_stands_for_the_other() -> None:
    kept, followed = templates(PIPELINE, ClusterSettings())
    assert "clio-argo/current" not in kept["metadata"]["labels"]
    assert choose([followed], "em") == followed
    assert reference(followed) == reference(kept) == kept["metadata"]["name"]
    assert followed["spec"] == kept["spec"]


def test_a_second_release_changes_nothing_for_who_names_none() -> None:
    first, second = (
        template("z", stands_for="z1", release="z", made="1"),
        template("a", stands_for="a1", release="a", made="2"),
    )
    for found in ([first, second], [second, first]):
        assert choose(found, "em") == first
        assert choose(found, "em", "a") == second
    with pytest.raises(NotFound, match="namespace em has no release b; it has: z, a"):
        choose([first, second], "em", "b")


def test_a_template_that_was_left_current_by_hand_is_not_followed() -> None:
    left, followed = (
        template("clio-argo-1", made="1"),
        template("clio-argo", stands_for="x", release="clio-argo", made="2"),
    )
    assert choose([left, followed], "em") == followed


def test_a_workflow_runs_again_with_the_template_of_its_release() -> None:
    first, second = (
        template("z", stands_for="z1", release="z", made="1"),
        template("a", stands_for="a1", release="a", made="2"),
    )
    client = Templates("em", [first, second])
    for release, name in (("a", "a"), ("gone", "z"), ("", "z")):
        earlier = {"metadata": {"labels": {"app.kubernetes.io/instance": release} if release else {}}}
        assert successor(client, earlier)["metadata"]["name"] == name


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
    assert continuing("old", [*left, new], version("clio-argo")) == "kept"
    with pytest.raises(UserError, match="resubmit"):
        continuing("old", [*left, new], "0.9")


def test_all_that_pods_cannot_start_without_is_compared() -> None:
    volumes = [{"name": "keys", "secret": {"secretName": "s3"}}, {"persistentVolumeClaim": {"claimName": "slices"}}]
    made = naming(
        template("t"), "worker", executor={"serviceAccountName": "executor"}, podPriorityClassName="high",
        volumes=volumes, templates=[{"serviceAccountName": "notifier", "container": {}}, {}],
        imagePullSecrets=[{"name": "pull"}],
    )  # fmt: skip
    assert relies_on(made) == {
        "account worker", "account executor", "account notifier", "priority class high", "claim slices",
        "secret s3", "secret pull", "secret executor.service-account-token",
    }  # fmt: skip
