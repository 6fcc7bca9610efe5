"""The arithmetic of HTTP's byte ranges (RFC 9110, section 14). Pure."""

import re

_SINGLE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.ASCII | re.IGNORECASE)
_TOO_LONG = 20  # digits; 2**64 has as many, and Python refuses to parse thousands of them


class Unsatisfiable(ValueError):
    """A range which is well formed but holds no byte of the object: status 416."""


def byte_range(header: str | None, size_bytes: int) -> range | None:
    """The offsets that `header` (the value of `Range`) asks for in an object of `size_bytes`, or None for all of it.

    Never empty. Several ranges at once, other units and malformed values are answered with the whole object, as the
    RFC permits. Raises `Unsatisfiable`.
    """
    match = _SINGLE.fullmatch(header or "")
    if match is None or max(map(len, match.groups())) > _TOO_LONG or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return _not_empty(range(max(0, size_bytes - int(last)), size_bytes))
    if last and int(last) < int(first):
        return None
    return _not_empty(range(int(first), min(int(last) + 1 if last else size_bytes, size_bytes)))


def _not_empty(offsets: range) -> range:
    if not offsets:
        raise Unsatisfiable
    return offsets


def content_range(offsets: range, size_bytes: int) -> str:
    """The value of `Content-Range` for a 206; `offsets` is not empty."""
    return f"bytes {offsets.start}-{offsets.stop - 1}/{size_bytes}"
