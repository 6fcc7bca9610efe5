"""Symbolic links and other special files in a local source: which of them are read."""

import errno
import os
import stat
from pathlib import Path

LEAVES = "a link that leaves the folder; `follow_links: true` (renumber: --follow-links) reads such files"


def outside(path: Path | str, base: str) -> str:
    """Why what lies at a path is not read: it is not in folder `base`, whose own path has no links; empty if it is."""
    return "" if Path(os.path.realpath(path)).is_relative_to(base) else LEAVES


def special_fault(item: "os.DirEntry[str]", base: str) -> str:
    """Why an item of a listing is not read, a link or no file; empty if it is one in folder `base`. Opens nothing."""
    try:
        mode = item.stat().st_mode
    except OSError as error:
        words = {errno.ELOOP: "a link in a circle", errno.ENOENT: "a link to what does not exist"}
        return words.get(error.errno or 0, f"a link that cannot be followed: {error.strerror}")
    if not stat.S_ISREG(mode):
        return "a device or pipe"
    return outside(item.path, base) if item.is_symlink() else ""
