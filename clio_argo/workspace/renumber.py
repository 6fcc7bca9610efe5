"""A folder of numbered files made from files in another order: which becomes which, and copies of or links to them."""

import csv
import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from clio_argo.errors import UserError, printable
from clio_argo.model.base import counted, few
from clio_argo.model.channels import CHANNEL
from clio_argo.model.numbering import Number, Numbering, printf_numbering
from clio_argo.model.problems import first_lines
from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.store.faults import store_errors
from clio_argo.store.images import formats
from clio_argo.store.images.base import Unreadable
from clio_argo.store.slices import Entry
from clio_argo.store.source_url import find_source
from clio_argo.store.sources import find_kind
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.arrival import transfers
from clio_argo.workspace.channels import requests_of_files
from clio_argo.workspace.survey import find_files, number_files

TABLE, UNDER_WAY = "renumber.csv", ".part"
# file systems keep times as coarsely as this
SAME_NS = 2_000_000_000
Gaps = Literal["keep", "close"]


@dataclass(frozen=True)
class Renumbered:
    """A file that gets a number: its new name, and where it lies with its size and the time of its last change."""

    z: int
    name: str
    path: Path
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Renumbering:
    """What becomes of the files of a folder, in their new order, and names of images that are left out."""

    folder: Path
    files: Sequence[Renumbered]
    left_out: Sequence[str]


def renumbering(request: Request, by_time: bool, pattern: str | None, start: int, gaps: Gaps | None) -> Renumbering:
    """What becomes of the files of a request, those of all channels together. Reads headers, writes nothing.

    by_time: order them by the time of their last change. pattern: printf pattern of the new names.
    start: number of the first one. gaps: what becomes of numbers that are missing, which are refused without.

    Raises:
        UserError: there is no order, two files have one place, numbers are missing, or the pattern does not fit.
    """
    kind, source = find_kind(find_source(request.source))
    folder = Store(source.url).local
    if folder is None or not folder.is_dir() or kind != "files":
        raise UserError(f"{request.source}: files in a folder of this machine are renumbered, and this is none")
    channels = request.channels or ("",)
    listings = [find_files(asked, source) for asked in requests_of_files(request)]
    images = [e for found, _, _ in listings for e in found]
    channel_of = {e.name: name for name, (of, *_) in zip(channels, listings, strict=False) for e in of}
    _refuse_unready(folder, images, transfers(listings[0][1]))
    number = listings[0][2] if len(listings) == 1 else lambda name: _first_number(listings, name)
    found = [(z or 0, e) for z, e in number_files(request, images, number).files]
    if by_time:
        found = list(enumerate(_by_time([e for _, e in found], folder)))
    for name in channels:
        _refuse_equal([(z, e) for z, e in found if channel_of[e.name] == name])
    slices = list(dict(found).items())
    numbers = dict(zip(dict(found), _without_gaps(slices, start, gaps), strict=True))
    between = f"_{CHANNEL}" if len(listings) > 1 else ""
    pattern = pattern or f"img.%05d{between}{_suffixes(source, found[0][1])[0]}"
    _refuse_pattern(pattern, source, [e for _, e in found])
    if len(listings) > 1 and CHANNEL not in pattern:
        raise UserError(f"pattern {pattern!r}: files of several channels need {CHANNEL} in it")
    files = [_one(numbers[z], _pattern_of(pattern, channel_of[e.name]), folder / e.name) for z, e in found]
    return Renumbering(folder, files, [e.name for e in images if e.name not in {e.name for _, e in found}])


def _first_number(listings: Sequence[tuple[object, object, Numbering | None]], name: str) -> Number | None:
    """The number of a file by the first pattern that its name has."""
    return next((n for *_, of in listings if of and (n := of(name)) is not None), None)


def _pattern_of(pattern: str, channel: str) -> str:
    return pattern.replace(CHANNEL, channel.replace("%", "%%"))


