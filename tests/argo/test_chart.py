"""The chart: what it renders is what the library emits from the same settings, and both refuse the same ones."""

import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.argo.chart import OWN_VALUES, values_schema, write_chart
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import CHART_ONLY
from clio_argo.cli.cluster_admin import cluster_settings
from clio_argo.errors import UserError

CHART = Path(__file__).parents[2] / "helm" / "clio-argo"
CRD = "argoproj.io/v1alpha1/WorkflowTemplate"
NEEDED = ("--kube-version", "1.34", "--api-versions", CRD)
DIGEST = "sha256:" + "a" * 64
AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}]
    }
}
CHANGED: dict[str, Any] = {
    "global": {"imageRegistry": "mirror.example:5000", "another chart's": 1},
    "images": {
        "align": {"registry": "r.example", "repository": "a/align", "tag": "1.2", "pullPolicy": "Always"},
        "write": {"digest": DIGEST},
    },
    "imagePullPolicy": "Never",
    "imagePullSecrets": [{"name": "pull"}],
    "accounts": {
        "worker": {"name": "w", "annotations": {"a": "b"}},
        "executor": {"name": "e"},
        "notifier": {"create": False},
    },
    "uid": 1000,
    "podSecurityContext": {"fsGroupChangePolicy": "OnRootMismatch", "supplementalGroups": [7]},
    "podAnnotations": {"sidecar.istio.io/inject": "false"},
    "workers": {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"clio-argo/step": "match"}},
            }
        ],
    },
    "others": {"nodeSelector": {"c": "d"}, "affinity": {"nodeAffinity": AFFINITY}},
    "workerAnnotations": {"z": "y"},
    "priorityClass": "high",
    "parallelism": 7,
    "cpu": "100m",
    "memoryMaxMib": 2048,
    "tmpSize": "1Gi",
    "env": {"A": "1", "B": "2"},
    "volumes": [{"name": "v", "mountPath": "/v", "readOnly": True, "source": {"hostPath": {"path": "/v"}}}],
    "labels": {"team": "em"},
    "networkPolicy": {"ports": [443, 9000], "extraEgress": [{"to": [{"namespaceSelector": {}}]}]},
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


def helm(values: dict[str, Any], *options: str, release: str = "clio-argo") -> "subprocess.CompletedProcess[str]":
    command = ["helm", "template", release, str(CHART), "--values", "-", *options]
    return subprocess.run(command, input=yaml.safe_dump(values), text=True, capture_output=True, check=False)


def rendered(values: dict[str, Any], release: str = "clio-argo") -> dict[tuple[str, str], Any]:
    """Documents by kind and name."""
    done = helm(values, *NEEDED, release=release)
    assert done.returncode == 0, done.stderr
    return {(d["kind"], d["metadata"]["name"]): d for d in yaml.safe_load_all(done.stdout) if d}


def settings(values: dict[str, Any]) -> ClusterSettings:
    """The same values for the library."""
    return ClusterSettings.model_validate({k: v for k, v in values.items() if k not in CHART_ONLY})


def default_values() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text()))


@needs_helm
@pytest.mark.parametrize(
    "values",
    [{}, CHANGED, {"artifacts": None}, {"artifacts": {"kind": "s3"}}, {"uid": "platform"}],
    ids=["defaults", "all", "no artifacts", "s3", "OpenShift"],
)
def test_chart_and_library_agree(values: dict[str, Any]) -> None:
    emitted = workflow_template(cluster=settings(values)).to_dict()["spec"]
    assert rendered(values)["WorkflowTemplate", "clio-argo"]["spec"] == emitted


def test_every_setting_is_a_value_with_the_same_default() -> None:
    assert settings(default_values()) == ClusterSettings()
    known = set(values_schema()["properties"])
    assert set(default_values()) == known
    assert set(OWN_VALUES) == set(CHART_ONLY)
    assert set(CHANGED) == known - set(OWN_VALUES) - {"requireDigests", "fullnameOverride"}


def test_values_fit_their_schema() -> None:
    import jsonschema  # takes two seconds

    jsonschema.validate(default_values(), values_schema())


def test_values_for_gke_are_the_preset() -> None:
    ours = settings(yaml.safe_load((CHART / "ci" / "gke-values.yaml").read_text()))
    preset = ClusterSettings.gke(images=ours.images, accounts=ours.accounts)
    assert ours == preset


