"""In place of `operations` where this machine's files can't be served yet (Windows): nothing is shared."""

from __future__ import annotations

import errno
from collections.abc import Callable

from desktop.folders.changes import Notice
from desktop.folders.handles import Handles
from desktop.folders.shares import Sharing, above_attributes
from desktop.folders.wire import U64, Fields, Operation, Request


class Operations:
    """The requests of one session."""

    def __init__(
        self,
        sharing: Sharing,
        handles: Handles,
        tell: Callable[[Notice], None],
        do: Callable[[Callable[[], object]], object],
    ) -> None:
        self._handles = handles

    def at_once(self, request: Request) -> bytes | None:
        """The body of the reply to a request that waits for nothing; None: it is one for `carry_out`."""
        return None

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

    def close_at_once(self, body: bytes) -> bool:
        """Whether a CLOSE was carried out; False: it is one for `close`. Raises WireError."""
        Fields(body).number(U64)
        return False

    def close(self, body: bytes) -> None:
        """CLOSE, which has no reply."""
        self._handles.close(Fields(body).number(U64))
