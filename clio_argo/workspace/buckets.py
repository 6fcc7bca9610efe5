"""Claims a run's root, and makes and sets the buckets of its request: in this order, so that a refusal changes none."""

from collections.abc import Iterator, Mapping

from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.store.roles import make_missing, set_roles
from clio_argo.workspace.ownership import refuse_newer, refuse_other, take_ownership
from clio_argo.workspace.preflight import preflight
from clio_argo.workspace.user_inputs import resolved


def claim_with_buckets(request: Request, store: Store, versions: Mapping[str, int]) -> Iterator[str]:
    """Do what `make_buckets` asks for, once nothing can refuse the request any more; yields a line for each change.

    versions: version of each step's algorithm in this program.

    Raises:
        UserError, GateStopped: the request, its source, its root or its buckets are refused; nothing was changed.
    """
    checked = preflight(request)
    checked.refuse()
    owner = resolved(request, checked.plan)
    refuse_newer(store, versions)
    refuse_other(store, owner, absent=True)
    yield from make_missing(request, store.url)
    take_ownership(store, owner)
    yield from set_roles(request, store.url)
