"""What is emitted, as people and the controller see it."""

import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from clio_argo.argo import ClusterSettings, finalize, volume_stage, workflow_template
from clio_argo.argo.parameters import FIELDS
from clio_argo.errors import UserError
from clio_argo.model.base import canonical_json
from clio_argo.model.parse_request import LEGACY, field_paths
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE, Step


def emitted(**settings: Any) -> dict[str, Any]:
    return dict(workflow_template(PIPELINE, ClusterSettings(**settings)).to_dict())


def templates(document: dict[str, Any]) -> dict[str, Any]:
    return {t["name"]: t for t in document["spec"]["templates"]}


def test_every_step_is_one_container_that_runs_its_part() -> None:
    made = templates(emitted())
    for step in (*PIPELINE.all_steps, *PIPELINE.joined_steps):
        container = made[step.name]["container"]
        assert [*container["command"], *container["args"]] == [
            "clio-argo-step", step.name, "--run", "$(CLIO_RUN)", "--part=$(CLIO_PART)",
        ]  # fmt: skip


def test_variables_that_templates_set_are_reserved() -> None:
    made = templates(emitted()).values()
    for name in {e["name"] for t in made if "container" in t for e in t["container"]["env"]}:
        with pytest.raises(ValidationError, match="leaves free"):
            ClusterSettings(env={name: "x"})


def test_the_same_settings_give_the_same_document() -> None:
    assert workflow_template().to_yaml() == workflow_template().to_yaml()


def test_another_specification_is_another_template() -> None:
    names = {emitted(parallelism=n)["metadata"]["name"] for n in (100, 101)}
    assert len(names) == 2


def test_a_step_of_ones_own_is_added_in_one_place() -> None:
    own = Step("segment", after=("verify",), image="registry.example/segment:1.2", command=("segment", "$(CLIO_RUN)"))
    made = templates(dict(workflow_template(PIPELINE.with_step(own)).to_dict()))
    assert made["segment"]["container"]["command"] == ["segment", "$(CLIO_RUN)"]
    assert made["segment"]["container"]["image"] == "registry.example/segment:1.2"
    assert [t["depends"] for t in made["parts"]["dag"]["tasks"] if t["name"] == "segment"] == ["verify"]


@pytest.mark.properties
def test_emitting_loads_no_image_library() -> None:
    code = "import sys; from clio_argo.argo import workflow_template; workflow_template(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "hera" in loaded
    assert not {"cv2", "tensorstore", "numpy", "scipy", "kubernetes"} & set(loaded)


def test_the_form_shows_ten_settings_with_what_they_mean() -> None:
    parameters = {p["name"]: p for p in emitted()["spec"]["arguments"]["parameters"]}
    fields = {n: p for n, p in parameters.items() if n in FIELDS}
    assert len(fields) == 10
    assert all(p["value"] == "" and p["description"] for p in fields.values())
    assert fields["skip_align"]["enum"] == ["", "false", "true"]
    assert set(FIELDS) <= {*field_paths(), *LEGACY}


def test_the_form_asks_first_for_what_every_person_fills_in() -> None:
    names = [p["name"] for p in emitted()["spec"]["arguments"]["parameters"]]
    assert names[:7] == ["source", "run", "id", "image", "minz", "maxz", "resolution"]
    assert names[-1] == "config"


def test_the_ui_shows_what_a_template_does_and_which_revision_it_is() -> None:
    metadata = emitted()["metadata"]
    assert metadata["annotations"]["workflows.argoproj.io/title"] == (
        f"Align slices into a volume (revision {metadata['name']})"
    )
    assert "Fill in source and run" in metadata["annotations"]["workflows.argoproj.io/description"]


def test_the_document_does_not_grow_with_the_stack() -> None:
    assert len(canonical_json(emitted())) < 64_000


def test_tries_are_counted_and_not_timed() -> None:
    """A part that waited an hour for its node is tried again as often as any other."""
    made = templates(emitted(retries={"limit": 3, "wait": "2s", "longest": "1m"}))
    endless = made["follow"]["retryStrategy"]
    assert ("limit" in endless, endless["backoff"]) == (False, {"duration": "2s", "factor": 1, "cap": "1m"})
    for tries in (made[step.name]["retryStrategy"] for step in PIPELINE.all_steps if not step.endless):
        assert (tries["limit"], tries["backoff"]) == ("3", {"duration": "2s", "factor": 2, "cap": "1m"})


