"""Paints rows of the containers table as pictures, with their clickable places.

A row is painted once per (content, pointer state, width, theme) and then copied to the screen, so that repainting the
whole table takes far less than one frame.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from PySide6.QtCore import QLineF, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QFontMetrics, QLinearGradient, QPainter, QPen, QPixmap, QPolygonF

from desktop.ui.containers.model import GAP_S, Column, Group, Row
from desktop.ui.feed.container import Doing
from desktop.ui.kit.buttons import paint_check
from desktop.ui.kit.elide import fit_image
from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.signs import chip_width, paint_chip
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import memory, percent, tr

ROW_HEIGHT = 38
INSET = 8  # from a column's edge to its text
CHECK_X, NAME_X, CHILD_X = 11, 39, 20
ACTION = 30
MIDDLE = Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Look:
    """How a row is shown, apart from its content."""

    hovered: bool
    focused: bool
    shows_check: bool
    selected: int  # how much of the row: NONE, SOME or ALL of `selection`
    expanded: bool
    is_child: bool
    next_is_child: bool
    turn: int  # the frame of the arc's animation, 0 without one


@dataclass(frozen=True, slots=True)
class Place:
    """A clickable part of a row: its kind, and which port or action."""

    box: QRect
    what: str  # check, expand, name, port, why, action
    value: str = ""


@dataclass(frozen=True, slots=True)
class Painted:
    pixmap: QPixmap
    places: tuple[Place, ...]


def actions_of(row: Row) -> tuple[tuple[str, str, str], ...]:
    """The row's actions as (key, icon, name), from left to right."""
    container = row.container
    if container.lost:
        return ()
    if container.doing in (Doing.STOPPING, Doing.RESTARTING) and container.is_running:
        first = ("kill", "lightning-slash", tr("Kill now"))
    elif container.status == "paused":
        first = ("resume", "play", tr("Resume"))
    elif container.is_running:
        first = ("stop", "stop", tr("Stop"))
    else:
        first = ("start", "play", tr("Start"))
    items = [first]
    if container.is_running and container.doing is None:
        items.append(("restart", "arrow-clockwise", tr("Restart")))
    items.append(("logs", "article", tr("Logs")))
    if container.status == "running":
        items.append(("terminal", "terminal-window", tr("Terminal")))
    if not container.is_running:
        items.append(("delete", "trash", tr("Delete")))
    items.append(("more", "dots-three", tr("More")))
    return tuple(items)


MOST_KEPT = 100  # of 150 kB each at 1,000 pixels; more than are seen at once, so that scrolling back paints nothing


