"""Which service of a project starts after which, drawn from left to right."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSizeF
from PySide6.QtGui import QFontMetrics, QPainter, QPainterPath
from PySide6.QtWidgets import QWidget

from desktop.ui.compose.model import Project, layers, worst
from desktop.ui.kit.diagram import Box, Diagram, DiagramView
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

NODE_H, GAP_X, GAP_Y, MARGIN, BESIDE_NAME = 40, 64, 16, 20, 44
# (service, its state, what it waits for: a service and the condition)
Drawn = tuple[str, State, tuple[tuple[str, str], ...]]


class Canvas(Diagram):
    """The services, and the arrows from each to those that it waits for."""

    def __init__(self, theme: Theme, icons: Icons) -> None:
        super().__init__(theme, icons)
        self._arrows: list[tuple[str, str]] = []  # from, to

    def draw(self, drawn: tuple[Drawn, ...]) -> None:
        needs = {name: dict(waits) for name, _, waits in drawn}
        states = {name: state for name, state, _ in drawn}
        self._arrows = [(name, other) for name, waits in needs.items() for other in waits if other in needs]
        metrics = QFontMetrics(self.theme.font("section"))
        placed: list[tuple[str, Box, QRectF]] = []
        x, height, high = float(MARGIN), 0.0, NODE_H * self.unit
        for layer in layers(needs):
            width = max(metrics.horizontalAdvance(name) for name in layer) + BESIDE_NAME
            for number, name in enumerate(layer):
                box = Box(title=name, name=_about(name, needs[name]), state=states[name], title_token="accent")
                placed.append((name, box, QRectF(x, MARGIN + number * (high + GAP_Y), width, high)))
            x += width + GAP_X
            height = max(height, len(layer) * (high + GAP_Y))
        size = QSizeF(x - GAP_X + MARGIN, height - GAP_Y + 2 * MARGIN) if placed else QSizeF(0, 0)
        self.show_things(placed, size)

    def paint_below(self, painter: QPainter, exposed: QRectF) -> None:
        painter.setPen(self.theme.pen("text3", 1.5))
        for name, other in self._arrows:
            _paint_arrow(painter, self.box_of(name), self.box_of(other))


def _about(name: str, waits: dict[str, str]) -> str:
    words = {"service_healthy": tr("healthy"), "service_completed_successfully": tr("completed")}
    needed = ", ".join(f"{one} ({words.get(how, tr('started'))})" for one, how in waits.items())
    about = tr("waits for {names}", names=needed) if needed else tr("waits for no other")
    return f"{name}, {about}"


def _paint_arrow(painter: QPainter, box: QRectF, other: QRectF) -> None:
    """From the left side of `box` to the right side of `other`, where its head is."""
    start = QPointF(box.left(), box.center().y())
    end = QPointF(other.right() + 2, other.center().y())
    bend = QPointF(max(24.0, (start.x() - end.x()) / 2), 0)
    path = QPainterPath(start)
    path.cubicTo(start - bend, end + bend, end)
    painter.drawPath(path)
    for side in (-4.0, 4.0):
        painter.drawLine(end, end + QPointF(6, side))


class Graph(DiagramView):
    """The graph of one project. Signals: chosen(service)."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        self.canvas = Canvas(theme, icons)
        super().__init__(self.canvas, tr("Dependencies"), parent)
        self._drawn: tuple[Drawn, ...] = ()
        theme.changed.connect(lambda: self.canvas.draw(self._drawn))

    def show_project(self, project: Project) -> None:
        needs = project.dependencies
        drawn = tuple(
            (name, worst(members), tuple(sorted(needs[name].items()))) for name, members in project.services.items()
        )
        if drawn != self._drawn:
            self._drawn = drawn
            self.canvas.draw(drawn)
