"""Folders below a source: those that together hold one stack, and help for people who name the folder above."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from clio_argo.errors import ClioError
from clio_argo.model.name_order import natural_key
from clio_argo.model.numbering import differ_by_numbers
from clio_argo.store.documents import Store
from clio_argo.store.slices import RAW, Entry, Source, folders_in
from clio_argo.store.sources import open_source
from clio_argo.store.sources.base import StackSource
from clio_argo.store.transfers import is_transfer

# ten pages of a bucket's listing, which tells folders only by the objects in them
MOST_LISTED = 10_000
# a bucket is asked several times what each of them holds
MOST_FOLDERS = 50


def folders_with_images(url: str) -> Iterator[tuple[str, int]]:
    """URLs of the folders directly below a source that hold images, there or in raw/, and how many.

    They are looked for among the first fifty folders, of a bucket among its first ten thousand objects.
    """
    for below in (f"{url.rstrip('/')}/{name}" for name in _folders(Store(url))[:MOST_FOLDERS]):
        # one that nobody may list helps nobody
        with suppress(ClioError):
            source = open_source(below)
            if images := images_in(source) or images_in(source, RAW):
                yield below, len(images)


def folder_of_one(url: str) -> tuple[str, int] | None:
    """The folder of a source that is one of several images in it, and how many; None of other sources."""
    folder, name = Store(url).parent()
    images = images_in(Source(folder.url))
    if len(images) < 2 or name not in {e.name for e in images}:
        return None
    return str(folder.local or folder.url.rstrip("/")), len(images)


def images_in(source: StackSource, folder: str = "") -> list[Entry]:
    """Images directly in a folder of a source; those of transfers under way are none."""
    return [e for e in source.entries(folder) if not is_transfer(e.name)]


def stack_below(source: StackSource, by_name: bool = False) -> list[Entry]:
    """Images and transfers in the folders directly below a source, if these are parts of one stack; else none.

    Parts are files whose names differ by numbers, none of them twice; or a folder for each slice, or file of pages,
    which then has the number of its folder.

    by_name: whether all others are parts as well, in the order of folders and names.
    """
    entries = source.below()
    images = [e for e in entries if not is_transfer(e.name)]
    if (names := [e.numbered for e in images]) and len({*names}) == len(names) and differ_by_numbers(names):
        return entries
    folders = [e.name.partition("/")[0] for e in images]
    if not folders or len({*folders}) < len(folders) or not differ_by_numbers(folders):
        return [e.model_copy(update={"label": e.name}) for e in entries] if by_name else []
    return [e.model_copy(update={"label": e.name.partition("/")[0]}) for e in entries]


def _folders(store: Store) -> list[str]:
    if store.local is not None:
        found = folders_in(store.local)
    else:
        names = (o.name.split("/") for o in islice(store.objects(), MOST_LISTED))
        found = {folder for folder, *rest in names if rest}
    return sorted(found, key=natural_key)
