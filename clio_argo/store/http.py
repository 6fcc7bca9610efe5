"""Requests to servers that get something secret: no redirect is followed, since it leads to another machine."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

# long for a server that answers at all; a step that waited for ever would keep the workflow running
TIMEOUT_S = 30
# no document is so long
LONGEST = 10_000_000
REDIRECTED = "redirects are not followed, give its final address"


class Answer(NamedTuple):
    """What a server answers, whatever the status."""

    status: int
    reason: str
    body: bytes

    @property
    def passing(self) -> bool:
        """Whether a later try may have another answer."""
        return self.status >= 500 or self.status == 429


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None: the redirect itself is the answer then."""


def ask(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, proxies: bool = True
) -> Answer:
    """Send a request, its body as JSON.

    proxies: whether proxies of the environment are used.

    Raises:
        OSError: the server does not answer.
        ValueError, http.client.HTTPException: the URL or a header cannot be used; the messages show them.
    """
    data = None if body is None else json.dumps(body).encode()
    typed = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, {**typed, **(headers or {})}, method=method)
    direct = [] if proxies else [urllib.request.ProxyHandler({})]
    try:
        with urllib.request.build_opener(_NoRedirects, *direct).open(request, timeout=TIMEOUT_S) as answer:
            return Answer(answer.status, answer.reason, answer.read(LONGEST))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, str(error.reason), error.read(LONGEST))
