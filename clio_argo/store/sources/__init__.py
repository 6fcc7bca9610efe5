"""Kinds of sources: one module each. A source is of the first kind that opens it."""

from collections.abc import Callable, Mapping

from clio_argo.store.slices import Source
from clio_argo.store.sources.base import StackSource
from clio_argo.store.sources.volume import open_volume

# name of a kind, as in `plan.json` -> what opens a URL, for reading so many slices at once; None if it is another kind
KINDS: Mapping[str, Callable[[str, int], StackSource | None]] = {
    "volume": open_volume,
    # whatever there is: its entries tell what is wrong with it
    "files": lambda url, _: Source(url),
}


def open_source(url: str, kind: str = "", at_once: int = 1) -> StackSource:
    """The source at `url`.

    kind: its name, if it was found before; each kind asks the store what it is otherwise.
    at_once: neighbouring slices to read together, as `together` says.

    Raises:
        UserError: it is of a kind that is read, and cannot be used.
    """
    return find_kind(url, kind, at_once)[1]


def find_kind(url: str, kind: str = "", at_once: int = 1) -> tuple[str, StackSource]:
    """The name of a source's kind, and the source. As `open_source`."""
    opened = ((name, KINDS[name](url, at_once)) for name in ([kind] if kind else KINDS))
    return next((name, source) for name, source in opened if source is not None)
