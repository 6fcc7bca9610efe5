"""Errors that users see. The lowest layer: it imports nothing of this package.

Exit codes: 0 success, 1 failure, 2 wrong call or request, 75 try again, 137 out of memory.
"""

from collections.abc import Sequence

# 128 + SIGTERM, as shells report it; the emitted templates retry it
TERMINATED = 143


def printable(text: str, but: str = "") -> str:
    r"""Text in which characters that a terminal would obey are spelled out (`\n`, `\x1b`), except those of `but`."""
    return "".join(c if c.isprintable() or c in but else c.encode("unicode_escape").decode() for c in text)


def first_words(text: str, most: int) -> str:
    """The first words of a text that is longer than `most` characters, else the text."""
    return text if len(text) <= most else f"{text[:most].rpartition(' ')[0] or text[:most]} ..."


def last_words(text: str, most: int) -> str:
    """The last words of a text that is longer than `most` characters, else the text."""
    return text if len(text) <= most else f"... {text[-most:].partition(' ')[2] or text[-most:]}"


class ClioError(Exception):
    """A failure whose message says what is wrong and what to do; it is shown without a stack trace."""

    exit_code = 1

    def __str__(self) -> str:
        """The message, in which lines are kept: names within them are made printable where they are put in."""
        return printable(super().__str__(), but="\n")


class UserError(ClioError):
    """A wrong call, request or input, detected before anything was spent."""

    exit_code = 2

    @classmethod
    def all(cls, headline: str, problems: Sequence[str]) -> "UserError":
        """One error for all problems, one line each."""
        return cls("\n".join([headline, *(f"  - {p}" for p in problems)]))


class NewerDocument(UserError):
    """A document that a newer version of the program wrote."""


class MissingInput(ClioError):
    """An object that a step needs does not exist."""


class MissingBucket(ClioError):
    """The bucket does not exist, so it holds neither a source nor a run."""


class StoreError(ClioError):
    """A store refuses an operation: disk full, read-only, no permission."""


class NoAccess(StoreError):
    """The account in use, or the lack of one, does not suffice."""


class SupersededError(ClioError):
    """Another request has taken over the run's folder."""

    @classmethod
    def of(cls, url: str) -> "SupersededError":
        """The error of a process whose request at `url` is another one now."""
        return cls(
            f"{url}: another request replaced this one (--update); it stops. What lies there is made for the other "
            "one: choose another --out for this one"
        )


class GateStopped(ClioError):
    """A gate (flagged slices, canvas, breaks) stopped the run before the expensive part."""


class BrokenVolume(ClioError):
    """The written volume does not agree with its manifest."""


class BrokenInvariant(ClioError):
    """The software contradicts itself: never the user's fault."""


class TransientError(ClioError):
    """A passing fault of a store or node; the same call may succeed later."""

    # EX_TEMPFAIL of sysexits.h; workflows retry a pod that ends with it
    exit_code = 75


class OutOfMemory(ClioError):
    """Memory does not suffice."""

    # 128 + SIGKILL, with which the system ends a process for the same reason; workflows double the pod's memory
    exit_code = 137


# cv2.Error.StsNoMem; spelled out, since this layer imports no OpenCV
OPENCV_NO_MEMORY = -4


def short_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, OpenCV or the system says that memory or threads ran out."""
    # decoders report a damaged file and too little memory alike: a small pod must not call a whole slice bad
    return (
        isinstance(error, MemoryError)
        or getattr(error, "code", None) == OPENCV_NO_MEMORY
        or (isinstance(error, RuntimeError) and "can't start new thread" in str(error))
        # of the dynamic linker, where a library finds no room
        or (isinstance(error, ImportError) and "failed to map segment" in str(error))
    )
