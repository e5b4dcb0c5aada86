"""gRPC on connections that exist already, by grpclib: services for a client, and calls to services of a client.

A handler of ours gets the request's message and a `Call`; it returns, or as an async generator yields, replies. It may
raise EngineError, whose message the client shows, or GRPCError where the status code or details matter.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from grpclib.client import Channel
from grpclib.client import Handler as ClientHandler
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.const import Status as Code
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.metadata import decode_grpc_message
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from vmagent.buildkit.inflow import FlowError, Frames, Inflow
from vmagent.buildkit.messages import Detail, Status
from vmagent.buildkit.protobuf import Message
from vmagent.errors import EngineError, Unavailable

REQUEST = TypeVar("REQUEST", bound=Message)
REPLY = TypeVar("REPLY", bound=Message)

_PREFIX = struct.Struct(">?I")  # before each message: is it compressed, its length (grpc, PROTOCOL-HTTP2.md)
MESSAGE_LIMIT_BYTES = 16 << 20  # as BuildKit's own limit

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What comes with a request beside its message; names are lower case."""

    metadata: Mapping[str, str]


class Details(StatusDetailsCodecBase):
    """The trailer `grpc-status-details-bin`: a google.rpc.Status."""

    def encode(self, status: Code, message: str | None, details: Sequence[Detail]) -> bytes:
        return Status(code=status.value, message=message or "", details=details).SerializeToString()

    def decode(self, status: Code, message: str | None, data: bytes) -> Sequence[Detail]:
        return list(Status.FromString(data).details)


def error_status(error: GRPCError) -> Status:
    """The error as a message."""
    return Status(code=error.status.value, message=error.message or "", details=error.details or ())


def from_status(status: Status) -> GRPCError:
    """The reverse; a code that gRPC does not know counts as UNKNOWN."""
    known = {code.value: code for code in Code}
    return GRPCError(known.get(status.code, Code.UNKNOWN), status.message, list(status.details))


def client_error(error: GRPCError) -> EngineError:
    """What the engine's side reports for a refusal by a service of the client."""
    return EngineError(error.message or error.status.name)


def call_error(error: Exception) -> GRPCError:
    """What the client gets for a failure of a handler; an unexpected one is logged."""
    if isinstance(error, GRPCError):
        return error
    if isinstance(error, EngineError):
        # Other codes than UNKNOWN would stand in front of the message that clients show.
        return GRPCError(Code.UNAVAILABLE if isinstance(error, Unavailable) else Code.UNKNOWN, str(error))
    log.error("rpc.failed", exc_info=error)
    return GRPCError(Code.UNKNOWN, f"{type(error).__name__}: {error}")


def unary(serve: Callable[[REQUEST, Call], Awaitable[REPLY]], request: type[REQUEST], reply: type[REPLY]) -> Handler:
    """A handler for one request and one reply."""

    async def handle(stream: Stream[Any, Any]) -> None:
        got = await stream.recv_message()
        if got is None:
            raise GRPCError(Code.INVALID_ARGUMENT, "the request has no message")
        try:
            answer = await serve(got, _call(stream))
        except StreamTerminatedError:
            raise
        except Exception as e:
            raise call_error(e) from e
        await stream.send_message(answer)

    return Handler(handle, Cardinality.UNARY_UNARY, request, reply)


def streaming(
    serve: Callable[[REQUEST, Call], AsyncIterator[REPLY]], request: type[REQUEST], reply: type[REPLY]
) -> Handler:
    """A handler for one request and any number of replies."""

    async def handle(stream: Stream[Any, Any]) -> None:
        got = await stream.recv_message()
        if got is None:
            raise GRPCError(Code.INVALID_ARGUMENT, "the request has no message")
        await stream.send_initial_metadata()
        try:
            async for answer in serve(got, _call(stream)):
                await stream.send_message(answer)
        except (StreamTerminatedError, ProtocolError):
            raise
        except Exception as e:
            raise call_error(e) from e

    return Handler(handle, Cardinality.UNARY_STREAM, request, reply)


def bidirectional(serve: Callable[[Stream[Any, Any], Call], Awaitable[None]], kind: type[Message]) -> Handler:
    """A handler for streams of `kind` in both directions, which it reads and writes itself."""

    async def handle(stream: Stream[Any, Any]) -> None:
        await stream.send_initial_metadata()
        try:
            await serve(stream, _call(stream))
        except (StreamTerminatedError, ProtocolError):
            raise
        except Exception as e:
            raise call_error(e) from e

    return Handler(handle, Cardinality.STREAM_STREAM, kind, kind)


def _call(stream: Stream[Any, Any]) -> Call:
    found: dict[str, str] = {}
    for key, value in (stream.metadata or {}).items():  # one that is there several times is a list
        text = str(value)
        found[key] = f"{found[key]},{text}" if key in found else text
    return Call(found)


def _status_of(stream: Any) -> str:
    """The message of the status that the peer has sent, "" without one."""
    raw = stream._stream
    headers = dict([*(raw.headers or ()), *(raw.trailers or ())]) if raw is not None else {}
    if headers.get("grpc-status", "0") == "0":
        return ""
    return decode_grpc_message(headers.get("grpc-message", "")) or f"grpc status {headers['grpc-status']}"


