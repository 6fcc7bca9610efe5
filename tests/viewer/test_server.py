"""The server on a real socket: ranges, what other sites may read, and what it never serves."""

import http.client
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.viewer import server
from clio_argo.viewer.layers import Shown
from clio_argo.viewer.objects import Folder
from clio_argo.viewer.server import serve
from clio_argo.viewer.url import PUBLIC_HOST, neuroglancer_state
from tests.serving import served, serving, shown

SHARD = bytes(range(256)) * 4
INFO = {"scales": [{"size": [300, 200, 90], "resolution": [8, 8, 16], "voxel_offset": [5, 7, 3493]}]}

Answer = tuple[http.client.HTTPResponse, bytes]


def write_run(root: Path) -> Path:
    (root / "ng" / "s0").mkdir(parents=True)
    (root / "ng" / "info").write_text(json.dumps(INFO))
    (root / "ng" / "s0" / "0.shard").write_bytes(SHARD)
    (root / "empty").touch()
    (root / "report.html").write_text("<p>report</p>")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    root = write_run(outside / "run")
    (root / "escape").symlink_to(outside / "secret")
    (root / "escape_dir").symlink_to(outside)
    (root / "inside").symlink_to(root / "report.html")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture(scope="module")
def link(root: Path) -> Iterator[str]:
    with serving(root) as link:
        yield link


def base(link: str) -> str:
    """The path of the token."""
    return "/" + urlsplit(link).path.split("/")[1]


def ask(link: str, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)
    try:
        connection.request(
            method, base(link) + path, headers={key.replace("_", "-"): value for key, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def small(root: Path, link: str) -> Iterator[Callable[[str], Answer]]:
    """Asks for a part of an object of 40 bytes, over one connection."""
    (root / "small").write_bytes(SHARD[:40])
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)

    def ask_part(asked: str) -> Answer:
        connection.request("GET", base(link) + "/run/run/small", headers={"Range": asked})
        answer = connection.getresponse()
        return answer, answer.read()

    yield ask_part
    connection.close()


@given(first=st.integers(0, 50), last=st.integers(0, 50))
def test_range_is_the_slice_that_it_names(small: Callable[[str], Answer], first: int, last: int) -> None:
    answer, body = small(f"bytes={first}-{last}")
    expected = range(40)[first : last + 1]
    if expected:
        assert (answer.status, body) == (206, bytes(expected))
        assert answer.headers["Content-Range"] == f"bytes {expected[0]}-{expected[-1]}/40"
    else:
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */40")


@given(n=st.integers(0, 50) | st.integers(0, 1 << 80))
def test_open_and_suffix_ranges(small: Callable[[str], Answer], n: int) -> None:
    for header, expected in ((f"bytes={n}-", range(40)[n:]), (f"bytes=-{n}", range(40)[max(0, 40 - n) :])):
        answer, body = small(header)
        assert (answer.status, body) == ((206, bytes(expected)) if expected else (416, b""))


@given(
    header=st.text(st.characters(min_codepoint=32, max_codepoint=126))
    | st.from_regex(r"bytes=[0-9-, ]{0,30}", fullmatch=True)
)
def test_any_header_gives_all_or_a_part_or_a_refusal(small: Callable[[str], Answer], header: str) -> None:
    answer, body = small(header)
    if answer.status == 206:
        first, last = re.fullmatch(r"bytes (\d+)-(\d+)/40", answer.headers["Content-Range"]).groups()
        assert body == SHARD[int(first) : int(last) + 1] != b""
    else:
        assert (answer.status, body) in [(200, SHARD[:40]), (416, b"")]


@pytest.mark.parametrize("header", ["", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "0-1"])
def test_what_is_no_single_byte_range_means_all(small: Callable[[str], Answer], header: str) -> None:
    answer, body = small(header)
    assert (answer.status, body) == (200, SHARD[:40])


def test_whole_object(link: str) -> None:
    answer, body = ask(link, "/run/run/ng/s0/0.shard")
    assert (answer.status, body) == (200, SHARD)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("asked", "part"), [("0-0", slice(0, 1)), ("1000-9999", slice(1000, 1024)), ("-24", slice(1000, 1024))]
)
def test_part_of_an_object(link: str, asked: str, part: slice) -> None:
    answer, body = ask(link, "/run/run/ng/s0/0.shard", Range=f"bytes={asked}")
    assert (answer.status, body) == (206, SHARD[part])
    assert answer.headers["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/1024"
    assert answer.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    ("path", "asked"),
    [("ng/s0/0.shard", "1024-"), ("ng/s0/0.shard", "-0"), ("empty", "0-0"), ("empty", f"{'9' * 5000}-")],
)
def test_range_beyond_the_object(link: str, path: str, asked: str) -> None:
    answer, body = ask(link, f"/run/run/{path}", Range=f"bytes={asked}")
    assert (answer.status, body) == (416, b"")
    assert answer.headers["Content-Range"] in {"bytes */1024", "bytes */0"}


