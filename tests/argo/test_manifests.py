"""Every emitted document, compared with the one that was looked at, and with the schemas of those who read it.

CLIO_UPDATE_GOLDEN=1 writes the golden files anew; look at the difference.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows.models import WorkflowTemplate

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.argo.manifests import manifests, write_manifests
from clio_argo.argo.settings import Account, Accounts, Image, Volume
from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE, Step

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
# that which the golden files name, whatever this program's is: the next release leaves them as they are
VERSION = "0.1.0"
DIGEST = "sha256:" + "0123456789abcdef" * 4
REGISTRY = "europe-west4-docker.pkg.dev/em-lab/clio"


def plain() -> dict[str, list[Any]]:
    return manifests()


def gke() -> dict[str, list[Any]]:
    """Spot workers, images by digest, Workload Identity, reports in a bucket of one's own."""
    mail = {"iam.gke.io/gcp-service-account": "worker@em-lab.iam.gserviceaccount.com"}
    cluster = ClusterSettings.gke(
        namespace="em",
        images={n: Image(repository=f"{REGISTRY}/clio-argo-{n}", digest=DIGEST) for n in ("align", "write")},
        accounts=Accounts(worker=Account(name="clio-argo-worker", annotations=mail)),
        artifacts={"bucket": "em-lab-artifacts"},
        approval={"default": "ask"},
    )
    return manifests(cluster=cluster)


def own_step() -> dict[str, list[Any]]:
    """A segmentation between verify and publish, on slices that lie on a shared file system."""
    segment = Step(
        "segment", after=("verify",), image="registry.example/segment:1.2", memory="8192", cpu="4",
        command=("segment",), args=("$(CLIO_RUN)/aligned", "--out", "$(CLIO_RUN)/segments"), env=(("MODEL", "unet"),),
    )  # fmt: skip
    volume = Volume(
        name="slices", mount_path="/slices", read_only=True, source={"persistentVolumeClaim": {"claimName": "slices"}}
    )
    cluster = ClusterSettings(volumes=(volume,), artifacts=None)
    return manifests(PIPELINE.with_step(segment, before=("publish",)), cluster)


EXAMPLES: dict[str, tuple[Callable[[], dict[str, list[Any]]], Path]] = {
    "plain": (plain, ROOT / "manifests" / "base"),
    "gke": (gke, GOLDEN / "gke"),
    "own_step": (own_step, GOLDEN / "own_step"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_documents_are_those_that_were_looked_at(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, golden = EXAMPLES[name]
    if golden.parent == GOLDEN:
        monkeypatch.setattr(Distribution, "version", VERSION)
    for folder in [tmp_path, *([golden] if os.environ.get("CLIO_UPDATE_GOLDEN") else [])]:
        write_manifests(folder, make())
    for file in sorted(golden.glob("*.yaml")):
        assert (tmp_path / file.name).read_text() == file.read_text(), file


def strict(schema: Any) -> Any:
    """A JSON schema in which objects have no other properties than those that it names."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema and "additionalProperties" not in schema else {}
    return {**{k: strict(v) for k, v in schema.items()}, **closed}


@pytest.fixture(scope="module")
def schema() -> Any:
    import jsonschema  # takes two seconds

    return jsonschema.Draft202012Validator(strict(WorkflowTemplate.model_json_schema(by_alias=True)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_templates_hold_nothing_that_argo_does_not_know(name: str, schema: Any) -> None:
    document, _ = EXAMPLES[name][0]()["workflowtemplate.yaml"]
    assert [e.message for e in schema.iter_errors(document)] == []
    document["spec"]["templates"][0]["dag"]["tasks"][0]["dependz"] = "plan"
    assert [e.message for e in schema.iter_errors(document)] != []


@pytest.mark.skipif(not shutil.which("argo"), reason="the argo command is not installed")
@pytest.mark.parametrize("name", EXAMPLES)
def test_argo_finds_no_fault(name: str) -> None:
    file = EXAMPLES[name][1] / "workflowtemplate.yaml"
    done = subprocess.run(["argo", "lint", "--offline", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- what must hold whatever the settings are -----------------------------------------------------------------


def containers(files: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [t for t in files["workflowtemplate.yaml"][0]["spec"]["templates"] if "container" in t]


@pytest.mark.parametrize("name", EXAMPLES)
def test_pods_may_do_no_more_than_they_need(name: str) -> None:
    files = EXAMPLES[name][0]()
    spec = files["workflowtemplate.yaml"][0]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for made in containers(files):
        assert made["container"]["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        # what PodSecurity `restricted` asks of Argo's own containers, too
        patch = json.loads(made["podSpecPatch"])
        for argos in (patch["containers"][1], *patch["initContainers"]):
            assert argos["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        assert made.get("timeout") or made["name"] == "follow"
        assert not {"sh", "bash"} & set(made["container"]["command"])


def test_only_the_executor_and_people_have_roles() -> None:
    roles = {r["metadata"]["name"]: r["rules"] for r in plain()["roles.yaml"] if r["kind"] == "Role"}
    assert roles.keys() == {"clio-argo-executor", "clio-argo-submitter", "clio-argo-approver"}
    assert roles["clio-argo-executor"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    ]
    changes = {v for rule in roles["clio-argo-submitter"] for v in rule["verbs"]} - {"get", "list", "watch"}
    assert changes == {"create"}


def test_only_workers_go_to_spot_nodes() -> None:
    made = {t["name"]: t for t in containers(gke())}
    assert {n for n, t in made.items() if "nodeSelector" in t} == {
        s.name for s in (*PIPELINE.steps, *PIPELINE.joined_steps) if s.fan_out or s.steps
    }
    assert {t["container"]["image"] for t in made.values()} == {
        f"{REGISTRY}/clio-argo-{n}@{DIGEST}" for n in ("align", "write")
    }


def test_gke_needs_digests() -> None:
    with pytest.raises(UserError, match=r"image align \(clio-argo-align:.*\) has no digest: set images.align.digest"):
        workflow_template(cluster=ClusterSettings.gke())


@pytest.mark.parametrize("tag", ["latest", ""])
def test_an_image_that_changes_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="a fixed tag: `latest` would change"):
        Image(repository="clio-argo-align", tag=tag)
    own = Step("own", image=f"segment:{tag}" if tag else "segment", command=("segment",))
    with pytest.raises(UserError, match=r"image segment.*: give a digest or a tag other than latest"):
        workflow_template(PIPELINE.with_step(own))


def test_a_misspelt_volume_is_refused() -> None:
    volume = Volume(
        name="data", mount_path="/data", source={"persistentVolumeClaim": {"claimNam": "x", "claimName": "y"}}
    )
    with pytest.raises(UserError, match=r"volumes.data.source: .* is not a valid Volume of a pod"):
        workflow_template(cluster=ClusterSettings(volumes=(volume,)))


def test_the_kustomization_lists_every_file() -> None:
    base = ROOT / "manifests" / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(f.name for f in base.glob("*.yaml") if f.name != "kustomization.yaml")
