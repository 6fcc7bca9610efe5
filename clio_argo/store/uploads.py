"""Files of this machine, copied into a bucket: nothing that is there is sent again, or replaced unseen."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BufferedReader, FileIO
from pathlib import Path
from stat import S_ISREG

import google_crc32c

from clio_argo.errors import StoreError, UserError, printable
from clio_argo.store.backends.base import Listed
from clio_argo.store.backends.file import stamp_of
from clio_argo.store.documents import Store
from clio_argo.store.transfers import is_transfer
from clio_argo.store.waiting import each

# as many connections as google-cloud-storage keeps open
AT_ONCE = 10
# bytes that are read at once
PIECE = 2**20
# of the name of an object, both at Google and at Amazon
LONGEST_NAME = 1024
# why files are left out
HIDDEN, TRANSFER, LINK, NO_FILE = "hidden", "transfers under way", "links", "no regular files"
# gets the number of bytes that were read
Tell = Callable[[int], None]


@dataclass(frozen=True)
class File:
    """A file as it was seen, and the name of its object."""

    path: Path
    name: str
    size: int
    stamp: str

    @property
    def changed(self) -> bool:
        """Whether it is gone, or was written since."""
        try:
            stat = self.path.stat()
        except OSError:
            return True
        return (stat.st_size, stamp_of(stat)) != (self.size, self.stamp)


@dataclass(frozen=True)
class Comparison:
    """Files, and what lies where they are to go.

    present: files whose objects have the same bytes. missing: files without an object. other: objects of other bytes,
    by the names of their files. beside: names of objects that no file has.
    """

    present: Sequence[File]
    missing: Sequence[File]
    other: Mapping[str, tuple[File, Listed]]
    beside: Sequence[str]


def files_in(place: Path, follow: bool) -> tuple[list[File], dict[str, list[str]]]:
    """Regular files of a folder and those below it, or one file; and names of what is left out, by the reason.

    follow: take files that links lead to. Folders that they lead to are left out nevertheless.

    Raises:
        UserError: there is no file, or a name is none of an object.
    """
    if not place.exists():
        raise UserError(f"{place}: does not exist")
    files, left_out = list[File](), dict[str, list[str]]()
    for path in _walk(place):
        name = path.name if path == place else path.relative_to(place).as_posix()
        if reason := _reason(path, name, follow):
            left_out.setdefault(reason, []).append(name)
        else:
            stat = path.stat()
            files.append(File(path, name, stat.st_size, stamp_of(stat)))
    if problems := [f"{f.name!r}: {problem}" for f in files if (problem := _bad_name(f.name))]:
        raise UserError.all(f"{place}: files whose names no object can have; rename them:", problems)
    if not files:
        raise UserError(f"{place}: holds no file to upload")
    return files, left_out


def _walk(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for folder, folders, names in os.walk(place, onerror=_refuse_folder):
        folders.sort()
        links = [f for f in folders if (Path(folder) / f).is_symlink()]
        yield from (Path(folder) / name for name in sorted([*names, *links]))


def _refuse_folder(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _reason(path: Path, name: str, follow: bool) -> str:
    """Why a file is not uploaded; empty if it is."""
    if any(part.startswith(".") for part in name.split("/")):
        return HIDDEN
    if is_transfer(name):
        return TRANSFER
    if path.is_symlink() and not (follow and path.is_file()):
        return LINK
    return "" if S_ISREG(path.stat().st_mode) else NO_FILE


def _bad_name(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    if printable(name) != name:
        return "holds a character that cannot be printed"
    return f"has {size} bytes, at most {LONGEST_NAME} are possible" if size > LONGEST_NAME else ""


def compare(store: Store, files: Sequence[File], tell: Tell) -> Comparison:
    """Compare files with the objects of a store; those of one size by their checksums.

    Raises:
        UserError: the store takes no files, or not such large ones.
    """
    if not store.largest_upload:
        raise UserError(f"{store.url}: files are uploaded to buckets only (gs://, s3://)")
    if large := [f"{f.name}: {f.size} bytes" for f in files if f.size > store.largest_upload]:
        most = f"{store.url} takes at most {store.largest_upload} bytes at once"
        raise UserError.all(f"{most}; use rclone or the store's own tool for:", large)
    by_name = {f.name: f for f in files}
    listed, beside = dict[str, Listed](), list[str]()
    for item in store.objects():
        if item.name in by_name:
            listed[item.name] = item
        else:
            beside.append(item.name)
    alike = [(f, listed[f.name]) for f in files if f.name in listed and listed[f.name].size == f.size]
    same = {f.name for f, equal in each(partial(_is_same, store, tell), alike, AT_ONCE) if equal}
    return Comparison(
        present=[f for f in files if f.name in same],
        missing=[f for f in files if f.name not in listed],
        other={name: (by_name[name], item) for name, item in listed.items() if name not in same},
        beside=beside,
    )


def _is_same(store: Store, tell: Tell, pair: tuple[File, Listed]) -> tuple[File, bool]:
    file, item = pair
    return file, checksum(file, tell) == store.crc32c(item)


def send(store: Store, files: Sequence[tuple[File, Listed | None]], tell: Tell) -> Iterator[tuple[File, str]]:
    """Write files as objects, many at once; yields each with its CRC32C.

    An object is written on the condition that there is none, or still the one that is listed beside its file.
    """
    return each(partial(_send, store, tell), files, AT_ONCE)


def _send(store: Store, tell: Tell, item: tuple[File, Listed | None]) -> tuple[File, str]:
    file, replaced = item
    crc32c = checksum(file, lambda _: None)
    try:
        with _Reader(file, tell) as reader:
            # who was first is found by the comparison that follows: another uploader of the same files does no harm
            store.upload(file.name, reader, crc32c, replaced)
    except StoreError:
        # S3 refuses bytes of another checksum; that comparison names the file
        if not file.changed:
            raise
    return file, crc32c


def problems_of(store: Store, sent: Sequence[tuple[File, str]]) -> list[str]:
    """What is wrong with objects that were just written: size and CRC32C differ, or a file changed meanwhile."""
    wanted = {f.name for f, _ in sent}
    listed = {item.name: item for item in store.objects() if item.name in wanted}
    found = each(lambda pair: (pair[0].name, _problem(store, listed, *pair)), sent, AT_ONCE)
    return [f"{name}: {problem}" for name, problem in sorted(found) if problem]


def _problem(store: Store, listed: Mapping[str, Listed], file: File, crc32c: str) -> str:
    if file.changed:
        return "the file changed while it was uploaded; when it is complete, upload again with --replace"
    item = listed.get(file.name)
    if item is None:
        return "is not there: somebody has removed it"
    if item.size == file.size and store.crc32c(item) == crc32c:
        return ""
    return "holds other bytes than the file: another process wrote it, or the store is broken"


def checksum(file: File, tell: Tell) -> str:
    """CRC32C of a file as 8 hexadecimal digits. Raises `UserError` if it cannot be read."""
    value = 0
    with _Reader(file, tell) as reader:
        while data := reader.read(PIECE):
            value = google_crc32c.extend(value, data)
    return f"{value:08x}"


class _Reader(BufferedReader):
    """A file that tells how many of its bytes were read, less those that are read again."""

    def __init__(self, file: File, tell: Tell) -> None:
        self._file, self._told, self._at = file, tell, 0
        try:
            super().__init__(FileIO(file.path))
        except OSError as error:
            raise UserError(f"{file.path}: cannot be read: {error.strerror}") from error

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        try:
            data = super().read(size)
        except OSError as error:
            raise UserError(f"{self._file.path}: cannot be read: {error.strerror}") from error
        at = self.tell()
        self._told(at - self._at)
        self._at = at
        return data
