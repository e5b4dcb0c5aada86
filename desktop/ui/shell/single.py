"""One window for each home and engine: it listens for the requests of later starts."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket

from desktop.paths import HostPaths
from desktop.ui.handover import WISHES


class SingleWindow(QObject):
    """Listens for later starts. Signals: wished(one of `WISHES`)."""

    wished = Signal(str)

    def __init__(self, paths: HostPaths, target: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._sockets: list[QLocalSocket] = []
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        name = str(paths.window_socket(target))
        if not paths.pipes:
            paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._server.listen(name):
            QLocalServer.removeServer(name)  # a leftover of a killed process: `hand_over` found no listener
            self._server.listen(name)

    def close(self) -> None:
        self._server.close()
        for socket in self._sockets:
            socket.abort()
        self._sockets.clear()

    def _on_connection(self) -> None:
        while (socket := self._server.nextPendingConnection()) is not None:
            self._sockets.append(socket)
            socket.readyRead.connect(self._on_ready)
        self._on_ready()

    def _on_ready(self) -> None:
        """Read one line from each connection that has one, close it, and emit `wished` for a valid line."""
        for socket in [s for s in self._sockets if s.canReadLine() or not s.isValid()]:
            self._sockets.remove(socket)
            wish = bytes(socket.readLine(64).data()).decode(errors="replace").strip()
            socket.abort()
            if wish in WISHES:
                self.wished.emit(wish)
