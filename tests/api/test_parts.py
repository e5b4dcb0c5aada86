"""The parts that need no server: detach keys, frames, filters, events."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmagent.api import bodies, detach, stdcopy, websocket
from vmagent.api.chunked import ChunkError, ChunkScanner
from vmagent.api.messages import Query, Request, Version
from vmagent.api.parameters import filters, is_anonymous_only, registry_auth, terminal_size, time_ns
from vmagent.api.router import Router
from vmagent.api.streams import Disconnected
from vmagent.engine.events import RING, Event, EventBus, EventsLost, matches
from vmagent.errors import BadRequest

# --- detach keys


@pytest.mark.parametrize(
    ("text", "keys"), [("", b"\x10\x11"), ("ctrl-a,x", b"\x01x"), ("ctrl-[,ctrl-@,DEL", b"\x1b\0\x7f"), ("q", b"q")]
)
def test_detach_keys_are_spelled_as_dockers(text: str, keys: bytes) -> None:
    assert detach.parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-A", "ctrl-é", "ab", "x,,y", ","])
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="Invalid detach keys"):
        detach.parse(text)


@given(
    typed=st.text("ab", max_size=30).map(str.encode),
    keys=st.text("ab", min_size=1, max_size=4).map(str.encode),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_the_keys_are_found_wherever_they_stand_and_nothing_else_is_lost(
    typed: bytes, keys: bytes, cuts: list[int]
) -> None:
    scanner, out, is_detached = detach.DetachScanner(keys), b"", False
    edges = [0, *sorted(cuts), len(typed)]
    for start, end in itertools.pairwise(edges):
        passed, is_detached = scanner.feed(typed[start:end])
        out += passed
        if is_detached:
            break
    at = typed.find(keys)
    assert is_detached == (at >= 0)
    assert out + (b"" if is_detached else scanner.rest()) == (typed if at < 0 else typed[:at])


# --- frames


def test_large_output_becomes_several_frames() -> None:
    wire = stdcopy.frame(2, bytes(stdcopy.MAX_PAYLOAD + 1))
    assert wire[:8] == b"\x02\0\0\0" + stdcopy.MAX_PAYLOAD.to_bytes(4, "big")
    assert wire[8 + stdcopy.MAX_PAYLOAD :] == b"\x02\0\0\0\0\0\0\x01\0"
    assert stdcopy.frame(1, b"") == b""


def masked(opcode: int, payload: bytes) -> bytes:
    head = bytearray(websocket.encode(opcode, payload)[: -len(payload) or None])
    head[1] |= 0x80
    mask = b"\x01\x02\x03\x04"
    return bytes(head) + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


@given(sizes=st.lists(st.integers(0, 70_000), max_size=3), cut=st.integers(0, 80_000))
def test_websocket_frames_survive_any_cut(sizes: list[int], cut: int) -> None:
    payloads = [bytes(size) for size in sizes]  # drawn as sizes: hypothesis warns of arguments with a long repr
    wire = b"".join(masked(2, payload) for payload in payloads)
    buffer, got = bytearray(wire[:cut]), []
    while frame := websocket.take(buffer):
        got.append(frame)
    buffer += wire[cut:]
    while frame := websocket.take(buffer):
        got.append(frame)
    assert got == [(2, payload) for payload in payloads]


def test_unmasked_and_oversized_websocket_frames_end_the_connection() -> None:
    with pytest.raises(Disconnected, match="not masked"):
        websocket.take(bytearray(websocket.encode(2, b"x")))
    with pytest.raises(Disconnected, match="over"):
        websocket.take(bytearray(b"\x82\xff" + (1 << 40).to_bytes(8, "big")))


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_the_end_of_a_chunked_body_is_found_at_any_cut(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"
    wire = body + b"GET / HTTP/1.1\r\n"
    scanner, used = ChunkScanner(), 0
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(edges):
        used += scanner.feed(wire[start:end])
    assert (used, scanner.has_ended) == (len(body), True)


@pytest.mark.parametrize("wire", [b"zz\r\n", b"-1\r\n", b"1" * 5000])
def test_broken_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(ChunkError):
        ChunkScanner().feed(wire)


# --- parameters


def test_filters_are_read_in_both_forms() -> None:
    for text in ('{"label":{"a=b":true,"c":false}}', '{"label":["a=b","c"]}'):
        assert filters(Query(f"filters={text}"), {"label"}) == {"label": ["a=b", "c"]}
    assert filters(Query('filters={"dangling":[true]}'), {"dangling"}) == {"dangling": ["true"]}
    assert filters(Query("filters="), {"label"}) == {}
    for bad in ("[]", "{", '{"label":null}', '{"other":["x"]}'):
        with pytest.raises(BadRequest, match="invalid filter"):
            filters(Query(f"filters={bad}"), {"label"})


def test_times_are_seconds_with_fraction_or_rfc_3339() -> None:
    assert time_ns(Query("since=1700000000.5"), "since") == 1_700_000_000_500_000_000
    assert time_ns(Query("since=1700000000.123456789123"), "since") == 1_700_000_000_123_456_789
    assert time_ns(Query("since=2023-11-14T22:13:20Z"), "since") == 1_700_000_000_000_000_000
    assert time_ns(Query("since="), "since") is None
    with pytest.raises(BadRequest):
        time_ns(Query("since=yesterday"), "since")


def test_booleans_are_read_as_docker_reads_them() -> None:
    for text, value in (("", False), ("0", False), ("No", False), ("NONE", False), ("2", True), ("foo", True)):
        assert Query(f"a={text}").flag("a") is value
    assert Query("").flag("a", True) is True
    assert Query("a=").flag("a", True) is False


def test_registry_credentials_come_in_either_alphabet() -> None:
    auth = {"username": "ü?>~", "password": "p"}
    raw = json.dumps(auth, ensure_ascii=False).encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for text in (encode(raw).decode(), encode(raw).decode().rstrip("=")):
            request = Request("POST", "/", "", {"x-registry-auth": text}, None)  # type: ignore[arg-type]
            assert registry_auth(request) == auth
    for text in ("e30=", "!!!", "bm90IGpzb24="):
        assert registry_auth(Request("POST", "/", "", {"x-registry-auth": text}, None)) is None  # type: ignore[arg-type]


def test_sizes_and_prunes_are_checked() -> None:
    assert terminal_size(Query("h=24&w=80")) == (24, 80)
    for bad in ("h=24", "h=x&w=1", "h=-1&w=1", "h=70000&w=1"):
        with pytest.raises(BadRequest):
            terminal_size(Query(bad))
    assert (is_anonymous_only([]), is_anonymous_only(["1"]), is_anonymous_only(["false"])) == (True, False, True)


def test_field_names_are_read_in_any_case_and_null_is_absent() -> None:
    body = bodies.container_create(
        {"image": "x", "hostconfig": {"networkMode": "none", "Memory": None}, "Labels": {"image": "kept"}, "Foo": 1}, ""
    )
    assert body == {"Image": "x", "HostConfig": {"NetworkMode": "none"}, "Labels": {"image": "kept"}}
    assert bodies.exec_create({"detachKeys": "q", "cmd": "x"}, "") == {"DetachKeys": "q", "Cmd": ["x"]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Cmd": 5}, "cannot unmarshal number into Go struct field Cmd of type []string"),
        ({"Cmd": ["a", 5]}, "cannot unmarshal number into Go struct field Cmd[1] of type string"),
        ({"HostConfig": []}, "cannot unmarshal array into Go struct field HostConfig of type struct"),
        (
            {"HostConfig": {"Memory": "1g"}},
            "cannot unmarshal string into Go struct field HostConfig.Memory of type",
        ),
        (
            {"HostConfig": {"Memory": True}},
            "cannot unmarshal bool into Go struct field HostConfig.Memory of type",
        ),
        ({"HostConfig": {"Memory": 1.5}}, "cannot unmarshal number 1.5 into Go struct field HostConfig.Memory of type"),
        ({"HostConfig": {"Memory": 1 << 63}}, "cannot unmarshal number 9223372036854775808 into Go struct field"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": 80}]}}}, "HostPort of type string"),
        ({"NetworkingConfig": {"EndpointsConfig": {"n": {"Aliases": "a"}}}}, "['n'].Aliases of type []string"),
        ({"Labels": ["a=b"]}, "cannot unmarshal array into Go struct field Labels of type map[string]string"),
    ],
)
def test_wrong_types_in_bodies_are_told_by_place(body: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        bodies.container_create(body, "")
    assert message in str(refused.value)


def test_versions_compare_as_numbers() -> None:
    assert Version.parse("1.9") < Version.parse("1.24") < Version.parse("1.44")
    assert Version.parse("1..") == (1, 0)


def test_greedy_names_leave_the_verb_alone() -> None:
    router = Router()

    async def handler(_: Request) -> None: ...

    router.add("GET", "/images/{name...}/json", handler)
    request = Request("GET", "/v1.40/images/json/json/json", "", {}, None)  # type: ignore[arg-type]
    assert router.match(request).handler is handler
    assert (request.params, request.version) == ({"name": "json/json"}, (1, 40))


# --- events


def event(action: str = "start", type_: str = "container", **attributes: str) -> Event:
    return Event(type_, action, "abcdef", attributes, 1)


@pytest.mark.parametrize(
    ("filter_", "passes"),
    [
        ({"type": ["image", "container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["exec_create"]}, True),
        ({"event": ["exec"]}, False),
        ({"container": ["abc"]}, True),
        ({"container": ["we"]}, True),
        ({"container": ["eb"]}, False),
        ({"image": ["nginx"]}, True),
        ({"image": ["nginx:1"]}, True),
        ({"image": ["ngin"]}, False),
        ({"label": ["k=v", "l"]}, True),
        ({"label": ["k=v", "m"]}, False),
        ({"network": ["abc"]}, False),
        ({"scope": ["swarm"]}, False),
        ({"event": []}, True),
    ],
)
def test_event_filters(filter_: dict[str, list[str]], passes: bool) -> None:
    happened = event("exec_create: sh -c x", name="web", image="nginx:1", k="v", l="")
    assert matches(happened, filter_) is passes


def test_a_networks_event_is_found_by_its_container() -> None:
    happened = event("connect", "network", container="c0ffee", name="bridge")
    assert matches(happened, {"container": ["c0f"]})
    assert matches(happened, {"network": ["bri"]})


def test_a_subscriber_misses_nothing_from_its_call_on_and_may_look_back() -> None:
    async def main() -> None:
        bus = EventBus()
        told = [bus.publish("container", str(number), "x", {"n": str(number // 2)}) for number in range(5)]
        late = bus.subscribe()
        third = told[2].time_ns
        past = [e async for e in bus.subscribe(since_ns=third, until_ns=told[3].time_ns)]
        assert past == told[2:4]
        assert [e.action async for e in bus.subscribe(until_ns=third)] == ["0", "1", "2"]
        waiting = asyncio.ensure_future(anext(late))
        await asyncio.sleep(0)
        bus.publish("container", "5", "x")
        assert (await waiting).action == "5"

    asyncio.run(main())


def test_a_reader_slower_than_the_ring_is_told() -> None:
    async def main() -> None:
        bus = EventBus()
        slow = bus.subscribe()
        for number in range(RING + 1):
            bus.publish("container", str(number), "x")
        with pytest.raises(EventsLost):
            await anext(slow)

    asyncio.run(main())
