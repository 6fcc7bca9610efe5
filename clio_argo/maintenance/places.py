"""Where a run that somebody made would lead commands: places outside its root, which a person confirms."""

import os
from collections.abc import Iterator
from pathlib import Path

from clio_argo.errors import UserError, printable
from clio_argo.model.layout import COMPLETE, CONFIG
from clio_argo.model.request import Request
from clio_argo.model.run import Completion
from clio_argo.store.documents import Store, absolute_url
from clio_argo.workspace.run import open_run

RunOrStore = str | os.PathLike[str] | Store
"""A run's root, whose request must not lead to other places; or what `trusted_run` gives for one that may."""


def trusted_run(root: RunOrStore, trust_places: bool = False) -> Store:
    """The store of a run, with the folders that its request keeps elsewhere.

    Raises:
        UserError: its request or a symbolic link leads out of the root, and `trust_places` is off.
    """
    if isinstance(root, Store):
        return root
    store = Store(os.fspath(root))
    places = [] if trust_places else [*_elsewhere(store), *_links(store)]
    if places:
        raise UserError.all(f"{store.url} leads to other places; if these are yours, add --trust-places:", places)
    return open_run(store.url)


def _elsewhere(store: Store) -> Iterator[str]:
    """What the request, or its copy in the last document, says of other places."""
    request, done = store.intact(Request, CONFIG), store.intact(Completion, COMPLETE)
    requests = [request] if request else [Request.model_validate(done.settings)] if done else []
    for folder, url in (item for r in requests for item in r.buckets.elsewhere().items()):
        if not absolute_url(url).startswith(store.url):
            yield f"{folder}/ lies in {printable(absolute_url(url))}"


def _links(store: Store) -> Iterator[str]:
    """Folders of a local run that are links to a place outside of it. Files are replaced, not followed."""
    if store.local is None:
        return
    root = store.local.resolve()
    for folder, names, _ in os.walk(store.local):
        for path in (Path(folder, name) for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield f"{printable(str(path))} is a link to {printable(str(path.resolve()))}"