class RowPainter:
    """Paints and caches rows; `columns` are the x positions of the columns' left edges and the right end."""

    def __init__(self, theme: Theme, icons: Icons) -> None:
        self._theme, self._icons = theme, icons
        self._kept: dict[Group | Row, tuple[tuple[object, ...], Painted]] = {}  # a row's last picture: none comes again
        theme.changed.connect(self._kept.clear)

    def painted(self, node: Group | Row, look: Look, columns: tuple[int, ...], ratio: float) -> Painted:
        since = ""
        if isinstance(node, Row):  # both texts count on by themselves
            since = f"{node.container.since(time.time())}\n{node.container.note}"
        key = (node.version, look, columns, ratio, since)
        found = self._kept.pop(node, None)
        if found is not None and found[0] == key:
            self._kept[node] = found  # it is the newest now
            return found[1]
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        pixmap = QPixmap(round(columns[-1] * ratio), round(ROW_HEIGHT * ratio))
        pixmap.setDevicePixelRatio(ratio)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        places: list[Place] = []
        self._ground(painter, node, look, columns[-1])
        if look.shows_check:
            box = QRect(CHECK_X, (ROW_HEIGHT - 16) // 2, 16, 16)
            paint_check(painter, self._theme, box, look.selected)
        places.append(Place(QRect(0, 0, NAME_X - 4, ROW_HEIGHT), "check"))
        if isinstance(node, Group):
            self._group(painter, node, look, columns, places)
        else:
            self._row(painter, node, look, columns, since.split("\n")[0], places)
        if look.focused:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._theme.colour("focus"), 2))
            painter.drawRoundedRect(QRectF(2, 2, columns[-1] - 4, ROW_HEIGHT - 5), 4, 4)
        painter.end()
        painted = Painted(pixmap, tuple(places))
        self._kept[node] = key, painted
        return painted

    def _ground(self, painter: QPainter, node: Group | Row, look: Look, width: int) -> None:
        theme = self._theme
        selected = isinstance(node, Row) and look.selected > 0
        if selected:
            token = "sel"
        elif isinstance(node, Group):
            token = "hover" if look.hovered else "sunken"
        else:
            token = "hover" if look.hovered else "surface"
        painter.fillRect(QRect(0, 0, width, ROW_HEIGHT), theme.colour(token))
        painter.setPen(theme.pen("line"))
        left = NAME_X if look.is_child and look.next_is_child else 0
        painter.drawLine(QLineF(left + 0.5, ROW_HEIGHT - 0.5, width, ROW_HEIGHT - 0.5))
        if selected:
            painter.fillRect(QRect(0, 0, 3, ROW_HEIGHT), theme.colour("indicator"))

    def _group(
        self, painter: QPainter, group: Group, look: Look, columns: tuple[int, ...], places: list[Place]
    ) -> None:
        theme, icons = self._theme, self._icons
        icons.paint(
            painter, "caret-down" if look.expanded else "caret-right", "text2", QRect(NAME_X - 1, 0, 14, ROW_HEIGHT), 12
        )
        places.append(Place(QRect(NAME_X - 4, 0, 24, ROW_HEIGHT), "expand"))
        icons.paint(painter, "squares-four", "text2", QRect(NAME_X + 20, 0, 16, ROW_HEIGHT), 14)
        painter.setFont(theme.font("section"))
        painter.setPen(theme.colour("text"))
        x = NAME_X + 44
        room = columns[Column.MEMORY] - INSET - 62 - x - 13 - chip_width(theme, group.words, with_glyph=True)
        name = painter.fontMetrics().elidedText(group.project, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRect(x, 0, room, ROW_HEIGHT), MIDDLE, name)
        x += painter.fontMetrics().horizontalAdvance(name) + 13
        if any(row.container.lost for row in group.rows):
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(QRect(x, 0, 240, ROW_HEIGHT), MIDDLE, group.words)
        else:
            state = group.state if group.state is not State.STOPPED or not group.running else State.RUNNING
            width = chip_width(theme, group.words, with_glyph=True)
            paint_chip(painter, theme, state, group.words, QRect(x, 9, width, 20))
        painter.setFont(theme.font("smallname"))
        painter.setPen(theme.colour("text2"))
        if (cpu := group.cpu_percent) is not None:
            right = columns[Column.MEMORY] - INSET
            painter.drawText(QRect(right - 70, 0, 70, ROW_HEIGHT), MIDDLE | Qt.AlignmentFlag.AlignRight, percent(cpu))
        if (used := group.memory_bytes) is not None:
            painter.drawText(QRect(columns[Column.MEMORY] + INSET + 73, 0, 120, ROW_HEIGHT), MIDDLE, memory(used))

    def _row(
        self,
        painter: QPainter,
        row: Row,
        look: Look,
        columns: tuple[int, ...],
        since: str,
        places: list[Place],
    ) -> None:
        theme, container = self._theme, row.container
        x = NAME_X + (CHILD_X if look.is_child else 0)
        paint_state(painter, theme, container.state, QPointF(x + 7, ROW_HEIGHT / 2), 10, look.turn / 14)
        x += 24
        painter.setFont(theme.font("name"))
        painter.setPen(theme.colour("text"))
        room = columns[Column.IMAGE] - x
        name = painter.fontMetrics().elidedText(container.title, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(QRect(x, 0, room, ROW_HEIGHT), MIDDLE, name)
        places.append(Place(QRect(x, 0, painter.fontMetrics().horizontalAdvance(name), ROW_HEIGHT), "name"))
        painter.setFont(theme.font("body"))
        painter.setPen(theme.colour("text2"))
        left, room = columns[Column.IMAGE] + INSET, columns[Column.CPU] - columns[Column.IMAGE] - 2 * INSET
        image = fit_image(container.image, room, painter.fontMetrics())
        painter.drawText(QRect(left, 0, room, ROW_HEIGHT), MIDDLE, image)
        if row.latest:
            self._figures(painter, row, columns)
        elif note := container.note:
            self._note(painter, row, note, columns, places)
        self._ports(painter, row, columns, places)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        acts = actions_of(row) if look.hovered or look.focused else ()
        if not acts:
            right = columns[-1] - 15
            painter.drawText(
                QRect(columns[Column.SINCE], 0, right - columns[Column.SINCE], ROW_HEIGHT),
                MIDDLE | Qt.AlignmentFlag.AlignRight,
                since,
            )
            return
        width = ACTION * len(acts) + 7
        frame = QRect(columns[-1] - width - 5, 3, width, 31)
        painter.setPen(QPen(theme.colour("line2"), 1))
        painter.setBrush(theme.brush("raised"))
        painter.drawRoundedRect(QRectF(frame).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        for number, (key, icon, _name) in enumerate(acts):
            box = QRect(frame.x() + 4 + number * ACTION, frame.y(), ACTION, frame.height())
            self._icons.paint(painter, icon, "text2", box)
            places.insert(0, Place(box, "action", key))

    def _note(self, painter: QPainter, row: Row, note: str, columns: tuple[int, ...], places: list[Place]) -> None:
        theme, state = self._theme, row.container.state
        quiet = state in (State.STOPPED, State.DONE, State.UNKNOWN)
        painter.setFont(theme.font("small" if quiet else "smallname"))
        painter.setPen(theme.colour("text2" if quiet or row.container.lost else state.token))
        left = columns[Column.CPU] + INSET
        room = columns[Column.PORTS] - left - INSET
        why = tr("Why?") if state is State.PROBLEM and not row.container.lost else ""
        strong = QFontMetrics(theme.font("smallsection"))
        if why:
            room -= strong.horizontalAdvance(why) + 10
        text = painter.fontMetrics().elidedText(note, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRect(left, 0, room, ROW_HEIGHT), MIDDLE, text)
        if why:
            x = left + painter.fontMetrics().horizontalAdvance(text) + 10
            painter.setFont(theme.font("smallsection"))
            painter.setPen(theme.colour("accent"))
            box = QRect(x, 0, strong.horizontalAdvance(why) + 2, ROW_HEIGHT)
            painter.drawText(box, MIDDLE, why)
            places.append(Place(box, "why"))

    def _figures(self, painter: QPainter, row: Row, columns: tuple[int, ...]) -> None:
        theme, look = self._theme, row.latest
        assert look is not None  # callers check that there is a sample
        left = columns[Column.CPU] + INSET
        self._spark(painter, row, QRectF(left, 9, 64, 20), "c1", of_memory=False)
        painter.setFont(theme.font("smallname"))
        painter.setPen(theme.colour("text"))
        right = columns[Column.MEMORY] - INSET
        painter.drawText(
            QRect(right - 60, 0, 60, ROW_HEIGHT), MIDDLE | Qt.AlignmentFlag.AlignRight, percent(look.cpu_percent)
        )
        left = columns[Column.MEMORY] + INSET
        self._spark(painter, row, QRectF(left, 9, 64, 20), "c2", of_memory=True)
        used = memory(look.memory_bytes)
        x, end = left + 73, columns[Column.PORTS] - 2
        painter.drawText(QRect(x, 0, end - x, ROW_HEIGHT), MIDDLE, used)
        if row.container.memory_limit:
            x += painter.fontMetrics().horizontalAdvance(used) + 4
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text3"))
            text = tr("of {limit}", limit=memory(row.container.memory_limit))
            text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, end - x)
            painter.drawText(QRect(x, 0, end - x, ROW_HEIGHT), MIDDLE, text)

    def _spark(self, painter: QPainter, row: Row, box: QRectF, token: str, *, of_memory: bool) -> None:
        """Paint the last minute as a line; times without a sample stay empty."""
        theme, now = self._theme, time.monotonic()
        top = max((u.memory_bytes if of_memory else u.cpu_percent for _, u in row.usage), default=0)
        scale = nice_top(top * 1.25, floor=1 << 20 if of_memory else 5.0)
        points = [
            (
                QPointF(
                    box.right() - min(60.0, now - at) / 60 * box.width(),
                    box.bottom() - (u.memory_bytes if of_memory else u.cpu_percent) / scale * (box.height() - 2) - 1,
                ),
                at,
            )
            for at, u in row.usage
            if now - at <= 60
        ]
        painter.save()
        if of_memory and len(points) > 1:
            shade = QLinearGradient(0, box.top(), 0, box.bottom())
            shade.setColorAt(0, theme.mixed(token, 0.26))
            shade.setColorAt(1, theme.mixed(token, 0.03))
            outline = [p for p, _ in points]
            outline += [QPointF(points[-1][0].x(), box.bottom()), QPointF(points[0][0].x(), box.bottom())]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(shade)
            painter.drawPolygon(QPolygonF(outline))
        painter.setPen(theme.pen(token, 1.4))
        for (one, one_at), (other, other_at) in pairwise(points):
            if other_at - one_at < GAP_S:
                painter.drawLine(one, other)
        painter.restore()

    def _ports(self, painter: QPainter, row: Row, columns: tuple[int, ...], places: list[Place]) -> None:
        theme, container = self._theme, row.container
        live = container.is_running and not container.lost
        if not container.ports:
            return
        painter.setFont(theme.font("name" if live else "body"))
        painter.setPen(theme.colour("accent" if live else "text2"))
        metrics = painter.fontMetrics()
        x, end = columns[Column.PORTS] + INSET, columns[Column.SINCE] - 4
        for number, port in enumerate(container.ports):
            text = str(port.host_port)
            width = metrics.horizontalAdvance(text)
            left_over = len(container.ports) - number
            if x + width > end:
                painter.setPen(theme.colour("text3"))
                painter.drawText(QRect(x - 4, 0, 60, ROW_HEIGHT), MIDDLE, f"+{left_over}")
                break
            box = QRect(x, 0, width, ROW_HEIGHT)
            painter.drawText(box, MIDDLE, text)
            if live:
                y = (ROW_HEIGHT + metrics.ascent() - metrics.descent()) / 2 + 3.5
                painter.drawLine(QLineF(x, y, x + width, y))
                places.append(Place(box, "port", str(number)))
            x += width + 12


def nice_top(value: float, floor: float) -> float:
    """The upper end of a scale: the next of 1, 2, 5 times a power of ten from `value` on, at least `floor`."""
    top = max(value, floor)
    power = 1.0
    while power * 10 <= top:
        power *= 10
    return next(power * step for step in (1, 2, 5, 10) if power * step >= top)
