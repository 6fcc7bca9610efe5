"""A mail server and a webhook that keep what they get."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Sink:
    """A mail server that keeps what it gets; `user` may log in."""

    def __init__(self, refuse: str | None = None, unknown: str = "") -> None:
        self.mails: list[EmailMessage] = []
        self.users: list[str] = []
        self._refuse, self._unknown = refuse, unknown

    async def handle_RCPT(
        self, server: object, session: object, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == self._unknown:
            return "550 no such box"
        envelope.rcpt_tos.append(address)
        return "250 taken"

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
def mail_server(sink: Sink, host: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[str]:
    """HOST:PORT of a running one, which offers STARTTLS if it has a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if context and certificate:
        context.load_cert_chain(certificate)
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    server = Controller(
        sink, hostname=host, port=port, authenticator=sink.log_in, auth_require_tls=False, tls_context=context
    )
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop()


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    text = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    text += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "certificate.pem").write_bytes(text)
    return folder / "certificate.pem"


@contextmanager
def webhook(
    status: int = 200, host: str = "127.0.0.1", location: str | None = None
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """URL of a running one, and what it got."""
    got: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}"))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def do_GET(self) -> None:
            got.append({"method": "GET"})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer((host, 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}/hook", got
    finally:
        server.shutdown()
