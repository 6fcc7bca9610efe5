"""What decoders written in C say of damaged data that they decode nevertheless."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

# Of libjpeg (jerror.h), which OpenCV lets write its first warning to the process's standard error. Pillow and
# imagecodecs drop them.
WARNING = re.compile(r"(Corrupt JPEG data|Premature end|Inconsistent progression|Invalid SOS)[^\n]*")
STDERR = 2  # of POSIX
LISTENING = Lock()


@contextmanager
def heard() -> Iterator[list[str]]:
    """Warnings of decoders that run within the context, in a list that is filled at its end.

    Everything else that the process writes to its standard error meanwhile appears after it.
    """
    words: list[str] = []
    with LISTENING, os.fdopen(os.memfd_create("decoder"), "w+b") as listener:
        usual = _copy_of_stderr()
        os.dup2(listener.fileno(), STDERR)
        try:
            yield words
        finally:
            os.dup2(usual, STDERR)
            os.close(usual)
            # its position is that of whoever wrote
            listener.seek(0)
            text = listener.read().decode(errors="replace")
            words += (m[0] for m in WARNING.finditer(text))
            os.write(STDERR, WARNING.sub("", text).lstrip("\n").encode())


def _copy_of_stderr() -> int:
    try:
        return os.dup(STDERR)
    # closed, as of some services
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
