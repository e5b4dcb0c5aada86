"""The wire: heads, bodies, pipelines, hijacks and their ends, byte by byte."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import LIMIT_S, Running, read_all

CLOSE = b"Host: x\r\nConnection: close\r\n\r\n"


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n".encode() + CLOSE


def post(path: str, body: object = None, *lines: str) -> bytes:
    """A keep-alive POST with a JSON body."""
    raw = b"" if body is None else json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(raw)}", *lines]
    if raw:
        head.append("Content-Type: application/json")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + raw


class Reader:
    """Answers on one connection, one after the other."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buffer = sock, b""

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            data = self.sock.recv(65536)
            assert data, f"closed before {mark!r}, after {self.buffer!r}"
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def head(self) -> tuple[int, dict[str, str]]:
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            assert data, f"closed after {self.buffer!r}"
            self.buffer += data
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def answer(self) -> tuple[int, bytes]:
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
            return status, body
        return status, self.exactly(int(headers.get("content-length", 0)))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        while True:
            while len(self.buffer) < 8:
                data = self.sock.recv(65536)
                if not data:
                    assert not self.buffer
                    return
                self.buffer += data
            stream, size = struct.unpack(">B3xI", self.exactly(8))
            yield stream, self.exactly(size)


def create(api: Running, *argv: str, **config: object) -> str:
    with api.connect() as sock:
        sock.sendall(post("/containers/create", {"Image": "x", "Cmd": argv, **config}))
        status, body = Reader(sock).answer()
        assert status == 201, body
        return str(json.loads(body)["Id"])


# --- heads, versions and errors


@pytest.mark.parametrize(("method", "path"), [("GET", "/nope"), ("PUT", "/containers/json"), ("GET", "/v1.41/nope")])
def test_unknown_paths_and_methods_are_not_found(api: Running, method: str, path: str) -> None:
    answer = api.exchange(get(path, method))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.endswith(b'{"message":"page not found"}\n')
    assert b"Content-Type: application/json\r\n" in answer
    assert b"Api-Version" not in answer


def test_every_answer_of_a_handler_announces_the_newest_version(api: Running) -> None:
    for path in ("/v1.30/version", "/v1.24/_ping", "/containers/none/json"):
        answer = api.exchange(get(path))
        assert b"Api-Version: 1.51\r\nOstype: linux\r\nServer: Docker/" in answer


def test_versions_out_of_range_are_refused(api: Running) -> None:
    new = api.exchange(get("/v1.99/_ping"))
    assert b"400" in new.split(b"\r\n")[0]
    assert b'{"message":"client version 1.99 is too new. Maximum supported API version is 1.51"}' in new
    old = api.exchange(get("/v1.23/_ping"))
    assert b"Content-Type: text/plain" in old
    assert b"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade" in old


def test_ping_by_head_has_an_empty_body(api: Running) -> None:
    head, _, body = api.exchange(get("/_ping", "HEAD")).partition(b"\r\n\r\n")
    assert body == b""
    assert b"\r\nContent-Length: 0" in head
    assert b"\r\nContent-Type: text/plain; charset=utf-8" in head
    assert b"\r\nBuilder-Version: 2" in head


def test_options_is_always_welcome(api: Running) -> None:
    assert api.exchange(get("/anything", "OPTIONS")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"{}", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"),
        (b"{} {}", "application/json", "unexpected content after JSON"),
        (b"", "application/json", "invalid JSON: got EOF while reading request body"),
        (b"[1]", "application/json", "invalid JSON: json: cannot unmarshal array into Go value of type struct"),
        (b"[" * 100_000, "application/json", "invalid JSON: exceeded max depth"),
        (b'{"Image":', "application/json", "invalid JSON: unexpected EOF"),
        (b'{"Image" 1}', "application/json", "invalid JSON: invalid character '1' after object key"),
    ],
)
def test_bad_bodies_are_400(api: Running, body: bytes, kind: str, message: str) -> None:
    head = f"POST /containers/create HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    answer = api.exchange(head.encode() + CLOSE + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert message in json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_others_are_served_while_the_fault_of_a_large_body_is_looked_for(api: Running) -> None:
    body = b"[" + b"1," * (1 << 20) + b"x"
    head = f"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with api.connect() as bad, api.connect() as other:
        replies = Reader(other)
        bad.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        for _ in range(5):
            other.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert replies.answer()[0] == 200
        assert not select.select([bad], [], [], 0)[0], "the fault was found before the others were served"
        assert b"invalid character 'x' looking for beginning of value" in Reader(bad).answer()[1]


