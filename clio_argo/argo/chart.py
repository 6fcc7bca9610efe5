"""The generated files of the Helm chart: schema of its values, template, access rules, table of values, versions."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from clio_argo.argo.chart_readme import readme
from clio_argo.argo.kubernetes_objects import PLACE, PREFIX, definitions
from clio_argo.argo.manifests import network_policy, roles
from clio_argo.argo.settings import KIND, ClusterSettings
from clio_argo.argo.workflow import workflow_template

Json = dict[str, Any]
NULL = {"type": "null"}


def _section(**properties: Any) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(properties)}


# values that only the chart has
OWN_VALUES: Json = {
    "nameOverride": {"type": "string"},
    "revisionHistoryLimit": {"type": "integer", "minimum": 0},
    "doctor": _section(source={"type": "string"}, run={"type": "string"}),
    "extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
}


def values_schema() -> Json:
    """JSON schema of values.yaml: the settings of a cluster, and the values that only the chart has."""
    found = ClusterSettings.model_json_schema(by_alias=True)
    # helm is told the namespace by --namespace
    del found["properties"]["namespace"]
    _require(found, found["$defs"])
    found["properties"] |= OWN_VALUES
    found["required"] += list(OWN_VALUES)
    objects = definitions()
    # the volume's name is a field beside its source
    source = objects[f"{PREFIX}Volume"]
    source["required"] = [n for n in source.get("required", []) if n != "name"]
    del source["properties"]["name"]
    found["$defs"] |= objects
    return dict(_placed(found))


def _require(schema: Json, definitions: Json) -> None:
    """Require every value that has a default other than null: in helm, `uid: null` removes the default."""
    fields = schema["properties"]
    needed = [n for n, f in fields.items() if f.get("default") is not None and NULL not in f.get("anyOf", [])]
    schema["required"] = sorted({*schema.get("required", []), *needed})
    for field in fields.values():
        for reference in (field, *field.get("anyOf", [])):
            if "$ref" in reference:
                _require(definitions[reference["$ref"].rpartition("/")[2]], definitions)


def _placed(part: Any) -> Any:
    """The schema with that of Kubernetes in the place of every field that holds one of its objects."""
    if isinstance(part, list):
        return [_placed(p) for p in part]
    if not isinstance(part, dict):
        return part
    if kind := part.get(KIND):
        reference = {"$ref": f"{PLACE}{kind}"}
        kept = {k: part[k] for k in ("default", "description") if k in part}
        return {**kept, **({"anyOf": [reference, NULL]} if NULL in part.get("anyOf", []) else reference)}
    return {k: _placed(v) for k, v in part.items()}


def access() -> Json:
    """Rules of each role, and the specification of the network policy."""
    return {"roles": roles(), "networkPolicy": network_policy(ClusterSettings())["spec"]}


def versioned(about: str) -> str:
    """The text of Chart.yaml with the version of this program as that of the chart and of its images."""
    return re.sub(r"(?m)^((?:v|appV)ersion: |.*image: clio-argo-\w+:)\S+$", rf"\g<1>{version('clio-argo')}", about)


def write_chart(folder: Path, values: str) -> None:
    """Write the generated files into the chart at `folder`, which has Chart.yaml; `values`: text of its values.yaml."""
    (folder / "Chart.yaml").write_text(versioned((folder / "Chart.yaml").read_text()))
    (folder / "values.schema.json").write_text(json.dumps(values_schema(), indent=2) + "\n")
    (folder / "README.md").write_text(readme(values))
    (folder / "files" / "access.yaml").write_text(yaml.safe_dump(access(), sort_keys=False))
    (folder / "files" / "workflowtemplate.yaml").write_text(workflow_template().to_yaml())


if __name__ == "__main__":
    write_chart(Path(sys.argv[1]), (Path(sys.argv[1]) / "values.yaml").read_text())