def test_the_request_is_kept_so_that_a_wrong_place_for_artifacts_ends_the_first_step() -> None:
    kept = {n: [a["name"] for a in t.get("outputs", {}).get("artifacts", [])] for n, t in templates(emitted()).items()}
    assert {n: names for n, names in kept.items() if names} == {
        "plan": ["request"], "follow": ["request"], "solve": ["report"], "publish": ["report"],
        **{joined: ["report"] for joined in ("all", "reduce-solve", "render-publish")},
    }  # fmt: skip


def test_a_bucket_of_s3_without_its_endpoint_is_refused_with_the_reason() -> None:
    with pytest.raises(ValidationError, match="its endpoint and keys stand in the controller's artifact repository"):
        ClusterSettings(artifacts={"kind": "s3", "bucket": "b"})


def test_where_no_pod_can_start_the_last_one_does_not_wait_long() -> None:
    made = templates(emitted(step_timeout="3h"))
    limits = {n: t.get("timeout") for n, t in made.items() if "container" in t}
    assert {n: limit for n, limit in limits.items() if limit != "3h"} == {"notify": "10m", "follow": None}


def test_what_follows_a_stack_comes_before_all_that_others_do() -> None:
    made = templates(emitted())
    usual, followed = ({t["name"]: t for t in made[name]["dag"]["tasks"]} for name in ("main", "followed"))
    assert followed.pop("follow") == {**followed.get("follow", {}), "name": "follow", "template": "follow",
                                      "arguments": {"parameters": [{"name": "part", "value": "0"},
                                                                   {"name": "mib", "value": "3072"}]}}  # fmt: skip
    assert followed["plan"].pop("depends") == "follow"
    assert followed == usual


def test_a_person_who_rejects_stops_all_that_comes_after() -> None:
    tasks = {t["name"]: t for t in templates(emitted())["parts"]["dag"]["tasks"]}
    condition = "'{{tasks.ask.outputs.parameters.reason}}' =~ '^approve'"
    assert {n for n, t in tasks.items() if t.get("when") == condition} == PIPELINE.after("solve")
    assert "when" not in tasks["ask"]


def test_argos_dialog_asks_for_the_decision_only_and_resuming_is_no_rejection() -> None:
    waiting = templates(emitted())["decide"]
    (asked,) = waiting["inputs"]["parameters"]
    assert (asked["name"], asked["value"], asked["enum"]) == ("decision", "approve", ["approve", "reject"])
    (said,) = waiting["outputs"]["parameters"]
    # what both a resumed node and one whose time is over say; the graph around it tells them apart
    assert said["valueFrom"] == {"supplied": {}, "default": "none"}
    outputs = {o["name"]: o for o in templates(emitted())["ask"]["outputs"]["parameters"]}
    assert outputs["decision"]["globalName"] == "decision"
    assert "finishedAt" in outputs["decision"]["valueFrom"]["expression"]


def test_a_template_that_was_changed_is_another_one_and_checked_as_well() -> None:
    template = workflow_template()
    assert finalize(template).to_dict() == template.to_dict()
    template.parallelism = 7
    changed = finalize(template)
    assert changed.name not in (template.name, None)
    assert changed.name in str(changed.annotations)
    template.entrypoint = "nowhere"
    with pytest.raises(UserError, match="there is no template nowhere"):
        finalize(template)


def test_a_stage_carries_its_request_and_reads_only_its_inputs() -> None:
    made = volume_stage(Request(id="fly", source="x", contrast={"clip_limit": 0}))
    inner = yaml.safe_load(made.manifest)
    given = {p["name"]: p["value"] for p in inner["spec"]["arguments"]["parameters"]}
    assert json.loads(given["config"])["contrast"]["clip_limit"] == 0
    assert (given["source"], given["run"]) == ("{{inputs.parameters.source}}", "{{inputs.parameters.run}}")
    assert inner["spec"]["workflowTemplateRef"] == {"name": "clio-argo"}
    with pytest.raises(UserError, match="labels"):
        volume_stage(Request(id="fly", source="x", labels={"a": "{{workflow.name}}"}))
