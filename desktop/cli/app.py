"""What every command gets: the paths, the context and a client; and how a failure is reported."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from desktop import context as contexts
from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError, StreamFailed
from desktop.client.reference import InvalidReference

if TYPE_CHECKING:
    from desktop.client.host import HostState
    from desktop.paths import HostPaths

QUESTION_LIMIT_S = 60.0  # for short requests; stop, wait, pull and the like have no limit
# The VM's host agent replies to the first request within milliseconds, if the VM runs. After this it is asked what the
# VM does: a start is shown, and an agent that hangs is told.
_PING_LIMIT_S = 0.4

# The exceptions that a command may raise for a failure; `message_of` turns them into a message.
FAILURES = (ApiError, ConnectionFailed, ProtocolError, InvalidReference)


class Failure(Exception):
    """The command failed: str(self) goes to stderr, `status` is the exit code, `hint` a second line.

    An empty message says nothing: all has been said, or the status is the container's.
    """

    def __init__(self, message: str = "", status: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint


class App:
    """One run of `cove`. `host` and `context` are the global flags."""

    def __init__(
        self,
        paths: HostPaths,
        environ: Mapping[str, str],
        *,
        host: str | None = None,
        context_name: str | None = None,
        debug: bool = False,
    ) -> None:
        self.paths = paths
        self.environ = environ
        self.debug = debug
        self._host = host
        self._context_name = context_name
        self._client: EngineClient | None = None

    def context(self) -> contexts.Context:
        """Raises Failure."""
        try:
            return contexts.resolve(self.paths, self.environ, host=self._host, context=self._context_name)
        except contexts.ContextError as e:
            raise Failure(str(e)) from e

    def client(self) -> EngineClient:
        """A client of the context's engine, which is started if it does not run. Raises Failure, ConnectionFailed."""
        if self._client is None:
            chosen = self.context()
            limit_s = _PING_LIMIT_S if chosen.kind == contexts.VM else QUESTION_LIMIT_S
            client = EngineClient(chosen.endpoint, timeout_s=limit_s)
            try:
                client.api_version  # noqa: B018  # asks the engine whether it is there
            except (ConnectionFailed, ApiError, ProtocolError):
                if chosen.kind == contexts.ADDRESS:
                    raise
                self._start(chosen)
            client.timeout_s = QUESTION_LIMIT_S
            self._client = client
        return self._client

    def _start(self, chosen: contexts.Context) -> None:
        from desktop.client import starting

        try:
            if chosen.kind == contexts.VM:
                with VmProgress() as progress:
                    starting.ensure_vm(self.paths, progress)
            else:
                starting.ensure_native(self.paths)
        except starting.CannotStart as e:
            raise Failure(str(e), status=1, hint=e.hint) from e

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


_TITLES = {"adopting": "Taking over the running VM", "starting": "Starting the VM"}


class VmProgress:
    """Prints the progress of the VM's start or adoption on stderr, one line per step."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._announced = ""  # the state whose title was printed last

    def __enter__(self) -> VmProgress:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()

    def __call__(self, state: HostState) -> None:
        title = _TITLES.get(state.state)
        if title and state.state != self._announced:
            self._announced = state.state
            self._told.clear()
            print(title, file=sys.stderr)
        for step in state.steps:
            if step.done and step.name not in self._told:
                self._told.add(step.name)
                detail = f"  {step.detail}" if step.detail else ""
                print(f"  {step.name:<12} {step.ms / 1000:6.1f} s{detail}", file=sys.stderr, flush=True)


def message_of(error: Exception) -> str:
    """One line for a failure, in docker's words where docker has some."""
    if isinstance(error, StreamFailed):
        return str(error)
    if isinstance(error, ApiError):
        return f"Error response from daemon: {error}"
    if isinstance(error, ConnectionFailed):
        return f"Cannot connect to the engine at {error.endpoint}: {error}. Is it running?"
    return str(error)
