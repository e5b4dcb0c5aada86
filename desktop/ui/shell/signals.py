"""The signals that ask a program to end, as an event of Qt's loop."""

from __future__ import annotations

import signal
import socket

from PySide6.QtCore import QObject, QSocketNotifier, Signal

_ENDING = (signal.SIGINT, signal.SIGTERM)


class EndingSignals(QObject):
    """Emits the Qt signal asked() in the loop for each SIGINT and SIGTERM, also for one that came before the loop ran.

    Python runs its handlers between bytecodes, and Qt's loop runs none while it waits: so the numbers come by a socket
    (`signal.set_wakeup_fd`), which Qt waits for.
    """

    asked = Signal()

    def __init__(self) -> None:
        """In the main thread. Lasts until `close`."""
        super().__init__()
        self._arrived, self._arriving = socket.socketpair()
        for end in (self._arrived, self._arriving):
            end.setblocking(False)
        self._notifier = QSocketNotifier(self._arrived.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._read)
        self._fd_before = signal.set_wakeup_fd(self._arriving.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in _ENDING}

    def close(self) -> None:
        """The signals act as before again."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._notifier.setEnabled(False)
        self._arrived.close()
        self._arriving.close()

    def _read(self) -> None:
        for number in self._arrived.recv(64):
            if number in _ENDING:
                self.asked.emit()