def test_generated_files_are_current(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    about = (CHART / "Chart.yaml").read_text().replace(f"ersion: {version('clio-argo')}", "ersion: 0.0.1")
    (tmp_path / "Chart.yaml").write_text(about)
    write_chart(tmp_path, (CHART / "values.yaml").read_text())
    for file in ("Chart.yaml", "README.md", "values.schema.json", "files/access.yaml", "files/workflowtemplate.yaml"):
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
        # in helm null removes a default
        ({"uid": None}, NEEDED, "missing property 'uid'"),
        ({"workers": {"tolerations": None}}, NEEDED, "missing property 'tolerations'"),
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
@pytest.mark.parametrize(
    "values",
    [{}, CHANGED, {"networkPolicy": {"enabled": False}, "accounts": {"executor": {"create": False}}}],
    ids=["plain", "all", "no policy, no token"],
)
def test_the_chart_installs_what_the_manifests_hold(values: dict[str, Any]) -> None:
    plain = [o for objects in manifests(cluster=settings(values)).values() for o in objects]
    ours = rendered(values)
    assert len(ours) == len(plain) + 1, "all but the pod of helm test"
    for document in plain:
        kind, name = document["kind"], document["metadata"]["name"]
        held = {"rules", "spec", "roleRef", "type", "automountServiceAccountToken"} & document.keys()
        if kind != "WorkflowTemplate":
            assert {k: ours[kind, name][k] for k in held} == {k: document[k] for k in held}
            assert [s["name"] for s in ours[kind, name].get("subjects", [])] == [
                s["name"] for s in document.get("subjects", [])
            ]


# what cannot work, and a word of what the library says to it
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"images": {"align": {"tag": "latest"}}}, "latest"),
    ({"images": {"align": {"digest": "sha256:12"}}}, "digest"),
    ({"images": {"align": {"registry": "registry.example/em/"}}}, "a slash at its end"),
    ({"images": {"align": {"repository": ""}}}, "a name of an image"),
    ({"images": {"align": {"repository": "registry.example/align:1"}}}, "without a tag"),
    ({"global": {"imageRegistry": "https://registry.example"}}, "without https://"),
    ({"global": {"imageRegistry": "registry.example//em"}}, "a registry HOST"),
    ({"uid": 0}, "uid"),
    ({"uid": "openshift"}, "uid"),
    ({"env": {"CLIO_RUN": "x"}}, "env"),
    ({"env": {"ARGO_NODE_ID": "x"}}, "env"),
    ({"volumes": [{"name": "tmp", "mountPath": "/x", "source": {"emptyDir": {}}}]}, "name of a volume"),
    ({"volumes": [{"name": "x", "mountPath": "/tmp/x", "source": {"emptyDir": {}}}]}, "mountPath"),
    ({"volumes": [{"name": "x", "mountPath": "/x", "source": {"emptyDirr": {}}}]}, "not a valid Volume"),
    ({"accounts": {"worker": {"name": "Bad_Name"}}}, "Kubernetes name"),
    ({"priorityClass": "a..b"}, "Kubernetes name"),
    ({"fullnameOverride": "a.b"}, "name of a release"),
    ({"labels": {"app.kubernetes.io/name": "x"}}, "name of a label"),
    ({"labels": {"team": "-"}}, "value of a label"),
    ({"imagePullSecrets": ["pull"]}, "imagePullSecrets"),
    ({"workers": {"affinity": {"nodeAffinityy": {}}}}, "not a valid Affinity"),
    ({"podSecurityContext": {"runAsUserr": 1}}, "not a valid PodSecurityContext"),
    ({"retries": {"wait": "1d"}}, "no days"),
    ({"networkPolicy": {"ports": [0]}}, "networkPolicy"),
]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_library_and_schema_of_the_chart_refuse_the_same(values: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=words):
        workflow_template(cluster=cluster_settings(file))
    if shutil.which("helm"):
        done = helm(values, *NEEDED)
        assert done.returncode != 0
        assert "don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize("file", [CHART / "values.yaml", *sorted((CHART / "ci").glob("*.yaml"))], ids=lambda f: f.name)
def test_files_of_the_chart_are_settings(file: Path) -> None:
    read = cluster_settings(file)
    assert set(read.images) == {"align", "write"}
    assert read.account("worker") == "clio-argo-worker"


