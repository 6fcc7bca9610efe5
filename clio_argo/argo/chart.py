"""The generated files of the Helm chart: schema of its values, template, and access rules."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from clio_argo.argo.manifests import approver_rules, executor_rules, network_policy, submitter_rules
from clio_argo.argo.settings import ClusterSettings
from clio_argo.argo.workflow import workflow_template


def _section(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


# values that only the chart has
OWN_VALUES: dict[str, Any] = {
    "nameOverride": {"type": "string"},
    "fullnameOverride": {"type": "string"},
    "networkPolicy": _section(enabled={"type": "boolean"}, extraEgress={"type": "array"}),
    "doctor": _section(
        source={"type": "string", "description": "Folder whose slices `helm test` reads."},
        run={"type": "string", "description": "Folder in which `helm test` writes a probe object."},
    ),
    "global": {"type": "object", "description": "Reserved by Helm."},
}


def values_schema() -> dict[str, Any]:
    """JSON schema of values.yaml: the settings of a cluster, and the values that only the chart has."""
    schema = ClusterSettings.model_json_schema(by_alias=True)
    # helm is told the namespace by --namespace
    del schema["properties"]["namespace"]
    schema["properties"] |= OWN_VALUES
    return schema


def access() -> dict[str, Any]:
    """Rules of each role, and the specification of the network policy."""
    roles = {"executor": executor_rules(), "submitter": submitter_rules(), "approver": approver_rules()}
    return {"roles": roles, "networkPolicy": network_policy(ClusterSettings())["spec"]}


def write_chart(folder: Path) -> None:
    """Write the generated files into the chart at `folder`."""
    (folder / "values.schema.json").write_text(json.dumps(values_schema(), indent=2) + "\n")
    (folder / "files" / "access.yaml").write_text(yaml.safe_dump(access(), sort_keys=False))
    (folder / "files" / "workflowtemplate.yaml").write_text(workflow_template().to_yaml())


if __name__ == "__main__":
    write_chart(Path(sys.argv[1]))
