"""Errors that people see. The lowest layer: imports nothing of this package.

Exit codes: 0 done, 1 failed, 2 wrong call or configuration, 75 try again.
"""

from collections.abc import Sequence


class ClioError(Exception):
    """A failure whose message names what is wrong and what to do; shown without a stack trace."""

    exit_code = 1


class UserError(ClioError):
    """A wrong call, configuration or input, found before anything was spent."""

    exit_code = 2

    @classmethod
    def all(cls, headline: str, problems: Sequence[str]) -> "UserError":
        """Name every problem at once, one line each."""
        return cls("\n".join([headline, *(f"  - {p}" for p in problems)]))


class NewerDocument(UserError):
    """A document that a newer version of the program wrote."""


class MissingInput(ClioError):
    """An object that a step needs is not there."""


class MissingBucket(ClioError):
    """There is no such bucket: neither a source nor a run that is not there yet."""


class StoreError(ClioError):
    """A store refuses: disk full, read-only, no permission."""


class SupersededError(ClioError):
    """Another request took the run's folder over."""


class GateStopped(ClioError):
    """A gate (flagged slices, canvas, breaks) stopped the run before the expensive part."""


class BrokenVolume(ClioError):
    """The written volume does not agree with its manifest."""


class BrokenInvariant(ClioError):
    """The software contradicts itself: never the user's fault."""


class TransientError(ClioError):
    """A passing fault of a store or node."""

    exit_code = 75


class OutOfMemory(ClioError):
    """Memory does not suffice; the system ends a process for it with the same code."""

    exit_code = 137


# cv2.Error.StsNoMem
OPENCV_NO_MEMORY = -4


def short_of_memory(error: BaseException) -> bool:
    """Whether memory or threads ran out, in the words of Python, OpenCV or the system: no fault of the data."""
    return (
        isinstance(error, MemoryError)
        or getattr(error, "code", None) == OPENCV_NO_MEMORY
        or (isinstance(error, RuntimeError) and "can't start new thread" in str(error))
    )
