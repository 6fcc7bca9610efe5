"""What a person fills in to start a workflow, in a file, with -p or in the form of Argo's UI."""

import typing
from typing import Any

from hera.workflows import Parameter
from hera.workflows.models import EnvVar
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clio_argo.argo.settings import Approval
from clio_argo.model.parse_request import LEGACY
from clio_argo.model.request import OVERRIDE, REQUEST, Request

# the settings that most requests have, by the names that a request knows them by
FIELDS = ("id", "source", "image", "minz", "maxz", "resolution", "skip_align", "clip_limit", "max_bad", "email")
DECISIONS = ("approve", "reject")


def workflow_parameters(approval: Approval) -> list[Parameter]:
    """The arguments of the workflow. An empty field overrides nothing."""
    return [
        Parameter(name="run", description="Folder of the bucket for everything the run makes, e.g. gs://bucket/fly."),
        Parameter(name="config", value="{}", description="The request as JSON, at most 64 kB."),
        *(_field(name) for name in FIELDS),
        Parameter(
            name="approval",
            value=approval.default,
            enum=["automatic", "ask"],
            description="ask: wait for a person after the slices are placed, before the volume is made.",
        ),
        Parameter(name="approval_wait", value=approval.wait, description="How long to wait for a person, e.g. 72h."),
        Parameter(
            name="approval_otherwise",
            value=approval.otherwise,
            enum=list(DECISIONS),
            description="What happens when nobody decided in that time.",
        ),
    ]


def request_environment() -> list[EnvVar]:
    """The request in the environment, where no shell reads anything into it."""
    fields = {f"{OVERRIDE}{name}": name for name in FIELDS}
    return [variable(name, parameter(value)) for name, value in {REQUEST: "config", **fields}.items()]


def parameter(name: str) -> str:
    """Reference to a workflow parameter."""
    return f"{{{{workflow.parameters.{name}}}}}"


def variable(name: str, value: str) -> EnvVar:
    return EnvVar(name=name, value=value)


def _field(name: str) -> Parameter:
    info = _info(LEGACY.get(name, name))
    description = " ".join((info.description or "").split())
    return Parameter(name=name, value="", enum=_choices(info.annotation), description=description)


def _info(path: str) -> FieldInfo:
    model: Any = Request
    *sections, field = path.split(".")
    for section in sections:
        model = model.model_fields[section].annotation
    return typing.cast(type[BaseModel], model).model_fields[field]


def _choices(annotation: Any) -> list[str] | None:
    """What a field can be, the empty choice included; None where there is no list."""
    if annotation is bool:
        return ["", "false", "true"]
    return ["", *typing.get_args(annotation)] if typing.get_origin(annotation) is typing.Literal else None
