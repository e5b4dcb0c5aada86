"""The host agent's API (`cove host`): the VM's state and its verbs, over the agent's socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from desktop.client.api import ApiClient, ByteStream, JsonStream
from desktop.client.http import Endpoint
from desktop.client.wire import ProtocolError


class VmStep(NamedTuple):
    """A step of the VM's start. `ms` is how long it took, or has taken so far."""

    name: str
    ms: float
    detail: str
    done: bool


class VmError(NamedTuple):
    """Why the VM failed, and what the user can do (or "")."""

    message: str
    hint: str


class HostState(NamedTuple):
    """The VM as the agent sees it. `state` is stopped, adopting, starting, running, stopping, saving, saved or failed;
    `since` is Unix time. `adopting`: a VM that an earlier agent left behind is being taken over; it ends as running or
    stopped. `saved`: the resource saver has saved it, and the next use resumes it."""

    state: str
    since: float
    steps: tuple[VmStep, ...]
    accelerator: str
    accelerator_why: str
    engine_socket: str
    qemu_pid: int | None
    memory_mb: int
    cpus: int
    error: VmError | None
    way: str = ""  # how it was started: cold, template, saved session
    dropped: tuple[str, ...] = ()  # what could not be used for that, each with its reason
    silence: str = ""  # why a VM that should run does not answer; "" while it does
    restart_at: float | None = None  # of a failed VM: when it is started again by itself (Unix time)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HostState:
        """The state in `value`. Raises ProtocolError if it has another form."""
        try:
            accelerator = value.get("accelerator") or {}
            error = value.get("error")
            start = value.get("start") or {}
            return cls(
                state=str(value["state"]),
                since=float(value.get("since") or 0),
                steps=tuple(
                    VmStep(
                        str(step["name"]), float(step.get("ms") or 0), str(step.get("detail") or ""), bool(step["done"])
                    )
                    for step in value.get("steps") or ()
                ),
                accelerator=str(accelerator.get("name") or ""),
                accelerator_why=str(accelerator.get("why") or ""),
                engine_socket=str(value.get("engine_socket") or ""),
                qemu_pid=value.get("qemu_pid"),
                memory_mb=int(value.get("memory_mb") or 0),
                cpus=int(value.get("cpus") or 0),
                error=VmError(str(error.get("message") or ""), str(error.get("hint") or "")) if error else None,
                way=str(start.get("way") or ""),
                dropped=tuple(str(one) for one in start.get("dropped") or ()),
                silence=str(value.get("silence") or ""),
                restart_at=value.get("restart_at"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise ProtocolError(f"not a state of the host agent: {e!r}") from e


class StateStream(JsonStream):
    """States as they change, the present one first; closable from another thread."""

    def states(self) -> Iterator[HostState]:
        for value in self:
            yield HostState.from_json(value)


class HostClient(ApiClient):
    """Calls raise ApiError, ConnectionFailed (no agent runs) and ProtocolError."""

    def __init__(self, endpoint: Endpoint, timeout_s: float | None = 10) -> None:
        super().__init__(endpoint, timeout_s)

    def state(self) -> HostState:
        return HostState.from_json(self.json_object("GET", "/v1/state"))

    def start(self) -> HostState:
        """Request a start; it continues after the reply. During an adoption, it begins if the adoption fails."""
        return self._verb("start")

    def stop(self) -> HostState:
        """Stop the VM; if no container runs, its session is saved for the next start."""
        return self._verb("stop")

    def shutdown(self) -> HostState:
        """Stop containers, engine and Linux; the next start begins anew."""
        return self._verb("shutdown")

    def restart(self) -> HostState:
        return self._verb("restart")

    def reset(self) -> HostState:
        """Stop the VM and delete its disk, with all images, containers and volumes."""
        return self._verb("reset")

    def _verb(self, verb: str) -> HostState:
        answer = self.request("POST", f"/v1/vm/{verb}", limited=False)
        return HostState.from_json(answer) if isinstance(answer, dict) and "state" in answer else self.state()

    def events(self) -> StateStream:
        return StateStream(self.call("GET", "/v1/events"))

    def hold(self) -> StateStream:
        """Wake a saved VM, and keep it from being saved while the stream is open. Its one state is of the VM that runs.
        Raises ApiError if it does not run."""
        return StateStream(self.call("GET", "/v1/hold", limited=False))

    def logs(self, follow: bool = False) -> ByteStream:
        """The VM's console."""
        return ByteStream(self.call("GET", "/v1/logs", query={"follow": follow or None}))

    def quit(self) -> None:
        """Stop the VM and the agent."""
        self.request("POST", "/v1/quit", limited=False)
