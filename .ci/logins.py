"""What `docker login` keeps, and the word that a registry or its token server wants to read of it."""

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

# a server that needs longer for a small answer would not take half a gigabyte
TIMEOUT_S = 30
# the user by which helpers mark a token that is traded for others, as some clouds' logins leave it
IDENTITY = "<token>"


class Refused(Exception):
    """Why there is no release, and what to do: one line."""


@dataclass(frozen=True)
class Login:
    """A user with a password; IDENTITY with a token that a token server trades for others."""

    user: str
    secret: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


class Header(requests.auth.AuthBase):
    """Sends this word, or none: left to itself requests would send what ~/.netrc has in its place."""

    def __init__(self, word: str | None = None) -> None:
        self.word = word

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.word:
            request.headers["Authorization"] = self.word
        return request


def login(host: str) -> Login | None:
    """Who docker says we are at a registry, from its file or a helper. Raises Refused: the file is broken."""
    file = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    try:
        kept = json.loads(file.read_text()) if file.exists() else {}
        helper = (kept.get("credHelpers") or {}).get(host) or kept.get("credsStore")
        if helper and (program := shutil.which(f"docker-credential-{helper}")):
            return _helped(program, host)
        entries = kept.get("auths") or {}
        return _entry(entries.get(host) or {_host(key): entry for key, entry in entries.items()}.get(host) or {})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        why = f"{file} is not as docker writes it ({type(error).__name__}: {error})"
        raise Refused(f"{why}: mend or remove it, then docker login {host}") from error


def _host(key: str) -> str:
    """A registry under which a login is kept: older programs wrote https://HOST/v1/."""
    return (urlsplit(key).netloc if "://" in key else key).partition("/")[0]


def _helped(program: str, host: str) -> Login | None:
    told = subprocess.run([program, "get"], input=host, text=True, capture_output=True, check=False)
    found = json.loads(told.stdout) if told.returncode == 0 else None
    return found and Login(found["Username"], found["Secret"])


def _entry(entry: dict[str, str]) -> Login | None:
    if entry.get("identitytoken"):
        return Login(IDENTITY, entry["identitytoken"])
    user, colon, secret = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    return Login(user, secret) if colon else None


def authorization(challenge: str, known: Login | None, path: str) -> str | None:
    """What a registry wants to read of us for a repository: the login, or a token that another server makes of it.

    Raises:
        Refused: the token server fails. If it only does not know us it gives no token, and the registry will say so.
        requests.RequestException: it is out of reach.
    """
    if not challenge.lower().startswith("bearer "):
        return known.basic if known else None
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = asked.get("realm", "")
    told = _trade(realm, {"service": asked.get("service", ""), "scope": f"repository:{path}:pull,push"}, known)
    if told.status_code in {400, 401, 403}:
        return None
    if not (token := _token(told)):
        raise Refused(f"{realm}, which makes the registry's tokens, gives none ({told.status_code}): try again later")
    return f"Bearer {token}"


def _trade(realm: str, query: dict[str, str], known: Login | None) -> requests.Response:
    if known and known.user == IDENTITY:
        form = {**query, "grant_type": "refresh_token", "client_id": "clio-argo", "refresh_token": known.secret}
        return requests.post(realm, form, auth=Header(), timeout=TIMEOUT_S)
    return requests.get(realm, query, auth=Header(known.basic if known else None), timeout=TIMEOUT_S)


def _token(told: requests.Response) -> str | None:
    try:
        found = dict(told.json()) if told.ok else {}
    except (ValueError, TypeError):
        return None
    return found.get("token") or found.get("access_token")