def test_if_range_never_matches_as_there_are_no_validators(link: str) -> None:
    assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-0", If_Range='"x"')[0].status == 200


def test_head_tells_the_size_without_the_bytes(link: str) -> None:
    answer, body = ask(link, "/run/run/ng/s0/0.shard", "HEAD", Range="bytes=0-0")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "1024")


def test_one_connection_serves_many_requests(link: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)
    for path, status in [
        ("/run/run/ng/info", 200),
        ("/run/run/none", 404),
        ("/run/run/empty", 200),
        ("/run/run/ng/s0/0.shard", 200),
    ]:
        connection.request("GET", base(link) + path)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.will_close) == (status, False)
    connection.close()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/run/run/ng/info", "application/json"),
        ("/run/run/report.html", "text/html; charset=utf-8"),
        ("/run/run/inside", "text/html; charset=utf-8"),
        ("/neuroglancer/v/run/", "text/html; charset=utf-8"),
    ],
)
def test_content_types(link: str, path: str, kind: str) -> None:
    answer, _ = ask(link, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "path",
    [
        "/run/run/../secret",
        "/run/run/%2e%2e/secret",
        "/run/run/ng/..%2f..%2f..%2fsecret",
        "/run/run//etc/passwd",
        "/run/run/%2Fetc%2Fpasswd",
        "/neuroglancer/v/run/../../../server.py",
        "/neuroglancer/v/run/%2Fetc%2Fpasswd",
        "/run/run/escape",
        "/run/run/escape_dir/secret",
        "/run/run/loop",
        "/run/run/fifo",
        "/run/run/a%00b",
        "/run/run/" + "x" * 5000,
        "/run",
        "/run/",
        "/run/run",
        "/run/run/",
        "/run/run/ng",
        "/run/run/ng/s0/",
        "/run/run/ng/none.shard",
        "/etc/passwd",
        "/neuroglancer/v/",
    ],
)
def test_only_regular_files_under_the_root_exist(link: str, path: str) -> None:
    answer, body = ask(link, path)
    assert (answer.status, body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(link: str, method: str) -> None:
    assert ask(link, "/run/run/ng/info", method)[0].status == 405


@pytest.mark.parametrize("origin", [PUBLIC_HOST, "http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:9000"])
def test_viewers_and_loopback_pages_may_read(link: str, origin: str) -> None:
    answer, _ = ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-9", Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://example.org", "http://127.0.0.1.example.org", "null", "http://[", ""])
def test_other_sites_may_not_read(link: str, origin: str) -> None:
    assert "Access-Control-Allow-Origin" not in ask(link, "/run/run/ng/info", Origin=origin)[0].headers


def test_missing_objects_are_readable_as_missing(link: str) -> None:
    answer, _ = ask(link, "/run/run/none", Origin=PUBLIC_HOST)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (404, PUBLIC_HOST)


def test_preflight(link: str) -> None:
    answer, _ = ask(link, "/run/run/ng/info", "OPTIONS", Origin=PUBLIC_HOST, Access_Control_Request_Headers="range")
    assert answer.status == 204
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "Range"


@pytest.mark.parametrize(("origin", "may"), [(PUBLIC_HOST, "true"), ("https://example.org", None)])
def test_only_pages_that_may_read_may_reach_this_machine(link: str, origin: str, may: str | None) -> None:
    asked = {"Origin": origin, "Access_Control_Request_Private_Network": "true"}
    assert ask(link, "/run/run/ng/info", "OPTIONS", **asked)[0].headers["Access-Control-Allow-Private-Network"] == may


