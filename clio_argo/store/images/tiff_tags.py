"""Looks at the tags of a TIFF file before tifffile reads their values, of which each number takes up to 43 bytes."""

import io
import struct
from typing import BinaryIO, cast

from clio_argo.store.images.base import Unreadable

# types of tags that cost no more than their bytes, and that pages may share
TEXT = (1, 2, 7)
# 45 MB; as many tiles of 64 x 64 as 65,000 x 65,000 pixels have
MOST_NUMBERS = 2**20
# TIFF 6.0 and BigTIFF: version, bytes of the number of tags, and a tag without its value
CLASSIC, BIG = (42, 2, "HHI4x"), (43, 8, "HHQ8x")


def checked(file: BinaryIO) -> BinaryIO:
    """A TIFF file that looks at the tags of each page before their values are read.

    Reading a page raises `Unreadable` if one of its tags has more than `MOST_NUMBERS` numbers.
    """
    return cast("BinaryIO", _CheckedTags(file))


class _CheckedTags(io.RawIOBase):
    """A file for whoever reads the number of tags of a page and then all of them at once, as tifffile does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._tags = file, 0
        start = file.read(4)
        file.seek(0)
        self._order = ">" if start[:2] == b"MM" else "<"
        _, self._counter, self._tag = BIG if BIG[0] in start[2:] else CLASSIC

    def read(self, size: int = -1) -> bytes:
        """The next bytes of the file."""
        data, one = self._file.read(size), struct.calcsize("<" + self._tag)
        if self._tags and size == self._tags * one:
            for code, kind, count in struct.iter_unpack(self._order + self._tag, data[: len(data) // one * one]):
                if count > MOST_NUMBERS and kind not in TEXT:
                    raise Unreadable(f"its tag {code} says that it holds {count} numbers; save it anew")
        self._tags = int.from_bytes(data, "big" if self._order == ">" else "little") if size == self._counter else 0
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes; their number."""
        return self._file.readinto(buffer)  # type: ignore[attr-defined,no-any-return]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The byte that is read next."""
        return self._file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True
