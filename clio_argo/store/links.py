"""Symbolic links in a local source: which of them are read."""

import errno
import os
import stat
from pathlib import Path

LEAVES = "a link that leaves the folder; `follow_links: true` reads such files"


def outside(path: Path | str, base: str) -> str:
    """Why what lies at a path is not read: it is not in folder `base`, whose own path has no links; empty if it is."""
    return "" if Path(os.path.realpath(path)).is_relative_to(base) else LEAVES


def link_fault(path: str, base: str) -> str:
    """Why the file that a link leads to is not read; empty if it lies in folder `base`. Opens nothing."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116, entries of a listing are text
    except OSError as error:
        words = {errno.ELOOP: "a link in a circle", errno.ENOENT: "a link to what does not exist"}
        return words.get(error.errno or 0, f"a link that cannot be followed: {error.strerror}")
    return outside(path, base) if stat.S_ISREG(mode) else "a link to a device or pipe"
