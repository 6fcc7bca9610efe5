"""What pages in a browser can read of a store without credentials."""

from typing import TYPE_CHECKING

from clio_argo.errors import TransientError
from clio_argo.store.documents import Store
from clio_argo.store.waiting import within

if TYPE_CHECKING:
    import requests

# to connect, to answer: less than the doctor waits, so that the error names what does not answer
TIMEOUT_S = (5, 10)
# at the end of a run nobody waits longer for what only decides how it is opened
PATIENCE_S = 3.0
PRIVATE = "anonymous readers are refused: links open only for those who may read the bucket"


def refused_to_pages(url: str, origin: str) -> str:
    """Why pages of a site cannot read an object as anybody could; empty if they can. One byte of it is asked for.

    Raises:
        TransientError: there is no answer, or none that tells.
    """
    answer = asked(url, Origin=origin, Range="bytes=0-0")
    if answer.status_code in (401, 403):
        return PRIVATE
    if answer.status_code >= 500:
        raise TransientError(f"{url}: the store answered {answer.status_code}")
    allowed = answer.headers.get("Access-Control-Allow-Origin") in ("*", origin)
    return "" if allowed else f"the store does not let pages of {origin} read it ({answer.status_code})"


def is_closed_to_pages(store: Store, name: str, origin: str) -> bool:
    """Whether pages of a site certainly cannot read an object; asked for a few seconds at most."""
    place, key = store.at(name)
    address = place.web_address(key)
    if address is None:
        return True
    try:
        return bool(within(PATIENCE_S, lambda: refused_to_pages(address, origin)))
    except (TimeoutError, TransientError):
        return False


def asked(url: str, **headers: str) -> "requests.Response":
    """The answer to a request without credentials. Raises `TransientError` if there is none."""
    # imported here: runs on this machine ask nobody
    import requests

    try:
        return requests.get(url, headers=headers, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise TransientError(f"{url}: does not answer") from error
