"""An OCI registry as a release sees it: whether it would take what is pushed, and what it holds.

Credentials are those of `docker login`. As for docker, a registry on this machine's own address speaks plain HTTP.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from logins import TIMEOUT_S, Header, Refused, authorization, login

from clio_argo.argo.faults import origin

# manifests and lists of manifests, of Docker and of OCI: without them registries convert what they hold
KINDS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
# DNS takes no longer part of a name
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# the first part must look like a host: docker takes `name/image` for one of its own registry
NAME = re.compile(rf"(?=[^/]*[.:]|localhost(/|$)){LABEL}(\.{LABEL})*(:\d+)?(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*")
FORM = (
    "give HOST[:PORT][/PATH], such as registry.example/em: HOST with a dot or a port, all in small letters, no https://"
)
# its repositories are USER/NAME, and a chart is pushed to REGISTRY/charts/NAME
HUB = re.compile(r"((index|registry-1|registry|www)\.)?docker\.(io|com)")
LOOPBACK = "localhost,127.0.0.0/8"
LATER = "try again later"
REMEDIES = {
    400: "correct REGISTRY",
    401: "log in with an account that may push: docker login {host}",
    403: "log in with an account that may push: docker login {host}",
    404: "make the repository {path} there, or correct REGISTRY",
    405: "it takes no pushes: correct REGISTRY",
}
# enough for what a registry says, and little enough for a line
WORDS = 200


class Closed(Refused):
    """Nothing of the registry can be asked: whatever else is asked of it, it says the same."""


@dataclass(frozen=True)
class Held:
    """An image in a registry: its digest, all digests by which docker may know it, and its labels."""

    digest: str
    known_as: frozenset[str]
    labels: dict[str, str]


@dataclass(frozen=True)
class Registry:
    """The place HOST[:PORT][/PATH] of a registry, under which images and charts lie.

    Raises:
        Refused: it is not of that form, or no chart can be there.
    """

    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise Refused(f"REGISTRY={self.name}: {FORM}")
        if HUB.fullmatch(self.host):
            raise Refused(
                f"REGISTRY={self.name}: Docker Hub has no folder charts/ for the chart: take another registry"
            )

    @property
    def host(self) -> str:
        return self.name.partition("/")[0]

    @property
    def plain(self) -> bool:
        """Whether it speaks HTTP: docker, helm and containerd take it so of loopback addresses alone."""
        return is_loopback(self.host)

    def check(self, repository: str) -> None:
        """Raises Refused unless `repository` could be pushed to; leaves nothing."""
        begun = self._ask("POST", repository, "blobs/uploads/")
        self._expect(begun, 202, repository)
        if place := begun.headers.get("Location"):
            # it keeps what was begun for days
            self._send("DELETE", urljoin(begun.url, place), repository)

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest sha256:... of what the registry holds under a tag; None: nothing."""
        found = self._ask("GET", repository, f"manifests/{tag}")
        if found.status_code == 404:
            return None
        self._expect(found, 200, repository)
        # not its header: some send none
        return f"sha256:{hashlib.sha256(found.content).hexdigest()}"

    def image(self, repository: str, digest: str) -> Held:
        """What an image of the registry says of itself; that of its first platform."""
        manifest, known_as = self._document(repository, f"manifests/{digest}"), {digest}
        # beside the images of a list may be what is said of them, for no platform
        if listed := [m for m in manifest.get("manifests", []) if m.get("platform", {}).get("os") != "unknown"]:
            known_as.add(listed[0]["digest"])
            manifest = self._document(repository, f"manifests/{listed[0]['digest']}")
        config = manifest.get("config", {}).get("digest", "")
        told = self._document(repository, f"blobs/{config}") if config else {}
        return Held(digest, frozenset(known_as | {config}), (told.get("config") or {}).get("Labels") or {})

    def path(self, repository: str) -> str:
        return "/".join([*self.name.split("/")[1:], repository])

    def _document(self, repository: str, rest: str) -> dict[str, Any]:
        found = self._ask("GET", repository, rest)
        self._expect(found, 200, repository)
        try:
            return dict(found.json())
        except (ValueError, TypeError) as error:
            raise Refused(f"registry {self.host} holds at {found.url} what describes no image: delete it") from error

    def _expect(self, answer: requests.Response, status: int, repository: str) -> None:
        if answer.status_code == status:
            return
        path = self.path(repository)
        remedy = REMEDIES.get(answer.status_code, LATER).format(host=self.host, path=path)
        kind = Closed if answer.status_code == 401 else Refused
        raise kind(f"registry {self.host} refuses {path} ({answer.status_code}{_said(answer)}): {remedy}")

    def _ask(self, method: str, repository: str, rest: str) -> requests.Response:
        url = f"{'http' if self.plain else 'https'}://{self.host}/v2/{self.path(repository)}/{rest}"
        return self._send(method, url, repository)

    def _send(self, method: str, url: str, repository: str) -> requests.Response:
        """An answer; where it asks who we are, that of a second try with the credentials of `docker login`."""
        try:
            answer = _request(method, url)
            if answer.status_code == 401:
                challenge = answer.headers.get("WWW-Authenticate", "")
                answer = _request(method, url, authorization(challenge, login(self.host), self.path(repository)))
        except requests.exceptions.SSLError as error:
            why = f"{origin(error)}: correct REGISTRY, or give this machine and docker its certificate"
            raise Closed(f"registry {self.host} speaks no HTTPS that is trusted here: {why}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            why = f"{origin(error)}: correct REGISTRY, or mend the network"
            raise Closed(f"registry {self.host} is out of reach: {why}") from error
        if answer.request.method != method:
            raise Closed(f"{self.host} is no registry, but sends people to {answer.url}: correct REGISTRY")
        return answer


def _request(method: str, url: str, word: str | None = None) -> requests.Response:
    # what docker and helm ask directly, whatever proxy is set
    direct = {"no_proxy": LOOPBACK} if is_loopback(urlsplit(url).netloc) else None
    return requests.request(
        method, url, headers={"Accept": KINDS}, auth=Header(word), proxies=direct, timeout=TIMEOUT_S
    )


def is_loopback(host: str) -> bool:
    """Whether HOST[:PORT] is this machine's own address."""
    return bool(re.fullmatch(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?", host))


def _said(answer: requests.Response) -> str:
    """What a registry says of its refusal, as its specification has it; empty if it says nothing."""
    try:
        words = " ".join(str(answer.json()["errors"][0]["message"]).split())
    except (ValueError, LookupError, TypeError):
        return ""
    return f": {words[:WORDS]}" if words else ""
