"""Serves shared folders to the VM's client: sessions over streams, requests in threads.

A session outlives its stream for a while: open files stay open while the carrier is connected again.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence

from desktop.folders.changes import Notice
from desktop.folders.crew import Crew
from desktop.folders.handles import Handles
from desktop.folders.shares import Sharing
from desktop.folders.wire import (
    ATTRIBUTES_SIZE,
    CHANGED,
    EIO,
    PROTOCOL,
    SESSION_SIZE,
    U32,
    Fields,
    MissingError,
    Operation,
    Request,
    WireError,
    linux_error,
    notice,
    reply,
    string,
    take_request,
)
from desktop.tunnel.transport import Stream, TunnelError

if sys.platform == "win32":
    from desktop.folders.nothing import Operations
else:
    from desktop.folders.operations import Operations

THREADS = 4
AT_ONCE = 128  # requests of one session that are carried out or wait for a thread
# Sessions without a stream that are kept. A VM has one; more come from VMs that have ended.
KEPT = 2


class FolderServer:
    """The file server of one host agent."""

    def __init__(self, folders: Callable[[], Sequence[str]]) -> None:
        """`folders` returns the absolute paths of what is shared now. Where it raises ValueError (the setting is
        invalid), requests fail."""
        self._sharing = Sharing(folders)
        self._crew = Crew(THREADS)
        self._sessions: dict[bytes, _Session] = {}

    async def serve(self, stream: Stream) -> None:
        """Serve one client until its stream ends. Raises TunnelError."""
        buffer = bytearray()
        session: _Session | None = None
        try:
            while data := await stream.read():
                buffer += data
                while (request := take_request(buffer)) is not None:
                    if session is None:
                        session = self._begin(request, stream)
                    else:
                        await session.take(request)
        except WireError:
            return  # not a client of ours: its stream is closed
        finally:
            if session is not None:
                session.leave(stream)
                self._forget_old()

    async def stop(self) -> None:
        """Close all files, when the requests that are carried out have ended."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._crew.stop()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _begin(self, request: Request, stream: Stream) -> _Session:
        """The greeting: a new session, or the one that its client had. Raises WireError."""
        fields = Fields(request.body)
        version, key = fields.number(U32), fields.rest()
        if request.operation != Operation.HELLO or version != PROTOCOL or len(key) != SESSION_SIZE:
            raise WireError(f"a greeting of version {version}")
        known = key in self._sessions
        session = self._sessions.pop(key) if known else _Session(self._sharing, self._crew)
        self._sessions[key] = session  # as the newest
        session.join(stream, request.number, known=known)
        return session

    def _forget_old(self) -> None:
        away = [key for key, session in self._sessions.items() if session.is_away]
        for key in away[:-KEPT]:
            self._crew.do(self._sessions.pop(key).close)


class _Session:
    """One client. Its loop is the agent's; its requests are carried out in threads."""

    def __init__(self, sharing: Sharing, crew: Crew) -> None:
        self._crew = crew
        self._handles = Handles()
        self._loop = asyncio.get_running_loop()
        self._operations = Operations(sharing, self._handles, self._tell, crew.do)
        self._stream: Stream | None = None
        self._room = asyncio.Semaphore(AT_ONCE)
        # What threads have to send, for the loop to take over in their order: a reply must not overtake the notice of
        # an older change.
        self._from_threads: deque[Callable[[], None]] = deque()
        self._is_told = False  # the loop will look at them
        self._replies: list[bytes] = []
        self._has_replies = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    @property
    def is_away(self) -> bool:
        return self._stream is None

    def join(self, stream: Stream, number: int, *, known: bool) -> None:
        """The client has come, or come back. Replies for an earlier stream are dropped: it asks again."""
        if self._stream is not None:
            self.leave(self._stream)
        self._stream = stream
        self._replies = [reply(number, 0, U32.pack(PROTOCOL) + U32.pack(known))]
        self._has_replies.set()
        self._writer = asyncio.create_task(self._write(stream), name="replies of shared folders")

    def leave(self, stream: Stream) -> None:
        """`stream` has ended."""
        if self._stream is not stream:
            return  # another one has taken its place
        self._stream = None
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def take(self, request: Request) -> None:
        """Carry out one request, or have a thread begin with it. Waits while too many are carried out."""
        if request.operation == Operation.CLOSE:  # it has no reply
            if not self._operations.close_at_once(request.body):
                self._crew.do(lambda: self._operations.close(request.body))
            return
        if (body := self._operations.at_once(request)) is not None:
            self._take_over()
            self._send(reply(request.number, 0, body))
            return
        await self._room.acquire()
        stream = self._stream
        self._crew.do(lambda: self._reply_from_thread(stream, request))

    def close(self) -> None:
        """Blocking."""
        self._operations.end()
        self._handles.close_all()

    def _tell(self, change: Notice) -> None:
        """In a thread: the client is to hear of a change."""
        frame = notice(CHANGED, _notice_body(change))
        self._hand_over(lambda: self._send(frame))

    def _send(self, frame: bytes) -> None:
        if self._stream is not None:  # a client that is away asks anew for what it has
            self._replies.append(frame)
            self._has_replies.set()

    def _reply_from_thread(self, stream: Stream | None, request: Request) -> None:
        frame = reply(request.number, EIO)  # to one that meets a defect, which the crew reports
        try:
            frame = self._carry_out(request)
        finally:
            self._hand_over(lambda: self._finish(stream, frame))

    def _carry_out(self, request: Request) -> bytes:
        """In a thread. Returns the reply's frame."""
        try:
            return reply(request.number, 0, self._operations.carry_out(request))
        except MissingError as e:
            return reply(request.number, linux_error(e), U32.pack(e.valid_ms))
        except OSError as e:
            return reply(request.number, linux_error(e))
        except (WireError, ValueError, OverflowError):  # values that no client of ours sends
            return reply(request.number, EIO)

    def _finish(self, stream: Stream | None, frame: bytes) -> None:
        """A thread has carried out a request."""
        self._room.release()
        if stream is self._stream:  # else it was for an earlier connection, whose client asks again
            self._send(frame)

    def _hand_over(self, send: Callable[[], None]) -> None:
        """In a thread: the loop takes over all that is there when it comes to it."""
        self._from_threads.append(send)
        if not self._is_told:
            self._is_told = True
            self._loop.call_soon_threadsafe(self._take_over)

    def _take_over(self) -> None:
        self._is_told = False  # before anything is taken: what comes now is told of anew
        while self._from_threads:
            self._from_threads.popleft()()

    async def _write(self, stream: Stream) -> None:
        try:
            while True:
                await self._has_replies.wait()
                frames, self._replies = self._replies, []
                self._has_replies.clear()
                await stream.write(b"".join(frames))
        except TunnelError:
            return  # the reader sees it too, and ends the session's use of the stream


def _notice_body(change: Notice) -> bytes:
    attributes = bytes(ATTRIBUTES_SIZE) if change.attributes is None else change.attributes.packed()
    numbers = U32.pack(change.kinds) + U32.pack(change.is_folder)
    return string(change.folder) + string(change.name) + numbers + attributes
