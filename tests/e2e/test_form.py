"""The form of Argo's UI, sent as the UI sends it: what stays empty has a default, what no pod can use is named."""

import os

import requests

from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from tests.e2e.cluster import BUCKET, Cluster, Json, nodes, until

RUN = f"{BUCKET}/runs/form"


def send(cluster: Cluster, **filled: str) -> str:
    """The workflow that Argo Server makes of the form; its other fields are sent as it shows them, mostly empty."""
    (template,) = cluster.objects("workflowtemplate", "clio-argo/current=true")
    shown = {p["name"]: p.get("value", "") for p in template["spec"]["arguments"]["parameters"]}
    fields = [f"{name}={value}" for name, value in {**shown, **filled}.items()]
    body = {"resourceKind": "WorkflowTemplate", "resourceName": template["metadata"]["name"]}
    address = f"http://{os.environ['CLIO_ARGO_SERVER']}/api/v1/workflows/{cluster.namespace}/submit"
    answer = requests.post(address, json={**body, "submitOptions": {"parameters": fields}}, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["metadata"]["name"])


def planned(cluster: Cluster, name: str) -> Json:
    """The node of `plan` when it has ended."""

    def over() -> Json | None:
        workflow = cluster.workflow(name)
        tried = nodes(workflow, "plan") if "nodes" in workflow.get("status", {}) else []
        return next((n for n in tried if n["phase"] in ("Succeeded", "Failed", "Error")), None)

    return until(over, f"the end of plan in {name}")


def test_a_form_with_empty_fields(cluster: Cluster, small: str) -> None:
    good = send(cluster, source=small, run=RUN)
    bad = send(cluster, run="fly/out")
    try:
        assert planned(cluster, good)["phase"] == "Succeeded"
        assert Store(RUN).document(Request, "config.json").id == "small"
        told = planned(cluster, bad)
        assert told["phase"] == "Failed"
        assert "source: give one" in told["message"]
        assert "run fly/out: write gs://fly/out if it is a bucket" in told["message"]
    finally:
        cluster.kubectl("delete", "workflow", good, bad)
