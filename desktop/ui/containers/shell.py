"""A program on a terminal of its own in a container, by an exec of the engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, HijackedStream, ProtocolError

FEED_LIMIT = 48 * 1024  # bytes processed per frame, so that heavy output does not delay keys
PENDING_LIMIT = 512 * 1024  # beyond this the socket is not read, which blocks the program's writes
SHELL: Sequence[str] = ["/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi"]


class Shell:
    """`command` in a container, on its own terminal; `ready` is called in its thread when `take` has output."""

    def __init__(
        self,
        client: EngineClient,
        container_id: str,
        command: Sequence[str],
        rows: int,
        columns: int,
        ready: Callable[[], None],
    ) -> None:
        self._client, self._container, self._command, self._ready = client, container_id, list(command), ready
        self.rows, self.columns = rows, columns
        self._room = threading.Condition()
        self._output = bytearray()
        self._input: queue.SimpleQueue[bytes | tuple[int, int] | None] = queue.SimpleQueue()
        self._stream: HijackedStream | None = None
        self._exec_id = ""
        self.closed = self.ended = False
        self.problem = ""
        self.exit_code: int | None = None

    def run(self) -> None:
        """Run until the shell ends or `close` is called. Runs in its own thread."""
        try:
            config = {
                "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True, "Cmd": self._command,
                "Env": ["TERM=xterm-256color"], "ConsoleSize": [self.rows, self.columns],
            }  # fmt: skip
            self._exec_id = self._client.exec_create(self._container, config)
            with self._client.exec_start(self._exec_id, tty=True, console_size=(self.rows, self.columns)) as stream:
                with self._room:
                    self._stream = stream
                    self._room.notify_all()
                self.resize(self.rows, self.columns)  # for engines that ignore the size in the request
                while not self.closed and (frame := stream.read()) is not None:
                    with self._room:
                        self._output += frame.data
                        self._room.wait_for(lambda: self.closed or len(self._output) < PENDING_LIMIT)
                    self._ready()
            if not self.closed:
                self.exit_code = self._client.exec_inspect(self._exec_id).get("ExitCode")
        except (ApiError, ConnectionFailed, ProtocolError, OSError) as e:
            self.problem = str(e)
        self.ended = True
        self._input.put(None)
        with self._room:
            self._room.notify_all()
        self._ready()

    def take(self) -> bytes:
        """Up to FEED_LIMIT bytes of output."""
        with self._room:
            data = bytes(self._output[:FEED_LIMIT])
            del self._output[:FEED_LIMIT]
            self._room.notify_all()
        return data

    @property
    def has_more(self) -> bool:
        return bool(self._output)

    def write(self, data: bytes) -> None:
        """Queue bytes for the shell; does not block."""
        self._input.put(data)

    def resize(self, rows: int, columns: int) -> None:
        """Queue a change of the terminal's size; does not block."""
        self._input.put((rows, columns))

    def run_input(self) -> None:
        """Send queued keys and sizes to the container, in order. Runs in its own thread."""
        while (item := self._input.get()) is not None:
            with self._room:
                self._room.wait_for(lambda: self._stream is not None or self.ended or self.closed)
                stream = self._stream
            if stream is None or self.ended or self.closed:
                return
            try:
                if isinstance(item, bytes):
                    stream.write(item)
                else:
                    self._client.resize_exec(self._exec_id, *item)
            except ApiError as e:
                if e.status not in (404, 409):  # the program has ended, which the reading thread is about to see
                    self.problem = str(e)
            except (ConnectionFailed, ProtocolError, OSError) as e:
                if not self.closed and not self.ended:
                    self.problem = str(e)

    def close(self) -> None:
        self._input.put(None)
        with self._room:
            self.closed = True
            self._room.notify_all()
            if self._stream is not None:
                self._stream.close()
