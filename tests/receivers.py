"""A mail server and a webhook that keep what they get."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword


class Sink:
    """A mail server that keeps what it gets; `user` may log in."""

    def __init__(self, refuse: str | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.users: list[str] = []
        self._refuse = refuse

    async def handle_DATA(self, server: object, session: Any, envelope: Envelope) -> str:
        if self._refuse:
            return self._refuse
        self.mails.append(message_from_bytes(envelope.content or b"", policy=policy.default))  # type: ignore[arg-type]
        return "250 taken"

    def log_in(self, server: object, session: object, envelope: object, mechanism: str, data: object) -> AuthResult:
        if isinstance(data, LoginPassword):
            self.users.append(f"{data.login.decode()}:{data.password.decode()}")
        return AuthResult(success=True)


@contextmanager
def mail_server(sink: Sink, host: str = "127.0.0.1") -> Iterator[str]:
    """HOST:PORT of a running one."""
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    server = Controller(sink, hostname=host, port=port, authenticator=sink.log_in, auth_require_tls=False)
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


@contextmanager
def webhook(status: int = 200, host: str = "127.0.0.1") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """URL of a running one, and what it got."""
    got: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer((host, 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}/hook", got
    finally:
        server.shutdown()
