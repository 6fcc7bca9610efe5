"""A run as one task of somebody else's workflow: a task that creates the run's workflow and waits for its end."""

import yaml
from hera.workflows import Parameter, Resource
from hera.workflows import models as m

from clio_argo.argo.settings import OWN_NAME
from clio_argo.argo.submit import CONFIG, RUN, prefix, workflow
from clio_argo.errors import UserError
from clio_argo.model.parse_request import template_problems
from clio_argo.model.request import Request

# what other tasks of the workflow may read when the run has ended
OUTPUTS = ("link", "volume", "flagged")
INPUTS = ("source", RUN)


def volume_stage(request: Request, template: str = OWN_NAME, account: str | None = None) -> Resource:
    """A template `volume` with the inputs `source` and `run`, and the outputs `link`, `volume` and `flagged`.

    Its task succeeds when the run does. The run is a workflow of its own, in the same namespace, with its own retries,
    limits, notifications and page in Argo's UI; deleting the outer workflow deletes it.

    request: all settings but `source`, which the input replaces.
    template: the installed template.
    account: of its pod; None: that of the outer workflow. It needs the roles of submitters and of the executor, since
        Argo creates the inner workflow and keeps its outputs with the pod's token.

    Raises:
        UserError: names every text of the request that Argo would replace.
    """
    if problems := template_problems(request.model_dump(mode="json")):
        raise UserError.all("the request cannot be a stage:", problems)
    given = {name: f"{{{{inputs.parameters.{name}}}}}" for name in INPUTS}
    inner = workflow(template, {CONFIG: request.model_dump_json(), **given}, {"generateName": prefix(request.id)}, {})
    outputs = [Parameter(name=name, value_from=_output(name)) for name in OUTPUTS]
    return Resource(
        name="volume", action="create", manifest=yaml.safe_dump(inner, sort_keys=False),
        success_condition="status.phase == Succeeded", failure_condition="status.phase in (Failed, Error)",
        set_owner_reference=True, service_account_name=account, automount_service_account_token=True,
        inputs=[Parameter(name=name) for name in INPUTS], outputs=[*outputs],
    )  # fmt: skip


def _output(name: str) -> m.ValueFrom:
    """An output of the run's workflow; empty if it has none."""
    return m.ValueFrom(json_path=f'{{.status.outputs.parameters[?(@.name=="{name}")].value}}', default="")
