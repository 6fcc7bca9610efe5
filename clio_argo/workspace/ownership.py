"""Which request owns a run's root: a request creates a run, joins one, or replaces the request of one."""

from collections.abc import Mapping, Sequence
from itertools import islice

from clio_argo.errors import MissingBucket, TransientError, UserError, printable
from clio_argo.model.layout import COMPLETE, CONFIG, FORMER_STEPS, PLAN
from clio_argo.model.parse_request import differing_keys
from clio_argo.model.plan import Plan
from clio_argo.model.request import Request
from clio_argo.store.documents import Store, absolute_url, intact_or_why


def take_ownership(store: Store, request: Request) -> str:
    """Create a run with this request, join the run of the same request, or replace another request (`update`).

    Returns a note for people; empty for a new run.

    Raises:
        UserError: the root holds something else, or another request and `update` is off.
        TransientError: another process changed the request at the same time.
    """
    owner, generation = _without_update(request), store.generation(CONFIG)
    before, differences = refuse_other(store, request)
    if before is None and not differences:
        # There is no lock. Of two processes that create config.json one succeeds, and the other looks again.
        return "" if store.create(CONFIG, owner.to_bytes()) else take_ownership(store, request)
    # Written on condition of the generation read above, so that no third request is overwritten unseen. Settings that
    # change no voxel (gates, workers, labels) are no difference, but are kept.
    if before != owner and not store.replace(CONFIG, owner.to_bytes(), generation):
        raise TransientError(f"{store.url}{CONFIG}: another process changed it at the same time; try again")
    if differences:
        return f"{store.url} held another request; rerunning what depends on {'; '.join(differences)}"
    return f"{store.url} holds this request: joined; finished units are not rerun"


def _without_update(request: Request) -> Request:
    """What is to be made; `update` says how to begin."""
    return request.model_copy(update={"update": False})


def refuse_other(store: Store, request: Request, absent: bool = False) -> tuple[Request | None, Sequence[str]]:
    """The request that owns the root, None if there is none, and how this one differs.

    absent: buckets that do not exist count as empty.

    Raises:
        UserError: the root holds something else, or another request and `update` is off.
    """
    if store.local is not None and store.local.is_file():
        raise UserError(f"{store.local} is a file; choose another --out")
    before, damage = intact_or_why(Request, store.read(CONFIG), store.url_of(CONFIG))
    if before is None:
        return None, _refuse_without_request(store, request, absent, damage)
    if before.buckets != request.buckets:
        raise UserError(f"{store.url}: the buckets of a run cannot change; choose another --out")
    differences = differing_keys(_without_update(request), before)
    if differences and not request.update:
        raise UserError.all(
            f"{store.url} holds another run; choose another --out, request the same, or replace it with --update. "
            "What differs:",
            differences,
        )
    return before, differences


def _refuse_without_request(store: Store, request: Request, absent: bool, damage: str) -> Sequence[str]:
    """Refuse a root whose request is damaged or lost, unless it is replaced, and one that holds no run."""
    if not damage and (absent or store.intact(Plan, PLAN) is None):
        _refuse_other_content(store, request.buckets.elsewhere(), absent)
        return ()
    if not damage and store.read(CONFIG) is not None:
        return ()  # another process has created the run since config.json was read
    if not request.update:
        raise UserError(
            f"{store.url}{CONFIG} is {f'damaged ({damage})' if damage else 'lost'}: clio-argo repair restores it if "
            f"{COMPLETE} is there; otherwise run the same request with --update, which keeps finished units"
        )
    return (f"what {CONFIG} said before it was {'damaged' if damage else 'lost'}",)


def refuse_newer(store: Store, versions: Mapping[str, int]) -> None:
    """Raise `UserError` if a newer program with other results has worked on the run.

    versions: version of each step's algorithm in this program.
    """
    # Two such programs would rerun each other's units for ever.
    plan = store.intact(Plan, PLAN)
    if plan is None:
        return
    versions = {**versions, **{former: versions.get(step, 1) for step, former in FORMER_STEPS.items()}}
    newer = [
        f"{step}: version {version}, this program has {versions.get(step, 1)}"
        for step, version in sorted(plan.algorithms.items())
        if version > versions.get(step, 1)
    ]
    if newer:
        raise UserError.all(
            f"{store.url} was made by {plan.software}, whose steps are newer; use that version, or another --out:",
            newer,
        )


def _refuse_other_content(store: Store, elsewhere: Mapping[str, str], absent: bool) -> None:
    """Refuse a root, or folders kept elsewhere, that hold anything or overlap."""
    # a listing of a shared folder could not tell two runs apart
    contents = {url: _first_names(Store(url), absent) for url in map(absolute_url, elsewhere.values())}
    names = _first_names(store, absent)
    if names and store.read(CONFIG) is not None:
        return  # another process has created the run since config.json was read
    problems = [f"{url} is not empty ({', '.join(n)} ...)" for url, n in contents.items() if n]
    problems += [f"{url} and {store.url} overlap" for url in contents if _overlap(url, store.url)]
    if names:
        problems.append(f"{store.url} is not empty ({', '.join(names)} ...) and holds no run")
    if problems:
        raise UserError.all("a run needs folders of its own; choose another --out or other buckets:", problems)


def _first_names(store: Store, absent: bool) -> list[str]:
    """A few names as they may be printed: somebody's folder may hold a million."""
    try:
        return [printable(o.name) for o in islice(store.listed(), 3)]
    except MissingBucket:
        if absent:
            return []
        raise


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