def test_filters_come_in_two_forms_and_unknown_ones_are_refused(api: Running) -> None:
    for form in ('{"label":{"a=b":true}}', '{"label":["a=b"]}'):
        assert api.exchange(get(f"/containers/json?filters={form}")).startswith(b"HTTP/1.1 200 ")
    assert b"invalid filter 'x'" in api.exchange(get('/containers/json?filters={"x":["y"]}'))
    assert b"HTTP/1.1 400 " in api.exchange(get("/containers/json?filters=["))


def test_an_unopened_engine_serves_nothing_but_the_opening(closed_api: Running) -> None:
    refused = closed_api.exchange(get("/version"))
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"engine is not open yet" in refused
    assert closed_api.exchange(b"POST /cove/v1/open HTTP/1.1\r\n" + CLOSE).startswith(b"HTTP/1.1 204 ")
    assert closed_api.exchange(get("/version")).startswith(b"HTTP/1.1 200 ")


# --- requests


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 400), max_size=6))
def test_requests_survive_any_cut_and_are_answered_in_order(api: Running, cuts: list[int]) -> None:
    wire = (
        post("/containers/none/start")
        + b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
        + b'9\r\n{"Image":\r\n7\r\n "missi\r\n5\r\nng" }\r\n0\r\n\r\n'
        + b"GET /_ping HTTP/1.1\r\n\r\n"
        + post("/exec/none/start", {"Detach": True}, "Upgrade: tcp", "Connection: Upgrade")
        + get("/version")
    )
    with api.connect() as sock:
        at = 0
        for cut in sorted(cuts):
            sock.sendall(wire[at:cut])
            at = max(at, cut)
        sock.sendall(wire[at:])
        reader = Reader(sock)
        assert [reader.answer()[0] for _ in range(5)] == [404, 404, 200, 404, 200]
        assert read_all(sock) == b""


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000, 431),
        (b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"NONSENSE\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", 404),
        (b"POST /build HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /containers/create HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_no_http_or_too_much_of_it_is_refused(api: Running, wire: bytes, status: int) -> None:
    with api.connect() as sock:
        sock.sendall(wire)
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_a_json_body_without_end_is_refused_early(api: Running) -> None:
    with api.connect() as sock:
        sock.sendall(b"POST /containers/create HTTP/1.1\r\nContent-Type: application/json\r\n")
        sock.sendall(b"Content-Length: 100000000\r\n\r\n" + b" " * 5_000_000)
        assert Reader(sock).answer()[0] == 413


@pytest.mark.parametrize("waits", [True, False], ids=["behind a request that waits", "whose replies nobody reads"])
def test_a_client_that_pipelines_without_end_is_not_read_without_end(api: Running, waits: bool) -> None:
    """The server reads a bounded number of requests ahead, and holds a bounded number of replies; none is lost."""
    container_id = create(api, "true")
    ping, limit = b"GET /_ping HTTP/1.1\r\nHost: x\r\nX-Padding: " + b"x" * 4000 + b"\r\n\r\n", 8_000
    with api.connect() as sock:
        reader = Reader(sock)
        if waits:
            sock.sendall(post(f"/containers/{container_id}/wait?condition=next-exit"))
            assert reader.head()[0] == 200
        sent, wire = 0, ping * 50
        while sent < limit * len(ping) and select.select([], [sock], [], 1.0)[1]:
            sent += sock.send(wire[sent % len(ping) :], socket.MSG_DONTWAIT)
        assert sent < limit * len(ping), f"the server has read {sent} bytes of requests"
        rest = ping[sent % len(ping) :] if sent % len(ping) else b""
        sender = threading.Thread(target=sock.sendall, args=(rest,))
        sender.start()  # the socket takes the rest of the last request once the server reads again
        if waits:
            start(api, container_id)
            size = int(reader.until(b"\r\n"), 16)
            assert json.loads(reader.exactly(size)) == {"StatusCode": 0}
            assert reader.until(b"0\r\n\r\n") == b"\r\n"
        for _ in range(-(-sent // len(ping))):
            assert reader.answer() == (200, b"OK")
        sender.join()


def test_an_answer_before_the_bodys_end_leaves_the_connection_usable(api: Running) -> None:
    with api.connect() as sock:
        size = 20_000_000
        sock.sendall(b"POST /build?squash=1 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(20):
            sock.sendall(bytes(size // 20))
        sock.sendall(get("/_ping"))
        reader = Reader(sock)
        status, body = reader.answer()
        assert (status, "squash" in json.loads(body)["message"]) == (400, True)
        assert reader.answer() == (200, b"OK")


def test_bodies_are_streamed_and_never_held(api: Running) -> None:
    container_id = create(api, "true")
    with api.connect() as sock:
        sock.sendall(f"PUT /containers/{container_id}/archive?path=/x HTTP/1.1\r\n".encode())
        size = 64_000_000
        sock.sendall(b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(64):
            sock.sendall(bytes(size // 64))
        assert Reader(sock).answer()[0] == 200
    assert api.engine.world.most_held <= 256 * 1024
    assert len(api.engine.world.put) >= 64_000_000 // (256 * 1024)


def test_a_peer_that_closes_its_half_still_gets_its_answer(api: Running) -> None:
    with api.connect() as sock:
        sock.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b"OK")


# --- answers that wait


def test_waits_head_comes_before_the_start(api: Running) -> None:
    container_id = create(api, "sh", "-c", "exit 5")
    with api.connect() as waiting, api.connect() as sock:
        waiting.sendall(post(f"/containers/{container_id}/wait?condition=next-exit"))
        wait = Reader(waiting)
        status, headers = wait.head()
        assert (status, headers["content-type"]) == (200, "application/json")
        sock.sendall(post(f"/containers/{container_id}/start"))
        assert Reader(sock).answer() == (204, b"")
        size = int(wait.until(b"\r\n"), 16)
        assert json.loads(wait.exactly(size)) == {"StatusCode": 5}
    with api.connect() as sock:
        sock.sendall(post(f"/containers/{container_id}/wait?condition=nonsense"))
        assert Reader(sock).answer()[0] == 400


# --- connections that become a stream


def hijack(sock: socket.socket, path: str, *, upgrade: bool = True, more: bytes = b"") -> Reader:
    lines = ("Upgrade: tcp", "Connection: Upgrade") if upgrade else ()
    sock.sendall(post(path, None, *lines) + more)
    return Reader(sock)


def start(api: Running, container_id: str) -> None:
    with api.connect() as sock:
        sock.sendall(post(f"/containers/{container_id}/start"))
        assert Reader(sock).answer()[0] == 204


@pytest.mark.parametrize("upgrade", [True, False])
def test_input_in_the_heads_segment_and_output_after_half_close(api: Running, upgrade: bool) -> None:
    container_id = create(api, "sh", "-c", "cat; echo done >&2", OpenStdin=True, StdinOnce=True)
    with api.connect() as sock:
        path = f"/v1.44/containers/{container_id}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        reader = hijack(sock, path, upgrade=upgrade, more=b"GET / HTTP/1.1\r\n\r\n")
        status, headers = reader.head()
        if upgrade:
            assert status == 101
            assert headers["upgrade"] == "tcp"
            assert headers["content-type"] == "application/vnd.docker.multiplexed-stream"
        else:
            assert status == 200
            assert headers["content-type"] == "application/vnd.docker.raw-stream"
            assert "content-length" not in headers
        sock.shutdown(socket.SHUT_WR)
        start(api, container_id)
        frames = list(reader.frames())
        assert b"".join(data for stream, data in frames if stream == 1) == b"GET / HTTP/1.1\r\n\r\n"
        assert (2, b"done\n") in frames


def test_output_does_not_share_a_read_with_the_head(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that parse the head through a buffered reader lose what they read along with it."""
    monkeypatch.setattr("vmagent.api.hijacked.HEAD_POLLS", 1_000_000)  # until the head is read, however long it takes
    container_id = create(api, "sh", "-c", "echo output")
    start(api, container_id)
    with api.connect() as sock, api.connect() as other:
        hijack(sock, f"/containers/{container_id}/attach?logs=1&stream=1&stdout=1")
        assert select.select([sock], [], [], LIMIT_S)[0]
        for _ in range(50):  # rounds in which the server could have sent the output
            other.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert Reader(other).answer() == (200, b"OK")
        assert sock.recv(65536).endswith(b"\r\n\r\n")
        assert [data for _, data in Reader(sock).frames()] == [b"output\n"]


def test_old_clients_hear_of_a_raw_stream_and_get_frames(api: Running) -> None:
    container_id = create(api, "echo", "hi")
    with api.connect() as sock:
        reader = hijack(sock, f"/v1.41/containers/{container_id}/attach?stream=1&stdout=1")
        assert reader.head()[1]["content-type"] == "application/vnd.docker.raw-stream"
        start(api, container_id)
        assert list(reader.frames()) == [(1, b"hi\n")]


def test_attachs_errors_are_text(api: Running) -> None:
    with api.connect() as sock:
        status, headers = hijack(sock, "/containers/none/attach?stream=1&stdout=1").head()
        assert (status, headers["content-type"]) == (404, "application/vnd.docker.raw-stream")
        assert read_all(sock) in (b"No such container: none\r\n", b"")


def test_a_client_that_vanishes_after_half_close_is_noticed(api: Running) -> None:
    container_id = create(api, "sleep", "60")
    start(api, container_id)
    with api.connect() as sock:
        hijack(sock, f"/containers/{container_id}/attach?stream=1&stdout=1").head()
        sock.shutdown(socket.SHUT_WR)
    assert api.engine.world.sessions[0].detached.result(LIMIT_S) is False


def test_detach_keys_leave_the_process_alone(api: Running) -> None:
    container_id = create(api, "cat", OpenStdin=True, Tty=True)
    start(api, container_id)
    with api.connect() as sock:
        path = f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x"
        reader = hijack(sock, path)
        assert reader.head()[0] == 101
        sock.sendall(b"ab\x01")
        sock.sendall(b"y\x01x later")
        session = api.engine.world.sessions[0]
        assert session.detached.result(LIMIT_S) is True
        assert session.written == b"ab\x01y"
        read_all(sock)
        assert api.engine.world.all[container_id].is_running
    with api.connect() as sock:
        status, body = hijack(sock, f"/containers/{container_id}/attach?detachKeys=nonsense").answer()
        assert (status, b"Invalid detach keys (nonsense) provided" in body) == (400, True)


def test_a_slow_reader_is_waited_for_and_disturbs_nobody(api: Running) -> None:
    container_id = create(api, "seq", "300000")
    with api.connect() as slow, api.connect() as quick:
        path = f"/containers/{container_id}/attach?stream=1&stdout=1"
        slow_reader, quick_reader = hijack(slow, path), hijack(quick, path)
        assert slow_reader.head()[0] == quick_reader.head()[0] == 101
        start(api, container_id)
        lines = b"".join(data for _, data in quick_reader.frames())
        assert lines.endswith(b"\n300000\n")
        session = api.engine.world.sessions[0]
        assert session.at < 200_000, "the slow one's output piled up in the server"
        assert b"".join(data for _, data in slow_reader.frames()) == lines


def test_closing_with_unread_input_gives_the_client_an_end_and_no_reset(api: Running) -> None:
    container_id = create(api, "sh", "-c", "read x; echo $x", OpenStdin=True)
    with api.connect() as sock:
        reader = hijack(sock, f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1")
        assert reader.head()[0] == 101
        start(api, container_id)
        sock.sendall(b"one\n" + b"x" * 200_000)
        assert list(reader.frames()) == [(1, b"one\n")]


def test_an_exec_that_cannot_start_says_so_in_the_stream(api: Running) -> None:
    container_id = create(api, "sleep", "60")
    start(api, container_id)
    with api.connect() as sock:
        sock.sendall(post(f"/containers/{container_id}/exec", {"Cmd": ["no-such"]}))
        exec_id = json.loads(Reader(sock).answer()[1])["Id"]
        sock.sendall(post(f"/exec/{exec_id}/start", {"Tty": False}, "Upgrade: tcp", "Connection: Upgrade"))
        reader = Reader(sock)
        status, headers = reader.head()
        assert (status, headers["api-version"]) == (101, "1.51")
        [(stream, text)] = reader.frames()
        assert (stream, b"executable file not found" in text) == (2, True)
    with api.connect() as sock:
        sock.sendall(post(f"/containers/{container_id}/exec", {"cmd": ["true"]}))
        assert Reader(sock).answer()[0] == 201
        sock.sendall(post(f"/containers/{container_id}/exec", {"Cmd": []}))
        assert b"No exec command specified" in Reader(sock).answer()[1]


# --- progress and events


def test_progress_holds_its_head_back_for_an_early_failure(api: Running) -> None:
    early = api.exchange(post("/images/create?fromImage=nowhere", None, "Connection: close"))
    assert early.startswith(b"HTTP/1.1 404 ")
    late = api.exchange(post("/images/create?fromImage=broken&tag=1", None, "Connection: close"))
    assert late.startswith(b"HTTP/1.1 200 ")
    assert b'"error":"the \\u003cregistry\\u003e \\u0026 its blobs"}\r\n' in late
    assert late.endswith(b"0\r\n\r\n")


def test_events_answer_at_once_and_end_with_the_client(api: Running) -> None:
    with api.connect() as sock:
        sock.sendall(b"GET /events HTTP/1.1\r\n\r\n")
        reader = Reader(sock)
        assert reader.head()[0] == 200
        create(api, "true", Labels={"a": "b"})
        event = json.loads(reader.exactly(int(reader.until(b"\r\n"), 16)))
        assert (event["Type"], event["Action"], event["status"]) == ("container", "create", "create")
        assert event["Actor"]["Attributes"]["a"] == "b"
    deadline = time.monotonic() + LIMIT_S
    while any(c.is_endless for c in list(api.server.connections)):
        assert time.monotonic() < deadline


def test_an_image_name_with_slashes_finds_its_route(api: Running) -> None:
    for name in ("localhost:5000/a/b:tag", "localhost%3A5000%2Fa%2Fb:tag"):
        answer = api.exchange(get(f"/images/{name}/json"))
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["RepoTags"] == ["localhost:5000/a/b:tag"]


def test_what_swarm_would_serve_is_503(api: Running) -> None:
    assert b"This node is not a swarm manager." in api.exchange(get("/services"))
    assert api.exchange(get("/nodes/x")).startswith(b"HTTP/1.1 503 ")


def test_attach_by_websocket_carries_input_and_output(api: Running) -> None:
    container_id = create(api, "cat", OpenStdin=True)
    start(api, container_id)
    lines = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
    path = f"/containers/{container_id}/attach/ws?stream=1&stdin=1&stdout=1"
    with api.connect() as sock:
        sock.sendall("\r\n".join((f"GET {path} HTTP/1.1", "Host: here", *lines, key, "", "")).encode())
        reader = Reader(sock)
        status, headers = reader.head()
        assert (status, headers["sec-websocket-accept"]) == (101, "s3pplmbitxaq9kygzzhzrbk+xoo=")
        sock.sendall(b"\x82\x83\0\0\0\0hi\n" + b"\x89\x82\0\0\0\0yo")
        data, pong = b"\x82\x03hi\n", b"\x8a\x02yo"
        assert reader.exactly(9) in (data + pong, pong + data)
        sock.sendall(b"\x88\x80\0\0\0\0")
        assert read_all(sock) == b"\x88\x02\x03\xe8"
    with api.connect() as sock:
        sock.sendall(
            "\r\n".join((f"GET {path} HTTP/1.1", "Host: here", "Origin: http://evil", *lines, key, "", "")).encode()
        )
        assert Reader(sock).answer()[0] == 403
    assert api.exchange(get(path)).startswith(b"HTTP/1.1 400 ")


def test_a_stopping_server_lets_requests_end_and_drops_endless_ones(api: Running) -> None:
    container_id = create(api, "sh", "-c", "read x; echo $x; exit 7", OpenStdin=True)
    start(api, container_id)
    with api.connect() as waiting, api.connect() as attached, api.connect() as listening, api.connect() as idle:
        waiting.sendall(post(f"/containers/{container_id}/wait"))
        reader = hijack(attached, f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1")
        listening.sendall(b"GET /events HTTP/1.1\r\n\r\n")
        idle.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
        for sock in (waiting, listening, idle):
            assert Reader(sock).head()[0] == 200
        assert reader.head()[0] == 101
        stopping = asyncio.run_coroutine_threadsafe(api.server.stop(grace_s=LIMIT_S), api.loop)
        for sock in (listening, idle):
            assert read_all(sock) in (b"", b"OK")
        attached.sendall(b"last\n")
        assert list(reader.frames()) == [(1, b"last\n")]
        assert b'{"StatusCode":7}' in read_all(waiting)
        stopping.result(LIMIT_S)
