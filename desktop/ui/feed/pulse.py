"""Notices an engine that holds its connections but does not answer: stopped, or in a loop. No Qt in here.

The stream of events of such an engine stays open, so its silence alone tells nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from desktop.client.engine import ApiError, ConnectionFailed, Endpoint, EngineClient, ProtocolError

PERIOD_S = 1.5
LIMIT_S = 1.5  # two of these: an engine that has hung is told within three seconds


class Pulse:
    """Asks for a small answer again and again while `watch(True)`, in its own thread (`run`).

    `silent(since_s)` is called there once the engine has not answered for `LIMIT_S`; `since_s` (Unix seconds) is the
    time of its last answer. It is asked again after the next `watch(True)`.
    """

    def __init__(self, endpoint: Endpoint, silent: Callable[[float], None]) -> None:
        self._client = EngineClient(endpoint, timeout_s=LIMIT_S)
        self._silent = silent
        self._changed = threading.Condition()
        self._wanted = self._closed = False

    def watch(self, on: bool) -> None:
        with self._changed:
            self._wanted = on
            self._changed.notify_all()

    def close(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def run(self) -> None:
        answered_s = time.time()
        while True:
            with self._changed:
                was_idle = not self._wanted
                self._changed.wait_for(lambda: self._closed or self._wanted)
                if not was_idle:
                    self._changed.wait_for(lambda: self._closed or not self._wanted, PERIOD_S)
                if self._closed:
                    break
                if not self._wanted:
                    continue
            if was_idle:
                answered_s = time.time()
            if self._is_answering():
                answered_s = time.time()
                continue
            with self._changed:
                told, self._wanted = self._wanted and not self._closed, False
            if told:
                self._silent(answered_s)
        self._client.close()

    def _is_answering(self) -> bool:
        """False: no answer within the limit. A refused connection is an answer of a kind: the stream of events ends
        with it, and its reader tells."""
        began = time.monotonic()
        try:
            self._client.ping()
        except ApiError:
            return True
        except (ConnectionFailed, ProtocolError, OSError):
            return time.monotonic() - began < LIMIT_S * 0.9
        return True