class Services:
    """Handlers by path, as grpclib wants them; made once, serves any number of connections."""

    def __init__(self, methods: Mapping[str, Handler]) -> None:
        """`methods`: /package.Service/Method to handler."""
        self._methods = methods
        self._server = Server([self], codec=ProtoCodec(), status_details_codec=Details())

    def __mapping__(self) -> dict[str, Handler]:
        return dict(self._methods)

    def protocol(self) -> asyncio.Protocol:
        """The protocol of a connection whose client calls these services."""
        made: asyncio.Protocol = self._server._protocol_factory()
        return made


class _SessionProtocol(H2Protocol):
    """grpclib's protocol of a client, which also reports that its connection has ended."""

    def __init__(self, on_lost: Callable[[], None], *args: Any) -> None:
        super().__init__(*args)
        self._on_lost = on_lost
        window_bytes = min(self.config.http2_connection_window_size, self.config.http2_stream_window_size)
        self.frames = Frames(super().data_received, self._write, window_bytes)

    def data_received(self, data: bytes) -> None:
        try:
            self.frames.feed(data)
        except FlowError as e:
            self.processor.close(str(e))

    def _write(self, data: bytes) -> None:
        if not self.connection.is_closing():
            self.connection._transport.write(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._on_lost()


class MessageSplitter:
    """Blocks of a gRPC stream to the messages in them."""

    def __init__(self) -> None:
        self._rest = b""

    def split(self, block: bytes) -> list[bytes]:
        """The messages that are whole with this block. Raises EngineError for one that is compressed or too large."""
        data = self._rest + block if self._rest else block
        found: list[bytes] = []
        at = 0
        while len(data) - at >= _PREFIX.size:
            is_compressed, length = _PREFIX.unpack_from(data, at)
            if is_compressed or length > MESSAGE_LIMIT_BYTES:
                what = "compressed message" if is_compressed else "message"
                raise EngineError(f"the client sends a {what} of {length} bytes")
            begin = at + _PREFIX.size
            if begin + length > len(data):
                break
            at = begin + length
            found.append(data[begin:at])
        self._rest = data[at:]
        return found


class BulkCall:
    """A call with many small messages: those of the client are read, and ours are sent, many at a time."""

    def __init__(self, stream: Any, inflow: Inflow) -> None:
        """`stream`: grpclib's `client.Stream`, whose request is sent."""
        self._stream, self._inflow = stream, inflow

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The client's bytes, for a MessageSplitter, to the end of the call. Raises what the client ends it with."""
        # h2 sees none of the contents, so there is no message for grpclib: it waits for the end.
        ending = asyncio.ensure_future(self._stream.recv_message())
        try:
            async with aclosing(self._inflow.blocks(ending)) as blocks:
                async for block in blocks:
                    yield block
            if message := _status_of(self._stream):
                raise EngineError(message)
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    async def send(self, messages: Sequence[Message], *, end: bool = False) -> None:
        """Raises what the client ends the call with."""
        encoded = [message.SerializeToString() for message in messages]
        data = b"".join(part for one in encoded for part in (_PREFIX.pack(False, len(one)), one))
        with self._stream._wrapper:
            await self._stream._stream.send_data(data, end_stream=end)
        self._stream._end_done |= end


class Caller(Channel):
    """Calls to the services of a client, on the one connection that it opened."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        super().__init__(codec=ProtoCodec(), status_details_codec=Details(), config=Configuration())
        self._on_lost = on_lost

    def protocol(self) -> asyncio.Protocol:
        """The protocol of the connection; to be called once."""
        made = _SessionProtocol(self._on_lost, ClientHandler(), self._config, self._h2_config)
        self._protocol, self._frames = made, made.frames
        return made

    async def _create_connection(self) -> H2Protocol:
        raise Unavailable("the client has closed its session")

    async def ask(self, path: str, request: Message, reply: type[REPLY]) -> REPLY:
        """One request, one reply. Raises GRPCError with the client's status, Unavailable once it has disconnected."""
        try:
            async with self.request(path, Cardinality.UNARY_UNARY, type(request), reply) as stream:
                await stream.send_message(request, end=True)
                got: REPLY | None = await stream.recv_message()
        except StreamTerminatedError as e:
            raise Unavailable("the client has closed its session") from e
        if got is None:
            raise GRPCError(Code.INTERNAL, f"{path}: no reply")
        return got

    @asynccontextmanager
    async def open(
        self,
        path: str,
        kind: type[Message],
        metadata: Sequence[tuple[str, str]] = (),
        *,
        replies: type[Message] | None = None,
    ) -> AsyncIterator[Any]:
        """A call with streams in both directions, as grpclib's `client.Stream`; the request is sent.

        `kind`: of the messages, of those of the client too unless `replies` says another.

        What the client ends it with becomes an EngineError.
        """
        stream = self.request(path, Cardinality.STREAM_STREAM, kind, replies or kind, metadata=list(metadata))
        try:
            async with stream:
                await stream.send_request()
                yield stream
        except GRPCError as e:
            raise client_error(e) from e
        except StreamTerminatedError as e:
            # A server that ends a call early resets the stream behind its status, which grpclib then does not look at.
            raise EngineError(_status_of(stream) or f"the client has ended the call {path}: {e}") from e

    @asynccontextmanager
    async def open_bulk(
        self, path: str, kind: type[Message], metadata: Sequence[tuple[str, str]] = ()
    ) -> AsyncIterator[BulkCall]:
        """As `open`, for a call with many small messages."""
        async with self.open(path, kind, metadata) as stream:
            inflow = self._frames.take(stream._stream.id)
            try:
                yield BulkCall(stream, inflow)
            finally:
                inflow.close()
