"""Registries of images for tests: the real one (CNCF distribution), open, with a password, or with a token server."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import yaml
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from tests.stores import free_port, wait_for

USER = "ann:right"
# the same as htpasswd keeps it
KEPT = "ann:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n"
MANIFEST, LIST = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
TOKEN_S = 300
# what the token server trades for a token, as the logins of some clouds leave it with docker
IDENTITY = "what-a-login-left"


@dataclass(frozen=True)
class Served:
    """A registry on this machine."""

    host: str
    log: Path

    def repositories(self, user: str = "") -> list[str]:
        """All that something was pushed to."""
        found = requests.get(f"http://{self.host}/v2/_catalog", auth=_pair(user), timeout=TOKEN_S)
        return list(found.json()["repositories"])

    def push(self, repository: str, tag: str, labels: Mapping[str, str] | None = None) -> str:
        """Push the smallest image that has a digest, and tell it; the registry is open."""
        config = json.dumps({"os": "linux", "config": {"Labels": labels}} if labels else {}).encode()
        kind = "application/vnd.oci.image.config.v1+json"
        blob = {"mediaType": kind, "size": len(config), "digest": self._upload(repository, config)}
        return self._put(repository, tag, MANIFEST, {"config": blob, "layers": []})

    def push_list(self, repository: str, tag: str, digest: str) -> str:
        """Push a list of an image and of what is said of it, as newer dockers make of each image."""
        said, platforms = self.push(repository, "said"), ("unknown", "linux")
        images = [
            {"mediaType": MANIFEST, "size": len(self._get(repository, at)), "digest": at, "platform": {"os": os}}
            for at, os in zip((said, digest), platforms, strict=True)
        ]
        return self._put(repository, tag, LIST, {"manifests": images})

    def _put(self, repository: str, tag: str, kind: str, document: dict[str, Any]) -> str:
        url, told = f"http://{self.host}/v2/{repository}/manifests/{tag}", {"schemaVersion": 2, "mediaType": kind}
        made = requests.put(url, json.dumps({**told, **document}), headers={"Content-Type": kind}, timeout=TOKEN_S)
        made.raise_for_status()
        return made.headers["Docker-Content-Digest"]

    def _get(self, repository: str, digest: str) -> bytes:
        url = f"http://{self.host}/v2/{repository}/manifests/{digest}"
        return requests.get(url, headers={"Accept": MANIFEST}, timeout=TOKEN_S).content

    def _upload(self, repository: str, blob: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        begun = requests.post(f"http://{self.host}/v2/{repository}/blobs/uploads/", timeout=TOKEN_S)
        requests.put(begun.headers["Location"], blob, params={"digest": digest}, timeout=TOKEN_S).raise_for_status()
        return digest


def _pair(user: str) -> tuple[str, str] | None:
    name, _, word = user.partition(":")
    return (name, word) if user else None


def program() -> str:
    """The path of the registry's program; a test that asks is skipped without one."""
    found = shutil.which("registry")
    if found is None:
        stop = pytest.fail if os.environ.get("CLIO_REQUIRE_REGISTRY") == "1" else pytest.skip
        stop("no registry in PATH: .ci/registry-server FOLDER builds it")
    return found


@contextmanager
def registry(folder: Path, auth: str = "") -> Iterator[Served]:
    """A registry that keeps its data in `folder`. `auth`: "", "password", or "token" for a token server beside it."""
    started, port, log = program(), free_port(), folder / "log"
    with ExitStack() as stack:
        config: dict[str, Any] = {
            "version": 0.1,
            "http": {"addr": f"127.0.0.1:{port}", "secret": "x"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        }
        if auth == "password":
            (folder / "htpasswd").write_text(KEPT)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        if auth == "token":
            realm = stack.enter_context(token_server(folder / "keys.json"))
            told = {"realm": realm, "service": "tests", "issuer": "tests", "jwks": str(folder / "keys.json")}
            config["auth"] = {"token": told}
        (folder / "config.yml").write_text(yaml.safe_dump(config))
        command = [started, "serve", str(folder / "config.yml")]
        quiet = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=quiet) as process:
            try:
                wait_for(port, process)
                yield Served(f"127.0.0.1:{port}", log)
            finally:
                process.kill()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@contextmanager
def token_server(keys: Path) -> Iterator[str]:
    """Its address. It makes tokens for what lies under `ann/`, for who knows USER or IDENTITY; its key is in `keys`."""
    private = generate_private_key(65537, 2048)
    public = private.public_key().public_numbers()
    told = {"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "e": "AQAB", "n": _text(public.n.to_bytes(256))}
    keys.write_text(json.dumps({"keys": [told]}))

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            self.tell("token", base64.b64decode(given).decode() == USER, parse_qs(urlsplit(self.path).query))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.tell("access_token", form["refresh_token"] == [IDENTITY], form)

        def tell(self, name: str, known: bool, asked: Mapping[str, list[str]]) -> None:
            self.send_response(200 if known else 401)
            self.end_headers()
            if known:
                self.wfile.write(json.dumps({name: token(asked["scope"][0])}).encode())

        def log_message(self, *words: object) -> None:
            """Nobody reads it."""

    def token(scope: str) -> str:
        _, name, actions = scope.split(":")
        may = [{"type": "repository", "name": name, "actions": actions.split(",")}] if name.startswith("ann/") else []
        now = int(time.time())
        body = {"iss": "tests", "sub": "ann", "aud": "tests", "iat": now, "nbf": now - TOKEN_S, "exp": now + TOKEN_S}
        parts = ({"typ": "JWT", "alg": "RS256", "kid": "k"}, {**body, "jti": "1", "access": may})
        signed = ".".join(_text(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_text(private.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()
            thread.join()
