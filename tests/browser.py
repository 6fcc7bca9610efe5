"""A headless Chromium for tests, driven through the DevTools protocol over its pipe; needs nothing but the binary.

`screenshot` is one picture of one page; `Browser` and `Page` wait, evaluate and take several.
"""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WINDOW_PX = (1280, 720)

# Software WebGL 2, which neuroglancer needs; no sandbox, because containers forbid it and the pages are our own; and
# every name but this machine unknown, so that a page which needs the internet is found out.
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str:
    """The binary; without one the test is skipped, or fails where CLIO_REQUIRE_BROWSER=1 asks for it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        stop = pytest.fail if os.environ.get("CLIO_REQUIRE_BROWSER") == "1" else pytest.skip
        stop("no Chromium found: apt-get install chromium")
    return str(found)


def screenshot(url: str, out_png: Path, ready_js: str | None = None, timeout: float = 60.0) -> "Page":
    """Save what `url` shows once the expression `ready_js` is true (default: loaded) within `timeout` seconds.

    The page that comes back is closed; it still tells what was requested, refused and logged.
    """
    with Browser() as browser:
        page = browser.open(url)
        page.wait(ready_js or "document.readyState === 'complete'", timeout)
        page.screenshot(out_png)
        return page


class Browser:
    """A Chromium with a profile of its own, ended with the block."""

    def __enter__(self) -> Self:
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._process, self._pipe = _start([find_chromium(), *_FLAGS, f"--user-data-dir={self._profile}"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The group, because renderers outlive a browser that is killed alone.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str, size_px: tuple[int, int] = WINDOW_PX) -> "Page":
        """A new tab of `size_px` CSS pixels, on its way to `url`."""
        target = self._pipe.call("Target.createTarget", url="about:blank")["targetId"]
        session = self._pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self._pipe, session)
        width, height = size_px
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        for domain in ("Page", "Runtime", "Network"):
            page.call(f"{domain}.enable")
        page.call("Page.navigate", url=url)
        return page


@dataclass
class Page:
    """One tab."""

    _pipe: "_Pipe"
    _session: str
    requests: list[str] = field(default_factory=list)
    """URLs asked for, in order"""
    failures: list[str] = field(default_factory=list)
    """URLs that gave no answer or a status above 399"""
    console: list[str] = field(default_factory=list)
    """Lines logged, and exceptions that nobody caught"""

    def call(self, method: str, timeout: float = 30.0, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and what came before its answer noted."""
        try:
            return self._pipe.call(method, self._session, timeout, **parameters)
        finally:
            for event in self._pipe.take_events(self._session):
                self._note(event["method"], event["params"])

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression that JSON can carry; AssertionError if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, ready_js: str, timeout: float = 60.0) -> None:
        """Until `ready_js` is true; TimeoutError that says what the page said, after `timeout` seconds."""
        end = time.monotonic() + timeout
        while not self.evaluate(f"Boolean({ready_js})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {ready_js}\nfailed: {self.failures}\nconsole: {self.console}")
            time.sleep(0.1)

    def screenshot(self, out_png: Path) -> None:
        """The visible part of the page as a PNG."""
        out_png.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _note(self, method: str, event: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(event["request"]["url"])
            case "Network.responseReceived" if event["response"]["status"] >= 400:
                self.failures.append(event["response"]["url"])
            case "Network.loadingFailed" if not event.get("canceled"):
                self.failures.append(f"{event['requestId']} {event['errorText']}")
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in event["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(str(event["exceptionDetails"]))


class _Pipe:
    """JSON messages, each ended by a zero byte, over two file descriptors."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd, self._write_fd = read_fd, write_fd
        self._buffer = b""
        self._last = 0
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, timeout: float = 30.0, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        _write_all(self._write_fd, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        end = time.monotonic() + timeout
        while (answer := self._message(end)).get("id") != self._last:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def take_events(self, session: str) -> Iterator[dict[str, Any]]:
        events, self._events = self._events, []
        return (event for event in events if event.get("sessionId") == session)

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)

    def _message(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read_fd], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            received = os.read(self._read_fd, 1 << 16)
            if not received:
                raise ConnectionError("Chromium ended")
            self._buffer += received
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))


def _start(command: list[str]) -> tuple["subprocess.Popen[bytes]", _Pipe]:
    """Start Chromium, which reads from descriptor 3 and writes to 4; a shell puts them there without a race."""
    its_input, our_output = os.pipe()
    our_input, its_output = os.pipe()
    script = f'exec "$0" "$@" 3</dev/fd/{its_input} 4>/dev/fd/{its_output}'
    process = subprocess.Popen(
        ["/bin/sh", "-c", script, *command],
        pass_fds=(its_input, its_output),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(its_input)
    os.close(its_output)
    return process, _Pipe(our_input, our_output)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
