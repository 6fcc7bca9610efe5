"""The dataset of a clio-store that shows a run."""

import re
import warnings
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from clio_argo.model.base import Section

# a request has a field of the name of a method that every class has, and no instance shows
warnings.filterwarnings("ignore", 'Field name "register" in "Request" shadows')

# of a base URL that names one
VERSION = re.compile(r"v\d+")
LATEST = "v2"
# of the id of a dataset, which is the last part of a URL and of a document's path
DATASET = r"^[^/\s.][^/\s]{0,199}$"


def store_address(url: str) -> str:
    """Base URL of a clio-store, with its version, and without a slash at the end.

    Raises:
        ValueError: it is none, or a token would go over it unencrypted, or it holds a password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("expected https://HOST/PATH of a clio-store")
    # refuses one that is no number
    _ = parts.port
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("holds more than https://HOST/PATH; the token comes from CLIO_STORE_TOKEN")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// would send the token unencrypted; use https:// (http:// is for this machine only)")
    base = url.rstrip("/")
    return base if VERSION.fullmatch(base.rpartition("/")[2]) else f"{base}/{LATEST}"


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Register(Section):
    """The dataset of a clio-store that shows a run when it is complete."""

    store: str | None = None
    """Base URL of a clio-store, for example https://clio-store.example.org; /v2 is added unless it ends in a version.
    The token comes from CLIO_STORE_TOKEN, never from a request. Default: the run is registered nowhere."""

    dataset: str | None = Field(None, pattern=DATASET)
    """Id of the dataset. Default: the id of the request."""

    @field_validator("store")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        if value is not None:
            store_address(value)
        return value
