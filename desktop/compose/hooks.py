"""`post_start` and `pre_stop`: commands that run in a container after its start and before its stop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from desktop.client.engine import EngineClient
from desktop.compose.errors import ComposeError
from desktop.compose.model.develop import Hook
from desktop.compose.rehearsal import Rehearsal
from desktop.compose.state import Container


def run(client: EngineClient, container: Container, hooks: Iterable[Hook], kind: str) -> None:
    """Run the hooks one after the other; none in a dry run. Raises ComposeError if one fails, ApiError."""
    if isinstance(client, Rehearsal):
        return
    for hook in hooks:
        body: dict[str, Any] = {
            "Cmd": list(hook.command or ()),
            "User": hook.user,
            "Privileged": hook.privileged,
            "WorkingDir": hook.working_dir,
            "Env": [key if value is None else f"{key}={value}" for key, value in hook.environment.items()],
            "AttachStdout": True,
            "AttachStderr": True,
        }
        id = client.exec_create(container.id, body)
        output = b""
        with client.exec_start(id) as stream:
            while (frame := stream.read()) is not None:
                output += frame.data
        status = client.exec_inspect(id)["ExitCode"]
        if status:
            told = output.decode(errors="replace").strip()
            raise ComposeError(
                f"{container.name}: {kind} hook exited with status code {status}{f': {told}' if told else ''}"
            )
