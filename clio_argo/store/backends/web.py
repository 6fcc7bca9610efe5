"""What stores behind HTTP share: how patiently they are asked, and how much they list at once."""

import os
from typing import Any

from clio_argo.errors import UserError

# pauses of 1, 2, 4 ... 32 s between 8 tries, with jitter: a store that refuses is given up after about two minutes
TRIES, FIRST_PAUSE_S, LONGEST_PAUSE_S = 8, 1, 32
# TCP and TLS take a few round trips, well below a second each; the rest is for lost packets and busy machines
CONNECT_S = 10
# below 1 kB/s for 30 s is a connection that will not recover; curl alone would wait for ever
SILENT_S, SLOWEST_BYTES_PER_S = 30, 1000
# requests of a volume that are under way at once; chosen: many pods share the store
REQUESTS = 16
# as many as both Google and Amazon list at once
PAGE = 1000


def _positive(name: str, default: int) -> int:
    """A whole number from the environment."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise UserError(f"{name} {text!r}: expected a whole number above 0, for example {default}")
    return int(text)


def tries() -> int:
    """How often a request is tried before its store counts as unreachable."""
    return _positive("CLIO_STORE_TRIES", TRIES)


def silence_s() -> int:
    """After how many seconds of silence a request is tried again."""
    return _positive("CLIO_STORE_SILENCE_S", SILENT_S)


def retries() -> dict[str, Any]:
    """Our pauses as tensorstore's specs take them."""
    # tensorstore's first pause is twice the delay that it is given
    return {"max_retries": tries(), "initial_delay": f"{FIRST_PAUSE_S / 2}s", "max_delay": f"{LONGEST_PAUSE_S}s"}


def set_timeouts() -> None:
    """Set tensorstore's timeouts, unless a person has set them.

    tensorstore takes them from the environment only, at the first request of the process.
    """
    os.environ.setdefault("TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS", str(CONNECT_S))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS", str(silence_s()))
    os.environ.setdefault("TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES", str(SLOWEST_BYTES_PER_S))


def variables(*beginnings: str) -> frozenset[tuple[str, str]]:
    """The variables with these beginnings and those of `tries` and `silence_s`: other ones need another client."""
    return frozenset(
        v for v in os.environ.items() if v[0].startswith((*beginnings, "CLIO_STORE_TRIES", "CLIO_STORE_S"))
    )
