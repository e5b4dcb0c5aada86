"""Another process in a running container. Its streams are the engine's; here are its start and its exit status.

The status is told, then put into the keeper's entry, then the process is reaped; it stays there until the engine has
taken it.
"""

from __future__ import annotations

from vmagent.runtime.launch import launch_exec
from vmagent.supervisor.child import EXITED, Child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from vmagent.runtime.spawner import Spawner
    from vmagent.supervisor.containers import Run
    from vmagent.supervisor.keeping import Keeping
    from vmagent.supervisor.loop import Loop

KIND = "exec"


class Exec(Child):
    """`tell(self, what)` is called with "running", "failed" or "exited"."""

    __slots__ = ("_tell", "container_id", "exec_id", "tty")

    def __init__(
        self, data: Mapping[str, Any], loop: Loop, keeping: Keeping, tell: Callable[[Exec, str], None]
    ) -> None:
        """`data`: exec_id, id (the container's), tty."""
        super().__init__(loop, keeping)
        self.exec_id: str = data["exec_id"]
        self.container_id: str = data["id"]
        self.tty: bool = data["tty"]
        self._tell = tell

    @property
    def key(self) -> str:
        return "exec " + self.exec_id

    def words(self) -> dict[str, Any]:
        words = {"kind": KIND, "exec_id": self.exec_id, "id": self.container_id, "tty": self.tty}
        return words if self.exit_code is None else {**words, "exit_code": self.exit_code}

    def start(self, container: Run, plan: dict[str, Any], streams: Mapping[str, int], spawner: Spawner | None) -> None:
        """Launch it; `streams` (stdin, stdout, stderr) stay the caller's. Raises LaunchError, OSError."""
        launched = launch_exec(
            plan,
            container_pidfd=container.pidfd,
            cgroup=container.cgroup,
            stdin_fd=streams.get("stdin", -1),
            stdout_fd=streams.get("stdout", -1),
            stderr_fd=streams.get("stderr", -1),
            spawner=spawner,
        )
        try:
            self.launched(launched, self.words())  # unlike a container's, it has nothing that must be kept before
        except BaseException:
            self.keeping.forget(self.key)
            raise

    def take_status(self, code: int) -> None:
        """The exit status stood in the keeper's entry."""
        self.exit_code = code
        self.state = EXITED

    def on_running(self) -> None:
        self.forget_retry()
        self._tell(self, "running")

    def on_failed(self) -> None:
        self.close()
        self.keeping.forget(self.key)
        self._tell(self, "failed")

    def on_exited(self, code: int) -> None:
        self.exit_code = code
        self.state = EXITED
        self._tell(self, "exited")  # somebody waits for this; until the reaping an heir would find out the same
        self.keeping.put(self.key, {"exit_code": code})
        self.reap()
        # The terminal's master goes with it: its last output is in the engine's copy.
        self.close()
        self.keeping.take_later(self.key, "pid", "report", "console", "master")