def _one(z: int, pattern: str, path: Path) -> Renumbered:
    stat = path.stat()
    return Renumbered(z, pattern % z, path, stat.st_size, stat.st_mtime_ns)


def _refuse_unready(folder: Path, images: Sequence[Entry], under_way: Sequence[str]) -> None:
    """Raise `UserError` for links that are not followed, names that are no text, and transfers under way."""
    links = [f"{printable(e.name)}: {e.outside}" for e in images if e.outside]
    no_text = (e for e in images if not e.outside and not (folder / e.name).exists())
    names = [f"{printable(e.name)}: its name is not UTF-8; rename it" for e in no_text]
    arriving = [f"{printable(name)}: looks like a transfer under way; wait for it, or remove it" for name in under_way]
    if faults := [*links, *names, *arriving]:
        raise UserError.all(f"{folder}: files that cannot be numbered:", first_lines(faults))


def _by_time(images: Sequence[Entry], folder: Path) -> list[Entry]:
    """Files by the time of their last change. Raises `UserError` for two of the same time."""
    times = {e.name: (folder / e.name).stat().st_mtime_ns for e in images}
    ordered = sorted(images, key=lambda e: times[e.name])
    _refuse_equal([(times[e.name], e) for e in ordered])
    return ordered


def _refuse_equal(found: Sequence[tuple[int, Entry]]) -> None:
    """Raise `UserError` if neighbours have the same number or time."""
    if equal := [f"{a.name} and {b.name}" for (m, a), (n, b) in pairwise(found) if m == n]:
        raise UserError.all("files that no number or time tells apart; remove one, or order them by name:",
                            first_lines([printable(text) for text in equal]))  # fmt: skip


def _without_gaps(found: Sequence[tuple[int, Entry]], start: int, gaps: Gaps | None) -> list[int]:
    """New numbers from `start`: in a row, or as far apart as the old ones. Raises `UserError` for gaps unless told."""
    missing = [f"{n - m - 1} between {a.name} and {b.name}" for (m, a), (n, b) in pairwise(found) if n - m > 1]
    if missing and gaps is None:
        raise UserError(
            f"numbers are missing: {printable(few(missing))}; --gaps keep leaves them out of the new numbers as well, "
            "--gaps close counts on without them"
        )
    return [start + (n - found[0][0] if gaps == "keep" else i) for i, (n, _) in enumerate(found)]


def _suffixes(source: StackSource, entry: Entry) -> tuple[str, ...]:
    """Suffixes that a file may have, the one that it has first; of a damaged one its own."""
    own = Path(entry.name).suffix.lower()
    try:
        held = source.headers(entry)[0].format
    except Unreadable:
        return (own,)
    known = next((f.suffixes for f in formats() if f.name == held), (own,))
    return tuple(sorted(known, key=lambda suffix: suffix != own))


def _refuse_pattern(pattern: str, source: StackSource, images: Sequence[Entry]) -> None:
    """Raise `UserError` for a pattern that prints no names of files, or of files in another format."""
    printf_numbering(pattern)
    if "/" in pattern or pattern.startswith("."):
        raise UserError(f"pattern {pattern!r}: names of files in a folder, that are not hidden, are made of it")
    suffix, fitting = Path(pattern).suffix.lower(), {e.name: _suffixes(source, e) for e in images}
    others = [f"{printable(name)} ({fits[0]})" for name, fits in fitting.items() if suffix not in fits]
    if others:
        text = f"{counted(len(others), 'file', 'is', 'are')} of another format, {few(others, 3)}"
        raise UserError(f"pattern {pattern!r}: {text}; files are copied, not converted")


def table_of(files: Iterable[Renumbered]) -> bytes:
    """A CSV table of what became what."""
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(["z", "file", "was", "bytes", "modified_ns"])
    writer.writerows([f.z, f.name, f.path, f.size_bytes, f.modified_ns] for f in files)
    return rows.getvalue().encode(errors="surrogateescape")