@pytest.mark.parametrize("path", ["/", "/run/run/ng/info", "/run/ng/info", "/neuroglancer/", "/neuroglancer/v/run/"])
@pytest.mark.parametrize("token", ["", "/x", "/../x"])
def test_nothing_is_served_without_the_token(link: str, token: str, path: str) -> None:
    host = link.replace(base(link), "", 1)
    connection = http.client.HTTPConnection(urlsplit(host).netloc, timeout=10)
    connection.request("GET", token + path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"], answer.read()) == (404, None, b"")
    connection.close()


def test_a_link_opens_the_run_that_it_was_printed_for(root: Path, link: str) -> None:
    port = urlsplit(link).port or 0
    with serving(root, port=0) as other:
        assert base(other) != base(link)
        assert len(base(other)) > 20
        assert ask(other.replace(base(other), base(link)), "/run/run/ng/info")[0].status == 404
        assert urlsplit(other).port != port


def test_an_address_leads_to_a_slice(link: str) -> None:
    answer, _ = ask(link, "/?z=3500")
    assert answer.status == 302
    location = str(answer.headers["Location"])
    assert location.partition("#")[0] == link.partition("#")[0]
    assert json.loads(unquote(location.partition("#!")[2]))["position"][2] == 3500.5


@pytest.mark.parametrize(("z", "told"), [("1", "has the slices 3493 to 3582"), ("x", "'x'"), ("", "''")])
def test_an_address_of_no_slice_says_so(link: str, z: str, told: str) -> None:
    answer, body = ask(link, f"/?z={z}")
    assert answer.status == 404
    assert told in body.decode()


def test_a_report_may_run_the_script_that_is_named_and_nothing_else_of_a_run_any(root: Path) -> None:
    with serving(root, script="'sha256-abc='") as link:
        policies = [
            str(ask(link, f"/run/run/{f}")[0].headers["Content-Security-Policy"]) for f in ("report.html", "inside")
        ]
    assert "allow-scripts" in policies[0]
    assert "script-src 'sha256-abc='" in policies[0]
    assert "script" not in policies[1]


def test_pages_of_other_sites_embed_nothing_and_a_run_s_pages_run_nothing(link: str) -> None:
    for path, script in (("/run/run/report.html", "default-src 'none'"), ("/neuroglancer/v/run/", "script-src 'self'")):
        headers = ask(link, path)[0].headers
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert script in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_the_name_of_a_run_may_hold_anything(tmp_path: Path) -> None:
    run = write_run(tmp_path / os.fsdecode(b'fly \xff/%2e#?"\n\xc3\xa9'.replace(b"/", b"")))
    with serving(run) as link, urlopen(f"{served(link)[1]}/ng/info") as answer:
        assert json.loads(answer.read()) == INFO


def test_more_origins_can_be_named(root: Path) -> None:
    with serving(root, origins=("https://viewer.example.org",)) as link:
        answer, _ = ask(link, "/run/run/ng/info", Origin="https://viewer.example.org")
        assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example.org"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("evil.example.org", 403), ("[", 403)],
)
def test_foreign_names_of_this_machine_are_refused(link: str, host: str, status: int) -> None:
    assert ask(link, "/run/run/ng/info", Host=host)[0].status == status


def test_link_opens_the_middle_of_the_volume(link: str, root: Path) -> None:
    address, fragment = link.split("/neuroglancer/v/run/#!")
    state = json.loads(unquote(fragment))
    assert state["layers"][0]["source"] == f"precomputed://{address}/run/run/ng"
    assert state["layers"][0]["name"] == root.name
    assert state["position"] == [155.5, 107.5, 3538.5]


def test_short_addresses_lead_to_the_client(link: str) -> None:
    assert ask(link, "/")[0].headers["Location"] == link
    answer, _ = ask(link, "/neuroglancer/")
    assert (answer.status, answer.headers["Location"]) == (302, base(link) + "/neuroglancer/v/run/")


def test_all_scripts_of_the_client_are_there(link: str) -> None:
    names = [file.name for file in server.client_folder().iterdir() if file.suffix in {".js", ".wasm", ".css"}]
    assert names
    for name in names:
        assert ask(link, f"/neuroglancer/v/run/{name}", "HEAD")[0].status == 200


def test_only_loopback_is_listened_on(link: str) -> None:
    # 127.0.0.2 reaches a server that listens on all addresses, and not one that listens on 127.0.0.1.
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection(("127.0.0.2", urlsplit(link).port or 0), timeout=1)


def test_a_taken_port_is_named(root: Path, link: str) -> None:
    port = urlsplit(link).port or 0
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port}.*another port"):
        serve([shown(root)], port)


