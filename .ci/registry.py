"""An OCI registry as a release sees it: whether it would take what is pushed, and the digest of what it holds.

Credentials are those of `docker login`. As for docker, a registry on this machine's own address speaks plain HTTP.
"""

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import requests

from clio_argo.argo.faults import origin

# a registry that needs longer for a small answer would not take half a gigabyte
TIMEOUT_S = 30
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
# the first part must look like a host: docker takes `name/image` for one of its own registry
NAME = re.compile(r"(?=[^/]*[.:]|localhost(/|$))[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
REMEDIES = {
    401: "log in with an account that may push: docker login {host}",
    403: "log in with an account that may push: docker login {host}",
    404: "make the repository {repository} there, or correct REGISTRY",
    405: "it takes no pushes: correct REGISTRY",
}


class Refused(Exception):
    """Why there is no release, and what to do: one line."""


@dataclass(frozen=True)
class Registry:
    """The place HOST[:PORT][/PATH] of a registry, under which images and charts lie.

    Raises:
        Refused: it is not of that form.
    """

    name: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise Refused(f"REGISTRY={self.name}: give HOST[:PORT][/PATH] in small letters, without a scheme")

    @property
    def host(self) -> str:
        return self.name.partition("/")[0]

    @property
    def plain(self) -> bool:
        """Whether it speaks HTTP: docker, helm and containerd take it so of loopback addresses alone."""
        return bool(re.fullmatch(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?", self.host))

    def check(self, repository: str, tag: str) -> None:
        """Raises Refused unless `repository` could be pushed with a tag that it does not have yet; leaves nothing."""
        session = self._ask("POST", repository, "blobs/uploads/")
        self._expect(session, 202, repository)
        # it keeps what was begun for days
        self._send("DELETE", urljoin(session.url, session.headers["Location"]), repository)
        found = self._ask("HEAD", repository, f"manifests/{tag}")
        if found.status_code != 404:
            self._expect(found, 200, repository)
            raise Refused(
                f"registry {self.host} has {repository}:{tag}, and a release replaces nothing: raise the version in "
                "pyproject.toml, or delete that tag there if it is what an interrupted release left"
            )

    def digest(self, repository: str, tag: str) -> str:
        """The digest sha256:... under which the registry holds what was pushed."""
        found = self._ask("HEAD", repository, f"manifests/{tag}")
        self._expect(found, 200, repository)
        return found.headers["Docker-Content-Digest"]

    def _expect(self, answer: requests.Response, status: int, repository: str) -> None:
        if answer.status_code == status:
            return
        remedy = REMEDIES.get(answer.status_code, "try again later").format(host=self.host, repository=repository)
        raise Refused(f"registry {self.host} refuses {self.path(repository)} ({answer.status_code}): {remedy}")

    def path(self, repository: str) -> str:
        return "/".join([*self.name.split("/")[1:], repository])

    def _ask(self, method: str, repository: str, rest: str) -> requests.Response:
        url = f"{'http' if self.plain else 'https'}://{self.host}/v2/{self.path(repository)}/{rest}"
        return self._send(method, url, repository)

    def _send(self, method: str, url: str, repository: str) -> requests.Response:
        """An answer; where it asks who we are, that of a second try with the credentials of `docker login`."""
        headers = {"Accept": KINDS}
        try:
            answer = requests.request(method, url, headers=headers, timeout=TIMEOUT_S)
            if answer.status_code == 401:
                headers["Authorization"] = self._authorization(answer.headers.get("WWW-Authenticate", ""), repository)
                answer = requests.request(method, url, headers=headers, timeout=TIMEOUT_S)
        except requests.exceptions.SSLError as error:
            why = f"{origin(error)}: correct REGISTRY, or give this machine and docker its certificate"
            raise Refused(f"registry {self.host} speaks no HTTPS that is trusted here: {why}") from error
        except requests.RequestException as error:
            why = f"{origin(error)}: correct REGISTRY, or mend the network"
            raise Refused(f"registry {self.host} is out of reach: {why}") from error
        return answer

    def _authorization(self, challenge: str, repository: str) -> str:
        """What a registry wants to read: the login itself, or a token that another server makes of it."""
        known = login(self.host)
        if not challenge.lower().startswith("bearer "):
            return _basic(known)
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"service": asked.get("service", ""), "scope": f"repository:{self.path(repository)}:pull,push"}
        headers = {"Authorization": _basic(known)} if known else {}
        told = requests.get(asked.get("realm", ""), query, headers=headers, timeout=TIMEOUT_S)
        found = told.json() if told.ok else {}
        return f"Bearer {found.get('token') or found.get('access_token') or ''}"


def _basic(known: str | None) -> str:
    return "Basic " + base64.b64encode((known or "").encode()).decode()


def login(host: str) -> str | None:
    """USER:PASSWORD that `docker login` keeps for a registry, in its file or in a helper."""
    file = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    helper = shutil.which(f"docker-credential-{kept.get('credHelpers', {}).get(host) or kept.get('credsStore')}")
    if helper:
        told = subprocess.run([helper, "get"], input=host, text=True, capture_output=True, check=False)
        found = json.loads(told.stdout) if told.returncode == 0 else None
        return found and f"{found['Username']}:{found['Secret']}"
    entry = kept.get("auths", {}).get(host, {}).get("auth")
    return entry and base64.b64decode(entry).decode()
