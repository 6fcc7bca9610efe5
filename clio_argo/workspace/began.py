"""What a workflow asked for when it began: its pods start one after the other, and another request may come between."""

import os

from clio_argo.errors import SupersededError
from clio_argo.model.layout import CONFIG, began_name
from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.workspace.run import Run

# uid of the workflow that a pod belongs to
WORKFLOW = "CLIO_WORKFLOW"


def remember(store: Store, request: Request) -> None:
    """Keep a request for later pods of its workflow; elsewhere one process knows it all along."""
    if workflow := os.environ.get(WORKFLOW):
        store.write(began_name(workflow), request.to_bytes())


def refuse_another(run: Run) -> None:
    """Raise `SupersededError` if the run's request is not that with which this pod's workflow began."""
    workflow = os.environ.get(WORKFLOW)
    began = run.store.intact(Request, began_name(workflow)) if workflow else None
    if began and run.request.identity() != began.identity():
        raise SupersededError.of(f"{run.store.url}{CONFIG}")