@needs_helm
def test_a_second_release_has_names_and_pods_of_its_own() -> None:
    first, second = rendered({}), rendered({}, release="em")
    assert not first.keys() & second.keys()
    assert {name.partition(".")[0] for _, name in second if not name.startswith("em-clio-argo")} == set()
    policy = second["NetworkPolicy", "em-clio-argo"]["spec"]["podSelector"]["matchLabels"]
    template = second["WorkflowTemplate", "em-clio-argo"]
    assert policy.items() <= template["spec"]["podMetadata"]["labels"].items()
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "em"
    # the library's of that name are the same
    named = [
        o for objects in manifests(cluster=ClusterSettings(fullname_override="em-clio-argo")).values() for o in objects
    ]
    kinds = {(o["kind"], o["metadata"]["name"]) for o in named if o["kind"] != "WorkflowTemplate"}
    assert kinds <= second.keys()


@needs_helm
def test_objects_of_ones_own_are_templates() -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-own"}}
    found = rendered({"extraObjects": [one, yaml.safe_dump({**one, "kind": "Secret"})]}, release="em")
    assert {("ConfigMap", "em-own"), ("Secret", "em-own")} <= found.keys()


@needs_helm
def test_argo_cd_neither_prunes_nor_misses_a_kept_template() -> None:
    """It renders as `helm template` does, without `lookup`, and would delete what a later revision does not hold."""
    kept = [d for (kind, _), d in rendered({}).items() if kind == "WorkflowTemplate"]
    [notes] = [d["metadata"]["annotations"] for d in kept if "clio-argo/current" not in d["metadata"]["labels"]]
    asked = {
        "helm.sh/resource-policy": "keep",
        "argocd.argoproj.io/sync-options": "Prune=false",
        "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
    }
    assert notes == {**notes, **asked}


@needs_helm
def test_the_pod_of_helm_test_is_as_those_of_the_steps() -> None:
    found = rendered(CHANGED)
    pod, spec = found["Pod", "clio-argo-doctor"]["spec"], found["WorkflowTemplate", "clio-argo"]["spec"]
    assert pod["securityContext"] == spec["securityContext"]
    assert pod["priorityClassName"] == spec["podPriorityClassName"]
    assert pod["imagePullSecrets"] == spec["imagePullSecrets"]
    assert {v["name"] for v in pod["volumes"]} == {v["name"] for v in spec["volumes"]}
    assert pod["affinity"] == CHANGED["others"]["affinity"]
    assert pod["serviceAccountName"] == spec["serviceAccountName"] == "w"


ALIGN, WRITE = ({"images": {name: {"tag": "1.0"}}} for name in ("align", "write"))


@needs_helm
@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({}, "clio-argo-align and clio-argo-write"),
        (ALIGN, "clio-argo-write"),
        (WRITE, "clio-argo-align"),
        ({"images": {**ALIGN["images"], **WRITE["images"]}}, ""),
        ({"imagePullPolicy": "Never"}, ""),
        ({"global": {"imageRegistry": "mirror.example"}}, ""),
        ({"global": {"imageRegistry": ""}}, "clio-argo-align and clio-argo-write"),
        ({"images": {"align": {"registry": "r.example"}, "write": {"repository": "r.example/write"}}}, ""),
        ({"images": {name: {"digest": DIGEST} for name in ("align", "write")}}, ""),
    ],
    ids=[
        "defaults",
        "tag of align",
        "tag of write",
        "tags",
        "in the nodes",
        "mirror",
        "no mirror",
        "registries",
        "digests",
    ],
)
def test_images_that_no_node_can_pull_are_told_by_helm_test(values: dict[str, Any], lost: str) -> None:
    [container] = rendered(values)["Pod", "clio-argo-doctor"]["spec"]["containers"]
    told = container["image"].startswith(" no registry is set for ")
    assert told == bool(lost)
    them = "them" if " and " in lost else "it"
    assert not lost or f" {lost}, so no node can pull {them}: helm upgrade" in container["image"]


def test_every_value_has_a_comment_in_the_readme() -> None:
    listed = {line.split("`")[1] for line in (CHART / "README.md").read_text().splitlines() if line.startswith("| `")}

    def leaves(values: dict[str, Any], at: str) -> set[str]:
        own = {f"{at}{k}" for k, v in values.items() if not (isinstance(v, dict) and v)}
        return own.union(*(leaves(v, f"{at}{k}.") for k, v in values.items() if isinstance(v, dict) and v))

    assert leaves(default_values(), "") <= listed
