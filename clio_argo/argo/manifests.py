"""All objects that a namespace needs to run the pipeline: accounts, roles, network policy and template."""

import sys
from pathlib import Path
from typing import Any

import yaml

from clio_argo.argo.settings import Account, ClusterSettings
from clio_argo.argo.workflow import labels, workflow_template
from clio_argo.pipeline import PIPELINE, Pipeline

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
READ = ("get", "list", "watch")
# Google's metadata server, which gives a pod the identity of its service account: the first address without GKE
# Dataplane V2, the second with it
METADATA_SERVER = ("169.254.169.252/32", "169.254.169.254/32")
# HTTPS (stores, webhooks), the cluster's API, mail over TLS and with STARTTLS
PORTS = (443, 6443, 465, 587)


def manifests(pipeline: Pipeline = PIPELINE, cluster: ClusterSettings | None = None) -> dict[str, list[Object]]:
    """All objects, by the name of the file that holds them."""
    cluster = cluster or ClusterSettings()
    accounts = cluster.accounts
    all_accounts = [accounts.worker, accounts.notifier, accounts.executor, accounts.submitter, accounts.approver]
    roles = (
        (accounts.executor, executor_rules()),
        (accounts.submitter, submitter_rules()),
        (accounts.approver, approver_rules()),
    )
    return {
        "serviceaccounts.yaml": [*(_account(cluster, a) for a in all_accounts), _token(cluster, accounts.executor)],
        "roles.yaml": [role for account, rules in roles for role in _role(cluster, account, rules)],
        "networkpolicy.yaml": [network_policy(cluster)],
        "workflowtemplate.yaml": [dict(workflow_template(pipeline, cluster).to_dict())],
    }


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
    """Steps accept no connection; they reach DNS, stores, the cluster's API (Argo's executor), mail and webhooks."""
    ports = [*((53, p) for p in ("UDP", "TCP")), *((port, "TCP") for port in PORTS)]
    spec = {
        "podSelector": {"matchExpressions": [{"key": "clio-argo/step", "operator": "Exists"}]},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [
            {"ports": [{"port": port, "protocol": protocol} for port, protocol in ports]},
            {"to": [{"ipBlock": {"cidr": c}} for c in METADATA_SERVER]},
        ],
    }
    return {**_head(cluster, "networking.k8s.io/v1", "NetworkPolicy", "clio-argo"), "spec": spec}


def _account(cluster: ClusterSettings, account: Account) -> Object:
    # no token in the pods: a step has no reason to talk to the cluster
    head = _head(cluster, "v1", "ServiceAccount", account.name, account.annotations)
    return {**head, "automountServiceAccountToken": False}


def _token(cluster: ClusterSettings, account: Account) -> Object:
    # Argo mounts a secret of this name into its own container of pods that get no token by themselves
    owner = {"kubernetes.io/service-account.name": account.name}
    head = _head(cluster, "v1", "Secret", f"{account.name}.service-account-token", owner)
    return {**head, "type": "kubernetes.io/service-account-token"}


def _role(cluster: ClusterSettings, account: Account, rules: list[Object]) -> list[Object]:
    namespace = {"namespace": cluster.namespace} if cluster.namespace else {}
    binding = {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": account.name},
        "subjects": [{"kind": "ServiceAccount", "name": account.name, **namespace}],
    }
    return [
        {**_head(cluster, f"{RBAC}/v1", "Role", account.name), "rules": rules},
        {**_head(cluster, f"{RBAC}/v1", "RoleBinding", account.name), **binding},
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
