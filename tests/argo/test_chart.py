"""The chart: what it renders is what the library emits from the same settings."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.argo.chart import OWN_VALUES, values_schema, write_chart
from clio_argo.argo.manifests import manifests

CHART = Path(__file__).parents[2] / "helm" / "clio-argo"
CRD = "argoproj.io/v1alpha1/WorkflowTemplate"
NEEDED = ("--kube-version", "1.34", "--api-versions", CRD)
DIGEST = "sha256:" + "a" * 64
CHANGED: dict[str, Any] = {
    "images": {"align": {"repository": "registry.example/align", "tag": "1.2"}, "write": {"digest": DIGEST}},
    "imagePullPolicy": "Never",
    "imagePullSecrets": ["pull"],
    "accounts": {"worker": {"name": "w"}, "executor": {"name": "e"}},
    "uid": 1000,
    "workers": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
    "others": {"nodeSelector": {"c": "d"}},
    "workerAnnotations": {"z": "y"},
    "priorityClass": "high",
    "parallelism": 7,
    "cpu": "100m",
    "memoryMaxMib": 2048,
    "tmpSize": "1Gi",
    "env": {"A": "1", "B": "2"},
    "volumes": [{"name": "v", "mountPath": "/v", "readOnly": True, "source": {"hostPath": {"path": "/v"}}}],
    "labels": {"team": "em"},
    "retries": {"limit": 2, "wait": "1s", "longest": "1m"},
    "stepTimeout": "1h",
    "deadlineHours": 5,
    "cleanup": {"podDelay": "5s", "successDays": 1, "failureDays": 2},
    "artifacts": {"kind": "gcs", "bucket": "b", "prefix": "p"},
    "notificationSecret": "secret",
    "registrationSecret": "token",
    "approval": {"default": "ask", "wait": "1h", "otherwise": "approve"},
}
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not in PATH")


def helm(values: dict[str, Any], *options: str) -> "subprocess.CompletedProcess[str]":
    command = ["helm", "template", "clio-argo", str(CHART), "--values", "-", *options]
    return subprocess.run(command, input=yaml.safe_dump(values), text=True, capture_output=True, check=False)


def rendered(values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Documents by kind and name."""
    done = helm(values, *NEEDED)
    assert done.returncode == 0, done.stderr
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout) if d}


def settings(values: dict[str, Any]) -> ClusterSettings:
    """The same values for the library, over the chart's defaults."""
    merged = _over(yaml.safe_load((CHART / "values.yaml").read_text()), values)
    return ClusterSettings.model_validate({k: v for k, v in merged.items() if k not in OWN_VALUES})


def _over(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    both = {k: _over(base[k], v) for k, v in values.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return {**base, **values, **both}


@needs_helm
@pytest.mark.parametrize(
    "values",
    [{}, CHANGED, {"artifacts": None}, {"artifacts": {"kind": "s3"}}],
    ids=["defaults", "all", "no artifacts", "s3"],
)
def test_chart_and_library_agree(values: dict[str, Any]) -> None:
    emitted = workflow_template(cluster=settings(values)).to_dict()["spec"]
    assert rendered(values)["WorkflowTemplate", "clio-argo"]["spec"] == emitted


def test_every_setting_is_a_value_with_the_same_default() -> None:
    assert settings({}) == ClusterSettings()
    known = set(values_schema()["properties"]) - {"global"}
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) == known
    assert set(CHANGED) == known - set(OWN_VALUES) - {"requireDigests"}


def test_values_fit_their_schema() -> None:
    import jsonschema  # takes two seconds

    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), values_schema())


def test_values_for_gke_are_the_preset() -> None:
    ours = settings(yaml.safe_load((CHART / "ci" / "gke-values.yaml").read_text()))
    preset = ClusterSettings.gke(images=ours.images, accounts=ours.accounts)
    assert ours == preset


def test_generated_files_are_current(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    write_chart(tmp_path)
    for file in ("values.schema.json", "files/access.yaml", "files/workflowtemplate.yaml"):
        assert (tmp_path / file).read_text() == (CHART / file).read_text(), f"{file}: run `make docs`"


@needs_helm
def test_one_template_is_followed_and_names_the_kept_one() -> None:
    found = [d for (kind, _), d in rendered({}).items() if kind == "WorkflowTemplate"]
    followed = [d for d in found if d["metadata"]["labels"].get("clio-argo/current") == "true"]
    kept = [d for d in found if "helm.sh/resource-policy" in d["metadata"]["annotations"]]
    assert [d["metadata"]["annotations"]["clio-argo/template"] for d in followed] == [
        d["metadata"]["name"] for d in kept
    ]


@needs_helm
def test_another_specification_has_another_name() -> None:
    names = {
        d["metadata"]["annotations"]["clio-argo/template"]
        for values in ({}, {"parallelism": 7})
        for d in [rendered(values)["WorkflowTemplate", "clio-argo"]]
    }
    assert len(names) == 2


@needs_helm
@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, NEEDED[:2], "this cluster has no Argo Workflows"),
        ({"requireDigests": True}, NEEDED, "has no digest"),
        ({"paralelism": 1}, NEEDED, "paralelism"),
        ({"artifacts": {"kind": "s3", "bucket": "b"}}, NEEDED, "artifacts/bucket"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], options: tuple[str, ...], message: str) -> None:
    done = helm(values, *options)
    assert done.returncode != 0
    assert message in done.stderr


@needs_helm
@pytest.mark.parametrize("file", sorted((CHART / "ci").glob("*.yaml")), ids=lambda f: f.name)
def test_ci_values_render(file: Path) -> None:
    assert rendered(yaml.safe_load(file.read_text()))


@needs_helm
def test_names_can_be_overridden() -> None:
    # accounts have names of their own, and Argo looks for the token under that of its account
    own = ("ServiceAccount", "Secret")
    kinds = {name for kind, name in rendered({"fullnameOverride": "em"}) if kind not in own}
    assert all(name.startswith("em") for name in kinds)


@needs_helm
def test_the_chart_installs_what_the_manifests_hold() -> None:
    plain = [o for objects in manifests().values() for o in objects]
    ours = rendered({})
    for document in plain:
        kind, name = document["kind"], document["metadata"]["name"]
        held = {"rules", "spec", "roleRef", "type", "automountServiceAccountToken"} & document.keys()
        if kind != "WorkflowTemplate":
            assert {k: ours[kind, name][k] for k in held} == {k: document[k] for k in held}
