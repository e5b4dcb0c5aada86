"""Hooks of the OCI runtime (config.md, "POSIX-platform Hooks"): compiled, and run with the state on their stdin.

The runtime's own process runs them, and the container's first process before it executes the command. That one is a
fork of the runtime: it starts hooks only by posix_spawn, and imports nothing.
"""

from __future__ import annotations

import os
import select

from vmagent.linux import compact_json
from vmagent.linux import process as linux
from vmagent.runtime.failure import OTHER, SPEC, LaunchError, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_SHOWN = 2000  # characters of a failed hook's output that go into the error


class Hook:
    """One hook of the specification. `env`: None to inherit an environment. `timeout_s`: None for no limit."""

    __slots__ = ("args", "env", "path", "timeout_s")

    def __init__(self, path: str, args: list[str], env: dict[str, str] | None, timeout_s: int | None) -> None:
        self.path = path
        self.args = args
        self.env = env
        self.timeout_s = timeout_s


def compile_hooks(hooks: Mapping[str, Any]) -> dict[str, list[Hook]]:
    """The hooks by kind, in the order of the specification. Raises LaunchError (spec)."""
    for kind in hooks:
        if kind not in KINDS:
            raise LaunchError(SPEC, f"hooks.{kind} is not known")
    return {
        kind: [_compile(kind, number, hook) for number, hook in enumerate(hooks.get(kind) or ())]
        for kind in KINDS
        if hooks.get(kind)
    }


def _compile(kind: str, number: int, hook: Mapping[str, Any]) -> Hook:
    path, timeout_s, given = hook.get("path") or "", hook.get("timeout"), hook.get("env")
    if not path.startswith("/"):
        raise LaunchError(SPEC, f"hooks.{kind}[{number}]: the path must be absolute: {path!r}")
    if timeout_s is not None and timeout_s <= 0:
        raise LaunchError(SPEC, f"hooks.{kind}[{number}]: timeout must be greater than zero")
    env = None if given is None else dict(entry.partition("=")[::2] for entry in given)
    return Hook(path, list(hook.get("args") or [path]), env, timeout_s)


def run_hooks(kind: str, hooks: Sequence[Hook], state: Mapping[str, Any]) -> None:
    """Run all in order; the first failure ends it. They inherit this process's environment. Raises LaunchError."""
    for number, hook in enumerate(hooks):
        run_hook(kind, number, hook, state)


def run_hook(kind: str, number: int, hook: Hook, state: Mapping[str, Any]) -> None:
    """Run hook `number` of its kind. Raises LaunchError with its output."""
    prepared = PreparedHook(kind, number, hook, state)
    try:
        prepared.run(os.environ)
    finally:
        prepared.close()


class PreparedHook:
    """A hook with its standard streams open. Running it then needs few system calls.

    That matters where a seccomp filter is loaded in between: only posix_spawn, lseek, read, write, wait4 and, with a
    timeout, poll and the pidfd calls are left, and those are made with no more rights than the hook gets.
    """

    __slots__ = ("_doing", "_hook", "_output_fd", "_state_fd")

    def __init__(self, kind: str, number: int, hook: Hook, state: Mapping[str, Any]) -> None:
        """`state`: what the hook reads from its standard input. Raises LaunchError."""
        self._doing = f"error running {kind} hook #{number}"
        self._hook = hook
        try:
            self._state_fd = os.memfd_create("state")
            self._output_fd = os.memfd_create("output")
            os.write(self._state_fd, compact_json.dumps(state).encode())
            os.lseek(self._state_fd, 0, os.SEEK_SET)
        except OSError as e:
            raise failed(self._doing, e) from e

    def run(self, inherited: Mapping[str, str]) -> None:
        """Run it once, to its end; kill it when its timeout passes. Raises LaunchError with its output.

        `inherited`: the environment of a hook that does not specify one.
        """
        hook = self._hook
        try:
            pid = os.posix_spawn(
                hook.path,
                hook.args,
                inherited if hook.env is None else hook.env,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._state_fd, 0),
                    (os.POSIX_SPAWN_DUP2, self._output_fd, 1),
                    (os.POSIX_SPAWN_DUP2, self._output_fd, 2),
                ],
            )
            problem = _wait(pid, hook.timeout_s)
            if problem:
                said = os.pread(self._output_fd, _SHOWN, 0).decode("utf-8", "replace").strip()
                raise LaunchError(OTHER, f"{self._doing}: {problem}" + (f", output: {said}" if said else ""))
        except OSError as e:
            raise failed(f"{self._doing}: {hook.path}", e) from e

    def close(self) -> None:
        os.close(self._state_fd)
        os.close(self._output_fd)


def _wait(pid: int, timeout_s: int | None) -> str:
    """Wait for the hook `pid` to end; a description of its failure, or "" if it succeeded. Raises OSError."""
    in_time = timeout_s is None or _ends_within(pid, timeout_s)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not in_time:
        return f"timed out after {timeout_s} s"
    if code == 0:
        return ""
    return f"exit status {code}" if code > 0 else f"killed by signal {-code}"


def _ends_within(pid: int, timeout_s: int) -> bool:
    """Whether the child `pid` ends in time; otherwise it is killed. Raises OSError."""
    pidfd = linux.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if poll.poll(timeout_s * 1000):
            return True
        linux.pidfd_send_signal(pidfd, 9)
        return False
    finally:
        os.close(pidfd)
