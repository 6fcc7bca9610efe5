"""Whose a run's root is: made its own, joined, or taken over by a request."""

from collections.abc import Mapping

from clio_argo.errors import TransientError, UserError
from clio_argo.model.layout import CONFIG, PLAN
from clio_argo.model.parse_request import differing_keys
from clio_argo.model.plan import Plan
from clio_argo.model.request import Request
from clio_argo.store.documents import Store, absolute_url


def claim(store: Store, config: Request) -> str:
    """Make the root this request's own, join the same request, or take another one's over; what was done, if any.

    Raises:
        UserError: the root holds something else, or another request that may not be updated.
        TransientError: somebody else changed the request at the same time.
    """
    if store.local is not None and store.local.is_file():
        raise UserError(f"{store.local} is a file; choose another --out")
    wanted, before = config.model_copy(update={"update": False}), store.generation(CONFIG)
    found = store.find_document(Request, CONFIG)
    if found is None:
        _refuse_foreign(store, wanted.buckets.elsewhere())
        if store.create(CONFIG, wanted.to_bytes()):
            return ""
        return claim(store, config)
    if found.buckets != wanted.buckets:
        raise UserError(f"{store.url}: its parts stay where its first request put them; choose another --out")
    differing = differing_keys(wanted, found)
    if differing and not config.update:
        raise UserError.all(
            f"{store.url} holds another run; choose another --out, ask for the same, or take it over with --update. "
            "What differs:",
            differing,
        )
    if found != wanted and not store.replace(CONFIG, wanted.to_bytes(), before):
        raise TransientError(f"{store.url}{CONFIG}: another process changed it at the same time; try again")
    if differing:
        return f"{store.url} held another request; done again is what depends on {'; '.join(differing)}"
    return f"{store.url} holds this request: joined, and what is done is not done again"


def refuse_newer(store: Store, versions: Mapping[str, int]) -> None:
    """Refuse a run that a newer program has worked on, if units of the two would differ.

    versions: of this program's steps.
    """
    plan = store.intact(Plan, PLAN)
    if plan is None:
        return
    newer = [
        f"{step}: version {theirs}, this one has {versions.get(step, 1)}"
        for step, theirs in sorted(plan.algorithms.items())
        if theirs > versions.get(step, 1)
    ]
    if newer:
        raise UserError.all(
            f"{store.url} was made by {plan.software}, whose steps are newer; use that version, or another --out:",
            newer,
        )


def _refuse_foreign(store: Store, places: Mapping[str, str]) -> None:
    """Refuse a root that holds something else, and places that are not this run's alone."""
    found = {url: Store(url).names() for url in map(absolute_url, places.values())}
    names = store.names()
    if CONFIG in names:
        return  # another runner made it this moment
    problems = [f"{url} is not empty ({', '.join(n[:3])} ...)" for url, n in found.items() if n]
    problems += [f"{url} and {store.url} overlap" for url in found if _overlap(url, store.url)]
    if names:
        problems.append(f"{store.url} is not empty ({', '.join(names[:3])} ...) and holds no run")
    if problems:
        raise UserError.all("a run needs folders of its own; choose another --out or other buckets:", problems)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
