"""In place of `operations` where this machine's files can't be served yet (Windows): nothing is shared."""

from __future__ import annotations

import errno
from collections.abc import Callable

from desktop.folders.changes import Notice
from desktop.folders.handles import Handles
from desktop.folders.shares import Shares, above_attributes
from desktop.folders.wire import U64, Fields, Operation, Request


class Operations:
    """The requests of one session."""

    def __init__(self, shares: Callable[[], Shares], handles: Handles, tell: Callable[[Notice], None]) -> None:
        self._handles = handles

    def carry_out(self, request: Request) -> bytes:
        """The body of the reply. Raises OSError, WireError."""
        fields = Fields(request.body)
        if request.operation == Operation.GETATTR:
            fields.number(U64)
            if not fields.text():
                return above_attributes(()).packed()
        raise OSError(errno.EACCES, "not shared")

    def end(self) -> None:
        """The session is over."""

    def close(self, body: bytes) -> None:
        """CLOSE, which has no reply. Raises WireError."""
        self._handles.close(Fields(body).number(U64))