def test_a_port_out_of_range_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="99999"):
        serve([shown(root)], 99999)


def test_a_folder_without_a_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No viewer volume"):
        serve([shown(tmp_path)])


def hostile(**changes: Any) -> str:
    return json.dumps({"scales": [INFO["scales"][0] | changes]})


@pytest.mark.parametrize(
    "info",
    [
        "", "[]", "{}", '{"scales": []}', '{"scales": [{}]}', '{"scales": [[]]}', '{"scales": {"0": 1}}', "[" * 100_000,
        "\0", hostile(size=[1, 2]), hostile(size=[0, 1, 1]), hostile(size=["a", 1, 1]), hostile(size=[10**400, 1, 1]),
        hostile(size=[float("nan")] * 3), hostile(resolution=[0, 1, 1]), hostile(resolution=[float("inf"), 1, 1]),
        hostile(resolution=[1e-320] * 3), hostile(voxel_offset=[None] * 3), hostile(voxel_offset=[1e308] * 3),
        hostile(padding=" " * 2**20),
    ],
)  # fmt: skip
def test_a_broken_info_is_refused(tmp_path: Path, info: str) -> None:
    (tmp_path / "ng").mkdir()
    (tmp_path / "ng" / "info").write_text(info)
    with pytest.raises(UserError, match="Not the info"):
        serve([shown(tmp_path)])


@settings(max_examples=settings().max_examples // 4)
@given(
    st.binary(max_size=50)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(
        lambda value: hostile(size=value, resolution=value, voxel_offset=value).encode()
    )
)
def test_any_info_is_one_or_refused(tmp_path_factory: pytest.TempPathFactory, info: bytes) -> None:
    volume = tmp_path_factory.getbasetemp()
    (volume / "info").write_bytes(info)
    with suppress(UserError):
        neuroglancer_state("precomputed://x", name="x", **Shown("x", Folder(volume)).view())


def test_an_info_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ng").mkdir()
    os.mkfifo(tmp_path / "ng" / "info")
    with pytest.raises(UserError, match="No viewer volume"):
        serve([shown(tmp_path)])


def test_without_the_client_the_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'clio-argo\[viewer\]'"):
        serve([shown(root)])


def test_serve_tells_when_it_is_ready_and_ends_with_ctrl_c(root: Path) -> None:
    seen = []

    def stop(link: str, report: str | None) -> None:
        seen.append((link, report))
        raise KeyboardInterrupt

    serve([shown(root)], ready=stop)
    [(link, report)] = seen
    assert link.startswith("http://127.0.0.1:")
    assert report == f"{served(link)[1]}/report.html?view"


def test_there_is_no_address_of_a_report_that_is_not_there(tmp_path: Path) -> None:
    (write_run(tmp_path) / "report.html").unlink()
    seen = []

    def stop(_: str, report: str | None) -> None:
        seen.append(report)
        raise KeyboardInterrupt

    serve([shown(tmp_path)], ready=stop)
    assert seen == [None]


def test_the_end_of_the_block_ends_the_server_and_its_open_channels(root: Path) -> None:
    with serving(root) as link:
        connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)
        connection.request("GET", base(link) + "/neuroglancer/events/run?c=1")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.read() == b""
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        ask(link, "/")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127"])
@pytest.mark.parametrize("before", [False, True])
def test_a_connection_without_a_complete_request_is_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch, before: bool, sent: bytes
) -> None:
    monkeypatch.setattr(server, "_IDLE_S", 0.2)
    with (
        serving(root) as link,
        socket.create_connection((server.LOOPBACK, urlsplit(link).port or 0), timeout=10) as connection,
        connection.makefile("rb") as received,
    ):
        whole = f"HEAD {base(link)}/run/run/ng/info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        connection.sendall(whole * before + sent)
        assert received.read().count(b"HTTP/1.1 200 OK") == before


def test_a_download_that_is_given_up_is_no_error(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "large").write_bytes(bytes(1 << 25))  # more than the buffers of both sockets hold
    with serving(root) as link:
        for _ in range(3):
            connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)
            connection.request("GET", base(link) + "/run/run/large")
            connection.getresponse().read(1)
            connection.close()
        assert ask(link, "/run/run/ng/info")[0].status == 200
    assert caplog.records == []


def test_requests_run_beside_each_other(link: str) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(ask(link, "/run/run/ng/info")[0].status)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 16
