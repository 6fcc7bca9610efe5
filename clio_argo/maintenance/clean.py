"""Removes what a finished run can do without."""

from clio_argo.errors import UserError
from clio_argo.maintenance.places import RunOrStore
from clio_argo.maintenance.verify import existing_run
from clio_argo.model.layout import COMPLETE
from clio_argo.model.step import Pipeline
from clio_argo.pipeline import PIPELINE
from clio_argo.workspace.cleaning import clean as clean_finished
from clio_argo.workspace.run import Run


def clean(run: RunOrStore, pipeline: Pipeline = PIPELINE) -> int:
    """Delete temporary objects of a finished run; bytes deleted. The same request still counts as done.

    Raises:
        UserError: there is no run, it leads to other places, or it is not complete.
    """
    store = existing_run(run, pipeline)
    if store.read(COMPLETE) is None:
        raise UserError(f"{store.url} is not complete, and would need what lies under tmp/; finish it first")
    return clean_finished(Run(store, pipeline["publish"], pipeline))
