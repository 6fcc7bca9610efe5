"""Objects of Kubernetes within the settings: held to the schema that Kubernetes has for them."""

from typing import Any, TypeVar

from hera.workflows import models as m
from pydantic import BaseModel, ValidationError

from clio_argo.errors import UserError

M = TypeVar("M", bound=BaseModel)
# apart from the definitions of the settings, of which some have the same name
PREFIX = "kubernetes."
PLACE = f"#/$defs/{PREFIX}"
KINDS: dict[str, type[BaseModel]] = {
    k.__name__: k for k in (m.Affinity, m.LabelSelector, m.PodSecurityContext, m.Volume)
}


def exactly(kind: type[M], given: dict[str, Any], where: str) -> M:
    """The object that `given` describes. Raises `UserError` if it is none, or has a field that Kubernetes lacks."""
    try:
        emitted = kind.model_validate(given)
    except ValidationError as error:
        raise UserError(f"{where}: {given} is not a valid {kind.__name__} of a pod: {error}") from error
    # hera silently drops fields that it does not know
    if emitted.model_dump(by_alias=True, exclude_none=True, mode="json") != given:
        raise UserError(f"{where}: {given} is not a valid {kind.__name__} of a pod")
    return emitted


def definitions() -> dict[str, Any]:
    """JSON schemas of all kinds, and of what they refer to: objects have no other properties than those named."""
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        own = kind.model_json_schema(by_alias=True, ref_template=PLACE + "{model}")
        found |= {**own.pop("$defs", {}), name: own}
    return {f"{PREFIX}{name}": strict(definition) for name, definition in found.items()}


def strict(part: Any) -> Any:
    """A JSON schema without words for people, in which objects have no properties that it does not name."""
    if isinstance(part, list):
        return [strict(p) for p in part]
    if not isinstance(part, dict):
        return part
    rest = {k: strict(v) for k, v in part.items() if k not in ("properties", "title", "description", "default")}
    if "properties" not in part:
        return rest
    return {**rest, "additionalProperties": False, "properties": {k: strict(v) for k, v in part["properties"].items()}}
