"""Which service of a project starts after which, drawn from left to right."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Signal
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QWidget

from desktop.ui.compose.model import Project, layers, worst
from desktop.ui.kit.buttons import Link
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

NODE_H, GAP_X, GAP_Y, MARGIN = 40, 64, 16, 20
# (service, its state, what it waits for: a service and the condition)
Drawn = tuple[str, State, tuple[tuple[str, str], ...]]


class Node(QWidget):
    """One service: its state, and a link to its container."""

    def __init__(self, theme: Theme, name: str, state: State, parent: QWidget) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(8)
        row.addWidget(StateGlyph(theme, state, 10))
        self.link = Link(theme, name)
        row.addWidget(self.link)


class Canvas(QWidget):
    """The nodes, the boxes around them, and the arrows from each service to those that it waits for.

    Signals: chosen(service)."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setObjectName("scrolled")
        self._theme = theme
        self._nodes: dict[str, Node] = {}
        self._arrows: list[tuple[str, str]] = []  # from, to
        theme.changed.connect(self.update)

    def draw(self, drawn: tuple[Drawn, ...]) -> None:
        for node in self._nodes.values():
            node.hide()
            node.deleteLater()
        self._nodes = {}
        needs = {name: dict(waits) for name, _, waits in drawn}
        states = {name: state for name, state, _ in drawn}
        self._arrows = [(name, other) for name, waits in needs.items() for other in waits]
        x, height = MARGIN, 0
        for layer in layers(needs):
            made = [self._node(name, states[name], needs[name]) for name in layer]
            width = max(node.sizeHint().width() for node in made)
            for number, node in enumerate(made):
                node.setGeometry(x, MARGIN + number * (NODE_H + GAP_Y), width, NODE_H)
                node.show()
            x += width + GAP_X
            height = max(height, len(layer) * (NODE_H + GAP_Y))
        self.setMinimumSize(x - GAP_X + MARGIN, height - GAP_Y + 2 * MARGIN)
        self.update()

    def _node(self, name: str, state: State, waits: dict[str, str]) -> Node:
        node = Node(self._theme, name, state, self)
        words = {"service_healthy": tr("healthy"), "service_completed_successfully": tr("completed")}
        needed = ", ".join(f"{one} ({words.get(how, tr('started'))})" for one, how in waits.items())
        about = tr("waits for {names}", names=needed) if needed else tr("waits for no other")
        node.link.setAccessibleName(f"{name}, {about}")
        node.link.setToolTip(about)
        node.link.clicked.connect(lambda _=False: self.chosen.emit(name))
        self._nodes[name] = node
        return node

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(self._theme.pen("text3", 1.5))
        for name, other in self._arrows:
            if name in self._nodes and other in self._nodes:
                self._arrow(painter, self._nodes[name], self._nodes[other])
        painter.setPen(self._theme.pen("line2"))
        painter.setBrush(self._theme.brush("raised"))
        for node in self._nodes.values():
            painter.drawRoundedRect(QRectF(node.geometry()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)

    @staticmethod
    def _arrow(painter: QPainter, node: QWidget, other: QWidget) -> None:
        """From the left side of `node` to the right side of `other`, where its head is."""
        start = QPointF(node.x(), node.geometry().center().y())
        end = QPointF(other.geometry().right() + 2, other.geometry().center().y())
        bend = QPointF(max(24.0, (start.x() - end.x()) / 2), 0)
        path = QPainterPath(start)
        path.cubicTo(start - bend, end + bend, end)
        painter.drawPath(path)
        for side in (-4.0, 4.0):
            painter.drawLine(end, end + QPointF(6, side))


class Graph(QScrollArea):
    """The graph of one project, which scrolls. Signals: chosen(service)."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setAccessibleName(tr("Dependencies"))
        self.canvas = Canvas(theme)
        self.canvas.chosen.connect(self.chosen)
        self.setWidget(self.canvas)
        self._drawn: tuple[Drawn, ...] | None = None

    def show_project(self, project: Project) -> None:
        needs = project.dependencies
        drawn = tuple(
            (name, worst(members), tuple(sorted(needs[name].items()))) for name, members in project.services.items()
        )
        if drawn != self._drawn:  # what has the focus stays as it is otherwise
            self._drawn = drawn
            self.canvas.draw(drawn)
