"""From what tensorstore and the system say to what a person can do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from clio_argo.errors import ClioError, MissingInput, StoreFault, TryAgain

# "403 GET https://..." is how google-cloud-storage begins what it says
REMEDIES: tuple[tuple[tuple[str, ...], type[ClioError], str], ...] = (
    (
        ("No space left", "RESOURCE_EXHAUSTED", "Disk quota"),
        StoreFault,
        "no space is left: free some or choose another place, then run the same command again; "
        "it goes on where it stopped",
    ),
    (
        (
            "Read-only file system",
            "PERMISSION_DENIED",
            "Permission denied",
            "UNAUTHENTICATED",
            "401 GET",
            "403 GET",
            "credentials",
        ),
        StoreFault,
        "no permission: check who owns it, or the credentials in use",
    ),
    (("NOT_FOUND", "No such file", "404 GET"), MissingInput, "it does not exist"),
    (
        ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "429 GET", "503 GET", "Timeout of"),
        TryAgain,
        "the store does not answer; try again",
    ),
    (
        ("Too many open files",),
        TryAgain,
        "too many open files: raise the limit (ulimit -n) or use fewer workers",
    ),
)


@contextmanager
def store_errors(url: str, name: str) -> Iterator[None]:
    """Raise what a store refuses as an error that names the object and the remedy."""
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise explained(url, name, error) from error


def explained(url: str, name: str, error: Exception) -> ClioError:
    text = str(error)
    for signs, kind, remedy in REMEDIES:
        if any(sign in text for sign in signs):
            return kind(f"{url}{name}: {remedy}\n  ({text.splitlines()[0][:300]})")
    return StoreFault(f"{url}{name}: {text.splitlines()[0][:300] if text else type(error).__name__}")
