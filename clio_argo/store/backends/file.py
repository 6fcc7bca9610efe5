"""Folders of this machine: `file:///PATH`."""

import fcntl
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from clio_argo.errors import TransientError
from clio_argo.store.backends.base import Backend, Listed

# chosen: enough to keep a disk busy, and few enough for the other processes of a machine
LIMITS = {"file_io_concurrency": {"limit": 4}}
# with locks tensorstore writes into the lock file as it finds it: of a longer one that a killed process left, the end
# would stay. Without, it writes a new file with a name of its own (NAME_RANDOM.__lock) and renames it.
UNLOCKED = {"file_io_locking": {"mode": "none"}}
LOCK = ".__lock"
# `struct flock`: a write lock on the whole file. Of the open file: it ends with its process, and tells threads apart.
EXCLUSIVE = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
# what is written under a lock takes milliseconds
PATIENCE_S, PAUSE_S = 20, 0.05
# no write takes so long; where a file system does not tell whether somebody has a file open
OLD_S = 3600


def _spec(_bucket: str, path: str) -> dict[str, Any]:
    return {"driver": "file", "path": f"/{path.lstrip('/')}", **UNLOCKED}


def _objects(bucket: str, prefix: str, flat: bool) -> Iterator[Listed]:
    import tensorstore as ts

    folder, _, begin = os.fsencode(prefix).rpartition(b"/")
    kv = ts.KvStore.open(_spec(bucket, os.fsdecode(folder + b"/"))).result()
    for key in sorted(kv.list().result()):
        if key.startswith(begin) and not key.endswith(LOCK.encode()) and not (flat and b"/" in key):
            # what another process deletes meanwhile is not listed
            with suppress(FileNotFoundError):
                path = folder + b"/" + key
                stat = os.stat(path)  # noqa: PTH116, not UTF-8
                name = path.decode(errors="backslashreplace")
                yield Listed(name, stat.st_size, stamp=stamp_of(stat), written_s=stat.st_ctime)


def stamp_of(stat: os.stat_result) -> str:
    """What changes when a file is written or replaced."""
    return f"{stat.st_mtime_ns // 1_000_000}-{stat.st_ino}"


@contextmanager
def _writing(_bucket: str, path: str, conditional: bool) -> Iterator[None]:
    # tensorstore refuses other names
    if path != os.path.normpath(path):
        yield
        return
    # it syncs the folder of a file, and no folder that holds one it has made
    changed = [p.parent for p in takewhile(lambda p: not p.exists(), Path(path).parents)]
    with _locked(path + LOCK) if conditional else nullcontext():
        yield
    for folder in changed:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock of an object whose condition is looked at, which tensorstore does not without locks of its own."""
    end = time.monotonic() + PATIENCE_S
    while (file := _try_to_lock(path)) is None:
        if time.monotonic() > end:
            raise TransientError(
                f"{path}: another process has held this lock for {PATIENCE_S} s; when it has ended, "
                "run the same command again"
            )
        time.sleep(PAUSE_S)
    try:
        yield
    finally:
        Path(path).unlink(missing_ok=True)
        os.close(file)


def _try_to_lock(path: str) -> int | None:
    """The open lock file; None if another process has it. What it holds means nothing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, EXCLUSIVE)
        # who held it before has removed it
        if os.path.samestat(os.fstat(file), Path(path).stat()):
            return file
    os.close(file)
    return None


def _leftovers(_bucket: str, path: str, remove: bool) -> list[str]:
    found = []
    for folder, _, names in os.walk(os.fsencode(path)):
        for file in (os.path.join(folder, n) for n in names if n.endswith(LOCK.encode())):  # noqa: PTH118, not UTF-8
            with suppress(FileNotFoundError):
                if _is_nobodys(file):
                    found.append(file.decode(errors="backslashreplace"))
                    if remove:
                        os.unlink(file)  # noqa: PTH108
    return found


def _is_nobodys(path: bytes) -> bool:
    """Whether no process has a file open: only then the system grants a lease that others have to break."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return _is_old(path)
    try:
        # by default SIGIO, which ends a process, tells that somebody opens the file; this one is ignored
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return _is_old(path)
    finally:
        os.close(file)


def _is_old(path: bytes) -> bool:
    return time.time() - os.lstat(path).st_mtime > OLD_S


FILE = Backend(
    scheme="file", local=True, spec=_spec, objects=_objects, limits=LIMITS, writing=_writing, leftovers=_leftovers
)
