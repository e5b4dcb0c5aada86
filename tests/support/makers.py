"""Who makes the process of a container or an exec: the spawner, or the interpreter as a fork of itself."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Literal

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from vmagent.linux import packets

Maker = Literal["spawner", "interpreter"]
MAKERS: tuple[Maker, ...] = ("spawner", "interpreter")


@contextlib.contextmanager
def made_by(engine: NativeEngine, maker: Maker) -> Iterator[None]:
    """Until the end, `maker` makes the processes that `engine` starts, then the spawner again."""
    _use_spawner(engine, maker == "spawner")
    try:
        yield
    finally:
        _use_spawner(engine, True)


def _use_spawner(engine: NativeEngine, is_used: bool) -> None:
    """Switch the engine's supervisor, over a connection of our own beside the engine's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(HANG_S)
        connection.connect(str(engine.root / "exec" / "supervisor.sock"))
        packets.send(connection, {"op": "use_spawner", "q": 1, "is_used": is_used})
        while True:
            reply, _ = packets.receive(connection)  # events come too; they have no descriptors
            if reply.get("a") == 1:
                assert "error" not in reply, reply
                return
