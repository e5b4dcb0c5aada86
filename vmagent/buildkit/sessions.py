"""Sessions: connections on which the client serves and the engine calls (buildkit's session/manager.go).

A client opens one with `POST /session`. It names itself and its methods in the request's headers, then starts a build
that refers to the session's id. The build may arrive before its session does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from vmagent.buildkit.rpc import Caller
from vmagent.errors import BadRequest, EngineError

ARRIVAL_LIMIT_S = 5.0  # how long a build waits for its session

_PREFIX = "x-docker-expose-session-"


class Session:
    """One client's services. Made by `Sessions.open`."""

    def __init__(self, session_id: str, name: str, shared_key: str, methods: frozenset[str]) -> None:
        """`methods`: paths of the methods that the client serves, in lower case."""
        self.id = session_id
        self.name = name
        self.shared_key = shared_key  # the same for each build of one folder by one client
        self.lost = asyncio.Event()
        self._methods = methods
        self.caller = Caller(self.lost.set)

    def serves(self, path: str) -> bool:
        """Whether the client has announced the method."""
        return path.lower() in self._methods

    def close(self) -> None:
        self.caller.close()


class Sessions:
    """The sessions that are open now."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._news = asyncio.Condition()

    def make(self, headers: Mapping[str, str]) -> Session:
        """A session by the headers of its request, whose names are in lower case. Raises BadRequest."""
        session_id = headers.get(f"{_PREFIX}uuid", "")
        if not session_id:
            raise BadRequest(f"a session needs the header {_PREFIX}uuid")
        methods = headers.get(f"{_PREFIX}grpc-method", "")
        return Session(
            session_id,
            headers.get(f"{_PREFIX}name", ""),
            headers.get(f"{_PREFIX}sharedkey", ""),
            frozenset(method.strip().lower() for method in methods.split(",")),
        )

    async def serve(self, session: Session) -> None:
        """Let builds find the session until its connection ends."""
        self._open[session.id] = session
        async with self._news:
            self._news.notify_all()
        try:
            await session.lost.wait()
        finally:
            if self._open.get(session.id) is session:
                del self._open[session.id]
            session.close()

    async def get(self, session_id: str) -> Session:
        """The session, which may be about to arrive. Raises EngineError if it does not."""
        try:
            async with asyncio.timeout(ARRIVAL_LIMIT_S), self._news:
                await self._news.wait_for(lambda: session_id in self._open)
        except TimeoutError:
            raise EngineError(f"no active session for {session_id}: context deadline exceeded") from None
        return self._open[session_id]
