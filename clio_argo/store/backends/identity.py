"""The identity of a machine or pod of Google Cloud, which a metadata server gives: it may fail while a pod starts."""

import os
import socket
import time
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from clio_argo.errors import TransientError, first_words
from clio_argo.store.backends import web

# Google's own clients look for the server under these names, in this order
VARIABLES, HOST = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT"), "metadata.google.internal"
# nothing listens on the discard port, so that looking for a metadata server ends at once
NOWHERE = "127.0.0.1:9"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
# a server in the same machine, which answers in milliseconds
ANSWER_S = 3
# characters of an answer: the first sentence says it
LONGEST = 200


def await_identity() -> bool:
    """Wait until the metadata server gives a token; False if there is no server, or no identity.

    Raises:
        TransientError: it fails each time, or does not know yet what the account may do.
    """
    host = next(filter(None, map(os.environ.get, VARIABLES)), HOST)
    if not _is_known(host):
        return False
    pauses = [min(web.FIRST_PAUSE_S * 2**i, web.LONGEST_PAUSE_S) for i in range(web.tries() - 1)]
    for pause_s in [*pauses, None]:
        status, words = _asked(host)
        if status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            return status == HTTPStatus.OK
        time.sleep(pause_s or 0)
    raise TransientError(
        f"{host} gives no credentials ({first_words(words, LONGEST)}): try again later. An account that was made or "
        "granted something a moment ago is known after some minutes"
    )


def _is_known(host: str) -> bool:
    if host == NOWHERE:
        return False
    try:
        socket.getaddrinfo(host.partition(":")[0], None)
    except OSError:
        return False
    return True


def _asked(host: str) -> tuple[int, str]:
    """The status of one answer with its words, or 0 with those of an error."""
    connection = HTTPConnection(host, timeout=ANSWER_S)
    try:
        connection.request("GET", TOKEN, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        return answer.status, f"{answer.status} {answer.read().decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return 0, str(error) or type(error).__name__
    finally:
        connection.close()
