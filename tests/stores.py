"""Object stores for tests: an emulator of Google Cloud Storage (`gcs.py`) and moto's S3, each a process of its own."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

GCS = Path(__file__).with_name("gcs.py")
REGION = "us-east-1"
START_S = 20


@dataclass(frozen=True)
class Server:
    """A server of objects on this machine, and how clients find it."""

    scheme: str
    endpoint: str
    process: "subprocess.Popen[bytes]"

    @property
    def variables(self) -> dict[str, str]:
        if self.scheme == "gs":
            return {
                "TENSORSTORE_GCS_HTTP_URL": self.endpoint,
                "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x",
                "STORAGE_EMULATOR_HOST": self.endpoint,
            }
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        """Answer nothing; connections stay open and are accepted until `go_on`."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Bucket:
    """A bucket of one test."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        return f"{self.server.scheme}://{self.name}"

    def make(self) -> "Bucket":
        if self.server.scheme == "gs":
            self._call("/storage/v1/b?project=p", {"name": self.name})
        else:
            self._request("PUT", f"/{self.name}")
        return self

    def remove(self) -> None:
        """Remove the bucket, which must be empty."""
        self._request("DELETE", f"{'/storage/v1/b' if self.server.scheme == 'gs' else ''}/{self.name}")

    def _request(self, method: str, path: str) -> None:
        urlopen(Request(self.server.endpoint + path, method=method), timeout=START_S).close()

    def fault(self, match: str, status: int = 503, times: int = 2) -> None:
        """Answer the next requests whose "METHOD PATH" (and " anonymous") `match` finds with `status` (gs only)."""
        whole = f"^(?=.*{re.escape(self.name)}).*{match}"
        self._call("/_fault", {"match": whole, "status": status, "times": times})

    def log(self) -> list[str]:
        """Every request on this bucket so far, as "METHOD PATH" (gs only)."""
        seen = self._call("/_log")
        return [f"{method} {path}" for _, method, path, _ in seen if self.name in path]

    def _call(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(self.server.endpoint + path, data, headers), timeout=START_S) as answer:
            return json.loads(answer.read())


@contextmanager
def serve(scheme: str, *command: str) -> Iterator[Server]:
    """A server that listens on a free port, which follows `command`."""
    port = free_port()
    with subprocess.Popen([sys.executable, *command, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield Server(scheme, f"http://127.0.0.1:{port}", process)
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"no server on port {port}: ended with {process.poll()}")


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[Server]:
    """One emulator for all tests of this process, started by the first that needs it."""
    with serve("gs", str(GCS)) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    with serve("s3", "-m", "moto.server", "--host", "127.0.0.1", "--port") as server:
        yield server


@pytest.fixture
def gcs(gcs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket of the GCS emulator; this process and those it starts find it by the environment."""
    return _fresh(gcs_server, monkeypatch)


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket of moto's S3 server."""
    return _fresh(s3_server, monkeypatch)


@pytest.fixture(params=["gcs", "s3"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A fresh bucket of each kind."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Bucket)
    return found


def _fresh(server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    return Bucket(server, f"clio-{uuid.uuid4().hex[:12]}").make()
