"""A server between clients and a store that disturbs requests: resets, silence, slow bytes, answers of its own."""

import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

BEGINS = re.compile(rb"(GET|HEAD|PUT|POST|DELETE|PATCH) \S+ HTTP/1")
# bytes and seconds of one piece of a slow answer
PIECE, PAUSE_S = 4096, 0.05


@dataclass
class Faults:
    """What happens to the next requests, one each.

    "reset", "silent", "slow", "lost" (it is done, and the answer never comes), an HTTP status, or "none".
    """

    endpoint: str = ""
    left: "deque[str]" = field(default_factory=deque)
    seen: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    def next(self, request: bytes) -> str:
        if not (found := BEGINS.match(request)):
            return "none"
        self.seen.append(found[0].decode())
        self.heads.append(request.partition(b"\r\n\r\n")[0])
        return self.left.popleft() if self.left else "none"


@contextmanager
def disturbed(endpoint: str, *faults: str, host: str = "127.0.0.1") -> Iterator[Faults]:
    """A server in front of the one at `endpoint` that lets these faults happen, and nothing but them.

    host: address of this machine at which it listens.
    """
    wanted = Faults(left=deque(faults))
    target = (urlsplit(endpoint).hostname or "", urlsplit(endpoint).port or 0)

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(target) as upstream, suppress(OSError):
                serve_client(self.request, upstream, wanted)

    with _Server((host, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        wanted.endpoint = f"http://{host}:{server.server_address[1]}"
        yield wanted
        server.shutdown()


class _Server(ThreadingTCPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 64


def serve_client(client: socket.socket, upstream: socket.socket, faults: Faults) -> None:
    """Pass requests on until the client leaves or a fault ends the connection."""
    slow, lost = threading.Event(), threading.Event()
    threading.Thread(target=_answers, args=(upstream, client, slow, lost), daemon=True).start()
    while data := client.recv(2**16):
        fault = faults.next(data)
        slow.set() if fault == "slow" else slow.clear()
        if fault == "lost":
            lost.set()
        if fault == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        if fault == "silent":
            while client.recv(2**16):
                pass
            return
        if fault.isdecimal():
            client.sendall(f"HTTP/1.1 {fault} Told\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return
        upstream.sendall(data)


def _answers(upstream: socket.socket, client: socket.socket, slow: threading.Event, lost: threading.Event) -> None:
    with suppress(OSError):
        while (data := upstream.recv(2**16)) and not lost.is_set():
            for begin in range(0, len(data), PIECE):
                client.sendall(data[begin : begin + PIECE])
                if slow.is_set():
                    time.sleep(PAUSE_S)
        client.shutdown(socket.SHUT_RDWR)
