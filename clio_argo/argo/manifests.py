"""All objects that a namespace needs to run the pipeline: accounts, roles, network policy and template."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from clio_argo.argo.client import CURRENT, INSTANCE
from clio_argo.argo.settings import ClusterSettings
from clio_argo.argo.templates import STANDS_FOR
from clio_argo.argo.workflow import labels, shown, workflow_template
from clio_argo.pipeline import PIPELINE, Pipeline

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
READ = ("get", "list", "watch")
# Google's metadata server, which gives a pod the identity of its service account: the first address without GKE
# Dataplane V2, the second with it
METADATA_SERVER = ("169.254.169.252/32", "169.254.169.254/32")


def manifests(pipeline: Pipeline = PIPELINE, cluster: ClusterSettings | None = None) -> dict[str, list[Object]]:
    """All objects, by the name of the file that holds them."""
    cluster = cluster or ClusterSettings()
    files = {
        "serviceaccounts.yaml": _accounts(cluster),
        "roles.yaml": [o for role, rules in roles().items() for o in _role(cluster, role, rules)],
        "networkpolicy.yaml": [network_policy(cluster)] if cluster.network_policy.enabled else [],
        "workflowtemplate.yaml": templates(pipeline, cluster),
    }
    return {name: objects for name, objects in files.items() if objects}


def templates(pipeline: Pipeline, cluster: ClusterSettings) -> list[Object]:
    """The template whose name holds version and digest, and the one that submissions follow to it.

    The second has the name of the release, so that there is one of it whatever was applied before.
    """
    kept = dict(workflow_template(pipeline, cluster).to_dict())
    annotations = {STANDS_FOR: kept["metadata"]["name"], **shown(f"clio-argo {version('clio-argo')}")}
    head = _head(cluster, kept["apiVersion"], kept["kind"], cluster.release, annotations)
    head["metadata"]["labels"][CURRENT] = "true"
    return [kept, {**head, "spec": kept["spec"]}]


def roles() -> dict[str, list[Object]]:
    """Rules of the accounts that may do something, by role."""
    return {"executor": executor_rules(), "submitter": submitter_rules(), "approver": approver_rules()}


def write_manifests(folder: Path, files: dict[str, list[Object]]) -> None:
    """Write each file as YAML, and a kustomization that lists them."""
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    kustomization = {**head, "resources": sorted(files)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, objects in {**files, "kustomization.yaml": [kustomization]}.items():
        (folder / name).write_text(yaml.safe_dump_all(objects, sort_keys=False, width=120))


def executor_rules() -> list[Object]:
    """Rules for Argo's container in a pod: report how the step ended."""
    return [_rule("argoproj.io", ("workflowtaskresults",), ("create", "patch"))]


def submitter_rules() -> list[Object]:
    """Rules for submitting and watching, and nothing else."""
    return [
        _rule("argoproj.io", ("workflows",), ("create", *READ)),
        _rule("argoproj.io", ("workflowtemplates",), READ),
        # events tell why a pod does not start
        _rule("", ("pods", "pods/log", "events"), READ),
    ]


def approver_rules() -> list[Object]:
    """Rules for approving, stopping, retrying and deleting as well."""
    return [*submitter_rules(), _rule("argoproj.io", ("workflows",), ("patch", "update", "delete"))]


def network_policy(cluster: ClusterSettings) -> Object:
    """Steps accept no connection; they reach the settings' ports at any address, DNS and Google's metadata server."""
    network = cluster.network_policy
    ports = [*((53, p) for p in ("UDP", "TCP")), *((port, "TCP") for port in network.ports)]
    spec = {
        "podSelector": {
            "matchLabels": {INSTANCE: cluster.release},
            "matchExpressions": [{"key": "clio-argo/step", "operator": "Exists"}],
        },
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            {"ports": [{"port": port, "protocol": protocol} for port, protocol in ports]},
            {"to": [{"ipBlock": {"cidr": c}} for c in METADATA_SERVER]},
            *network.extra_egress,
        ],
    }
    return {**_head(cluster, "networking.k8s.io/v1", "NetworkPolicy", cluster.release), "spec": spec}


def _accounts(cluster: ClusterSettings) -> list[Object]:
    made = {role: account for role, account in cluster.accounts if account.create}
    accounts = [_account(cluster, cluster.account(role), account.annotations) for role, account in made.items()]
    return [*accounts, *([_token(cluster)] if "executor" in made else [])]


def _account(cluster: ClusterSettings, name: str, annotations: dict[str, str]) -> Object:
    # no token in the pods: a step has no reason to talk to the cluster
    head = _head(cluster, "v1", "ServiceAccount", name, annotations)
    return {**head, "automountServiceAccountToken": False}


def _token(cluster: ClusterSettings) -> Object:
    # Argo mounts a secret of this name into its own container of pods that get no token by themselves
    name = cluster.account("executor")
    owner = {"kubernetes.io/service-account.name": name}
    head = _head(cluster, "v1", "Secret", f"{name}.service-account-token", owner)
    return {**head, "type": "kubernetes.io/service-account-token"}


def _role(cluster: ClusterSettings, role: str, rules: list[Object]) -> list[Object]:
    namespace = {"namespace": cluster.namespace} if cluster.namespace else {}
    # of the release, not of the account: two releases may share an account that is there already
    name = f"{cluster.release}-{role}"
    binding = {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": cluster.account(role), **namespace}],
    }
    return [
        {**_head(cluster, f"{RBAC}/v1", "Role", name), "rules": rules},
        {**_head(cluster, f"{RBAC}/v1", "RoleBinding", name), **binding},
    ]


def _rule(group: str, resources: tuple[str, ...], verbs: tuple[str, ...]) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _head(
    cluster: ClusterSettings, version: str, kind: str, name: str, annotations: dict[str, str] | None = None
) -> Object:
    metadata: Object = {"name": name, "labels": labels(cluster)}
    if cluster.namespace:
        metadata["namespace"] = cluster.namespace
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


if __name__ == "__main__":
    write_manifests(Path(sys.argv[1]), manifests())
