"""Another limit of memory for a container that has run out of it, and its start."""

from __future__ import annotations

from typing import Any

from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import OneField
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.words import memory, sentence, tr

MIB = 1 << 20
LEAST_MIB = 6  # docker's lower bound


def wrong_amount(text: str) -> str:
    """Why `text` is no amount of memory in MiB; empty if it is one."""
    if text.isdecimal() and int(text) >= LEAST_MIB:
        return ""
    return tr("A whole number of MB, {least} at least.", least=LEAST_MIB)


class Limits:
    """Sets the limit of a stopped container and starts it. A failure is shown as a message."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session

    def start_with_more(self, container: Container) -> None:
        """Start it with twice its limit."""
        self._start_with(container, 2 * container.memory_limit)

    def ask(self, container: Container) -> None:
        """Ask for the limit, then start it."""
        desk, now = self._desk, memory(container.memory_limit)
        OneField(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Memory limit of {name}", name=container.name),
            fact=tr("It is {limit} now. The new one holds from the next start on.", limit=now),
            hint=tr("MB"),
            verb=tr("Set and start"),
            icon="play",
            sure=lambda text: self._start_with(container, int(text) * MIB),
            wrong=wrong_amount,
            text=str(2 * container.memory_limit // MIB),
        ).open()

    def _start_with(self, container: Container, limit: int) -> None:
        client = self._session.client

        def job() -> None:
            host: dict[str, Any] = client.inspect(container.id)["HostConfig"]
            swap = int(host.get("MemorySwap") or 0)
            # Memory and swap together, -1 without a limit: it may not be less than the memory, and keeps its distance.
            together = limit + max(0, swap - int(host.get("Memory") or 0)) if swap > 0 else swap
            client.update(container.id, {"Memory": limit, "MemorySwap": together})
            client.start(container.id)

        def failed(error: Exception) -> None:
            title = tr("{name} could not start with {limit}", name=container.name, limit=memory(limit))
            self._desk.toasts.tell(title, sentence(str(error)), State.PROBLEM)

        self._session.workers.run(job, None, failed)
