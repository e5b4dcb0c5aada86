"""Hooks of the OCI runtime (config.md, "POSIX-platform Hooks"): compiled, and run with the state on their stdin.

`run_hooks` is for the runtime's own process and for the container's first process before it becomes the command; there
it forks by posix_spawn alone and imports nothing.
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


def compile_hooks(hooks: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The hooks by kind, each {"path", "args", "env", "timeout" in seconds or None}. Raises LaunchError (spec)."""
    for kind in hooks:
        if kind not in KINDS:
            raise LaunchError(SPEC, f"hooks.{kind} is not known")
    return {
        kind: [_compile(kind, number, hook) for number, hook in enumerate(hooks.get(kind) or ())]
        for kind in KINDS
        if hooks.get(kind)
    }


def _compile(kind: str, number: int, hook: Mapping[str, Any]) -> dict[str, Any]:
    path, timeout = hook.get("path") or "", hook.get("timeout")
    if not path.startswith("/"):
        raise LaunchError(SPEC, f"hooks.{kind}[{number}]: the path must be absolute: {path!r}")
    if timeout is not None and timeout <= 0:
        raise LaunchError(SPEC, f"hooks.{kind}[{number}]: timeout must be greater than zero")
    env = dict(entry.partition("=")[::2] for entry in hook.get("env") or ())
    return {"path": path, "args": list(hook.get("args") or [path]), "env": env, "timeout": timeout}


def run_hooks(kind: str, hooks: Sequence[dict[str, Any]], state: Mapping[str, Any]) -> None:
    """One after the other, in order; the first that fails ends it. Raises LaunchError."""
    for number, hook in enumerate(hooks):
        run_hook(f"error running {kind} hook #{number}", hook, state)


def run_hook(doing: str, hook: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Run one hook to its end; past its timeout it is killed. Raises LaunchError with what it printed."""
    text_fd = os.memfd_create("state")
    output_fd = os.memfd_create("output")
    try:
        os.write(text_fd, compact_json.dumps(state).encode())
        os.lseek(text_fd, 0, os.SEEK_SET)
        pid = os.posix_spawn(
            hook["path"],
            hook["args"],
            hook["env"],
            file_actions=[
                (os.POSIX_SPAWN_DUP2, text_fd, 0),
                (os.POSIX_SPAWN_DUP2, output_fd, 1),
                (os.POSIX_SPAWN_DUP2, output_fd, 2),
            ],
        )
        problem = _wait(pid, hook["timeout"])
        if problem:
            said = os.pread(output_fd, _SHOWN, 0).decode("utf-8", "replace").strip()
            raise LaunchError(OTHER, f"{doing}: {problem}" + (f", output: {said}" if said else ""))
    except OSError as e:
        raise failed(f"{doing}: {hook['path']}", e) from e
    finally:
        os.close(text_fd)
        os.close(output_fd)


def _wait(pid: int, timeout_s: int | None) -> str:
    """What went wrong with the hook `pid`; nothing if it ended well."""
    pidfd = linux.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        in_time = bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
        if not in_time:
            linux.pidfd_send_signal(pidfd, 9)
    finally:
        os.close(pidfd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not in_time:
        return f"timed out after {timeout_s} s"
    if code == 0:
        return ""
    return f"exit status {code}" if code > 0 else f"killed by signal {-code}"
