"""The parameters of a workflow: set in a file, with -p, or in the form of Argo's UI."""

import typing
from typing import Any

from hera.workflows import Parameter
from hera.workflows.models import EnvVar

from clio_argo.argo.approval import APPROVE, REJECT
from clio_argo.argo.settings import Approval
from clio_argo.model.parse_request import LEGACY, field_info
from clio_argo.model.request import OVERRIDE, REQUEST

# The settings that most requests have, by the names that a request knows them by, each with what a person may write.
# They come in the order in which a person fills them in. A form with all settings would hide these; any other setting
# goes into `config`.
EXAMPLES = {
    "source": "E.g. gs://my-bucket/slices.",
    "id": "E.g. fly-42. Empty: the name of the source's folder.",
    "image": "",
    "minz": "E.g. 3490.",
    "maxz": "E.g. 3549.",
    "resolution": "E.g. 8, or 8,8,30.",
    "skip_align": "",
    "clip_limit": "E.g. 0.02.",
    "max_bad": "E.g. 3, or 0.02.",
    "email": "E.g. ann@lab.example, bob@lab.example.",
}
FIELDS = tuple(EXAMPLES)
DECISIONS = (APPROVE, REJECT)


def workflow_parameters(approval: Approval) -> list[Parameter]:
    """The parameters of the workflow. An empty field overrides nothing."""
    return [
        _field("source"),
        Parameter(name="run", description="Folder of a bucket for all output of the run. E.g. gs://my-bucket/fly-volume."),
        *(_field(name) for name in FIELDS if name != "source"),
        Parameter(name="approval", value=approval.default, enum=["automatic", "ask"],
                  description="ask: wait for approval after the slices are placed, before the volume is made."),
        Parameter(name="approval_wait", value=approval.wait,
                  description="How long to wait for the decision, e.g. 72h."),
        Parameter(name="approval_otherwise", value=approval.otherwise, enum=list(DECISIONS),
                  description="The decision if nobody has decided by then."),
        Parameter(name="config", value="{}", description="Any other settings, as JSON of at most 64 kB. "
                  'E.g. {"contrast": {"invert": true}}. The fields above replace what it says.'),
    ]  # fmt: skip


def request_environment() -> list[EnvVar]:
    """Environment variables that carry the request; no shell interprets them."""
    fields = {f"{OVERRIDE}{name}": name for name in FIELDS}
    return [variable(name, parameter(value)) for name, value in {REQUEST: "config", **fields}.items()]


def parameter(name: str) -> str:
    """Argo's reference to a workflow parameter."""
    return f"{{{{workflow.parameters.{name}}}}}"


def variable(name: str, value: str) -> EnvVar:
    """One environment variable of a container."""
    return EnvVar(name=name, value=value)


def _field(name: str) -> Parameter:
    info = field_info(LEGACY.get(name, name))
    description = " ".join(f"{info.description or ''} {EXAMPLES[name]}".split())
    return Parameter(name=name, value="", enum=_choices(info.annotation), description=description)


def _choices(annotation: Any) -> list[str] | None:
    """The values that a field can have, and the empty one; None if there is no list of them."""
    if annotation is bool:
        return ["", "false", "true"]
    return ["", *typing.get_args(annotation)] if typing.get_origin(annotation) is typing.Literal else None
