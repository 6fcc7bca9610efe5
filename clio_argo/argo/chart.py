"""The generated files of the Helm chart: what it installs, and the schema of its values."""

import json
import sys
from pathlib import Path
from typing import Any

from clio_argo.argo.settings import ClusterSettings
from clio_argo.argo.workflow import workflow_template

# values that only the chart has
OWN_VALUES: dict[str, Any] = {
    "nameOverride": {"type": "string"},
    "fullnameOverride": {"type": "string"},
    "networkPolicy": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"enabled": {"type": "boolean"}, "extraEgress": {"type": "array"}},
    },
    "doctor": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"run": {"type": "string", "description": "Where `helm test` writes a probe object."}},
    },
    "global": {"type": "object", "description": "Helm's own."},
}


def values_schema() -> dict[str, Any]:
    """JSON schema of values.yaml: the settings of a cluster, and what only the chart has."""
    schema = ClusterSettings.model_json_schema(by_alias=True)
    # helm knows the namespace
    del schema["properties"]["namespace"]
    schema["properties"] |= OWN_VALUES
    return schema


def write_chart(folder: Path) -> None:
    """Write what is generated into the chart at `folder`."""
    (folder / "values.schema.json").write_text(json.dumps(values_schema(), indent=2) + "\n")
    (folder / "files" / "workflowtemplate.yaml").write_text(workflow_template().to_yaml())


if __name__ == "__main__":
    write_chart(Path(sys.argv[1]))
