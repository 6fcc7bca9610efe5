"""Objects of a bucket as files that can be read anywhere."""

import io
from collections import deque
from typing import Any, Protocol

from clio_argo.store.documents import Store

# of a remote object, in one request: the header of a PNG, JPEG or stripped TIFF is shorter
BUFFER_BYTES = 2**16
# headers of the file, of a page and of its strips, which are read to check a slice and again to decode it
RECENT = 4


class Sized(Protocol):
    """An object of a store."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def size_bytes(self) -> int:
        """Its length."""


class RangeFile(io.RawIOBase):
    """A remote object as a seekable file: every read is a ranged read of the store, but what was just read stays."""

    def __init__(self, store: Store, entry: Sized) -> None:
        self._store, self._entry, self._at = store, entry, 0
        self._recent = deque[tuple[int, bytes]](maxlen=RECENT)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, which no read of the store checks; the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readall(self) -> bytes:
        """The rest of the object in one read; the inherited method would take many."""
        return self.read(max(0, self._entry.size_bytes - self._at)) or b""

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; the number of bytes, 0 at the end."""
        end = min(self._at + len(buffer), self._entry.size_bytes)
        if end <= self._at:
            return 0
        data = self._held()[: len(buffer)]
        if not data:
            data = self._store.read_range(self._entry.name, self._at, end)
            if len(buffer) <= BUFFER_BYTES:
                self._recent.append((self._at, data))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _held(self) -> bytes:
        """Bytes from the position on that were just read; empty if they were not."""
        return next((data[self._at - at :] for at, data in self._recent if at <= self._at < at + len(data)), b"")