def write_folder(
    what: Renumbering, out: Path, link: bool, shown: Callable[[Sequence[Renumbered]], Iterable[Renumbered]] = iter
) -> int:
    """Make folder `out` with the files, copied or linked, and their table; how many were not there yet.

    They are made in a folder beside it, which then gets its name: a folder of that name is whole. What an earlier call
    made of the same files stays.

    shown: what goes through the files that are not there yet, to show progress.

    Raises:
        UserError: the folder holds something else, or lies in that of the files.
        StoreError: it cannot be written.
    """
    out, files = out.resolve(), what.files
    _refuse_place(what.folder.resolve(), out)
    table = table_of(files)
    if _is_whole(out, files, table, link):
        return 0
    if out.exists() and (not out.is_dir() or any(out.iterdir()) or out.is_mount()):
        raise UserError(f"{out}: exists, and is not an empty folder that can be replaced; name one that does not exist")
    part = out.with_name(out.name + UNDER_WAY)
    with store_errors(f"{part}", "", "write"):
        part.mkdir(parents=True, exist_ok=True)
    with _alone(part), store_errors(f"{part}/", "", "write"):
        _begin(part, files, table)
        missing = [f for f in files if not _is_made(part / f.name, f, link)]
        _refuse_full_disk(part, 0 if link else sum(f.size_bytes for f in missing))
        for file in shown(missing):
            with store_errors(f"{part}/", file.name, "write"):
                _make(part / file.name, file, link)
        os.rename(part, out)  # noqa: PTH104, replaces an empty folder and no other
        _sync(out.parent)
    return len(missing)


def _refuse_place(source: Path, out: Path) -> None:
    if out.is_relative_to(source) or source.is_relative_to(out):
        raise UserError(f"{out}: lies in {source}, or holds it; name a folder elsewhere")


def _is_whole(out: Path, files: Sequence[Renumbered], table: bytes, link: bool) -> bool:
    found = out / TABLE
    return found.is_file() and found.read_bytes() == table and all(_is_made(out / f.name, f, link) for f in files)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second process that makes the same folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise UserError(f"{folder}: another process is at it; wait until it has ended") from error
    finally:
        os.close(handle)


def _begin(part: Path, files: Sequence[Renumbered], table: bytes) -> None:
    """Write the table first, which tells whether what lies there was begun with the same files."""
    unfinished = part / f"{TABLE}{UNDER_WAY}"
    there = {path.name for path in part.iterdir()} - {unfinished.name}
    if there and ((part / TABLE).read_bytes() if TABLE in there else b"") != table:
        raise UserError(f"{part}: begun with other files, or another order or pattern; remove it")
    if foreign := sorted(there - {f.name for f in files} - {TABLE}):
        raise UserError(f"{part}: holds other files, {few(foreign)}; remove them")
    if not there:
        unfinished.write_bytes(table)
        _sync(unfinished)
        unfinished.rename(part / TABLE)


def _is_made(to: Path, file: Renumbered, link: bool) -> bool:
    if link:
        return to.is_symlink() and to.readlink() == file.path
    if to.is_symlink() or not to.is_file():
        return False
    # the time is set last
    stat = to.stat()
    return stat.st_size == file.size_bytes and abs(stat.st_mtime_ns - file.modified_ns) < SAME_NS


def _make(to: Path, file: Renumbered, link: bool) -> None:
    """Copy or link a file in the place of what a killed process left there. Raises `UserError` if it changes."""
    to.unlink(missing_ok=True)
    if link:
        to.symlink_to(file.path)
        return
    shutil.copyfile(file.path, to)
    _sync(to)
    stat = file.path.stat()
    if (stat.st_size, stat.st_mtime_ns, to.stat().st_size) != (file.size_bytes, file.modified_ns, file.size_bytes):
        raise UserError(f"{file.path}: changed while it was copied; once it is whole, remove {to.parent} and try again")
    os.utime(to, ns=(file.modified_ns, file.modified_ns))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_full_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} are free; free some or choose "
                        "another place, then run the same command again; --link needs none")  # fmt: skip
