"""What people are told, from bodies that a Kubernetes 1.34 API and an Argo Server 4.0.2 sent."""

import pytest

from clio_argo.argo.faults import Conflict, NotFound, Refused, fault
from clio_argo.errors import ClioError, TransientError, UserError

PLACE = "namespace em of https://cluster"
STATUS = '{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "%s", "reason": "X", "code": %d}'
DENIED = (
    r"workflows.argoproj.io is forbidden: User \"system:serviceaccount:em:nobody\" cannot create resource "
    r"\"workflows\" in API group \"argoproj.io\" in the namespace \"em\""
)
OVERTAKEN = "the server rejected our request due to an error in our request"
NO_NODE = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: id=wa-1"
STREAM = r'{"error":{"grpc_code":5,"http_code":404,"message":"workflows.argoproj.io \"wa\" not found"}}'
SAID: dict[str, tuple[int, str, type[ClioError], str]] = {
    "no permission": (403, STATUS % (DENIED, 403), Refused, "nobody may not create workflows in namespace em"),
    "no permission, by Argo Server": (403, f'{{"code":7,"message":"{DENIED}"}}', Refused, "may not create workflows"),
    "not logged in": (401, STATUS % ("Unauthorized", 401), UserError, "does not accept the credentials"),
    "no workflow": (404, STATUS % (r"workflows.argoproj.io \"wa\" not found", 404), NotFound, "no workflow wa"),
    "no workflow, while streaming": (404, STREAM, NotFound, "no workflow wa"),
    "no template": (
        404, r'{"code":5,"message":"workflowtemplates.argoproj.io \"t\" not found"}', NotFound, "no template t",
    ),
    "no namespace": (404, STATUS % (r"namespaces \"em\" not found", 404), NotFound, "no namespace em"),
    "no CRD": (404, "404 page not found\n", UserError, "Argo Workflows (the custom resource"),
    "no CRD, by Argo Server": (
        404, '{"code":5,"message":"the server could not find the requested resource"}', UserError, "not installed",
    ),
    "name taken": (409, STATUS % (r"workflows.argoproj.io \"wa\" already exists", 409), Conflict, "wa already exists"),
    "decided by somebody else": (422, STATUS % (OVERTAKEN, 422), Conflict, "in the meantime"),
    "decided by somebody else, by Argo Server": (500, f'{{"code":13,"message":"{NO_NODE}"}}', Conflict, "changed"),
    "invalid": (422, STATUS % (r"Workflow \"Wa_\" is invalid: metadata.name", 422), UserError, "metadata.name"),
    "overloaded": (429, "too many requests", TransientError, "429"),
    "broken proxy": (502, "<html>bad gateway</html>", TransientError, "bad gateway"),
}  # fmt: skip


@pytest.mark.parametrize("what", SAID)
def test_a_refusal_names_the_thing(what: str) -> None:
    status, body, kind, words = SAID[what]
    error = fault(status, body, PLACE)
    assert type(error) is kind
    assert words in str(error)
    assert str(error).startswith(PLACE)
    assert fault(status, body.encode(), PLACE).args == error.args
