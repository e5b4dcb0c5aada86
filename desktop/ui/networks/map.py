"""The map of the networks: ports of this computer, containers in their networks with the traffic, volumes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.feed.container import Port, Traffic, volume_title
from desktop.ui.feed.usage import Traffics
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.diagram import Box, Diagram, DiagramView
from desktop.ui.kit.labels import ElidedLabel
from desktop.ui.kit.page import Desk
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, disk, listed, tr
from desktop.ui.networks.facts import Facts, Frame, Member
from desktop.ui.networks.layout import (
    HEAD_H,
    UNUSED,
    Edge,
    Kind,
    Layout,
    lay_out,
    member_key,
    network_key,
    port_key,
    volume_key,
)

TOKENS = {Kind.PORT: "c1", Kind.TRAFFIC: "c2", Kind.VOLUME: "c3"}
FAINT = 1.4  # width of a line without traffic
MOST_WIDTH, QUIET_BYTES = 5.0, 100.0  # traffic that is not seen in the width of its line, bytes per second
DOT = 2.4  # radius of the dot at a line's end


def width_of(traffic: Traffic) -> float:
    """The width of a line, in half pixels: one pixel more for ten times the traffic."""
    total = traffic.received + traffic.sent
    if total <= QUIET_BYTES:
        return FAINT
    return min(MOST_WIDTH, FAINT + round(2 * math.log10(total / QUIET_BYTES) * 0.7) / 2)


def speed(rate: float) -> str:
    """Bytes per second; empty below one."""
    return tr("{size}/s", size=disk(rate)) if rate >= 1 else ""


@dataclass(frozen=True, slots=True)
class Flow:
    """How the traffic of one line looks: two texts and a width."""

    sent: str = ""
    received: str = ""
    width: float = FAINT


def flow_of(traffic: Traffic | None) -> Flow:
    """Of traffic that is not known, a line without texts."""
    if traffic is None:
        return STILL
    sent, received = speed(traffic.sent), speed(traffic.received)
    return Flow(f"↑ {sent}" if sent else "", f"↓ {received}" if received else "", width_of(traffic))


STILL = Flow()


class NetworkMap(Diagram):
    """Signals besides Diagram's: container_chosen(id), network_chosen(id), volume_chosen(name), port_chosen(Port),
    unused_chosen()."""

    container_chosen = Signal(str)
    network_chosen = Signal(str)
    volume_chosen = Signal(str)
    port_chosen = Signal(object)
    unused_chosen = Signal()

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(desk.theme, desk.icons, parent)
        self._facts, self._layout = Facts(), Layout(0.0)
        self._room, self._has_volumes, self._has_traffic = 0.0, True, True
        self._shown: tuple[object, ...] = ()  # what the layout was made of
        self._members: dict[str, Member] = {}
        self._networks: dict[str, Frame] = {}
        self._ports: dict[str, tuple[Port, Member]] = {}
        self._volumes: dict[str, list[Member]] = {}
        self._traffic: Traffics = {}
        self._flows: dict[tuple[str, str], Flow] = {}
        self.chosen.connect(self._on_chosen)
        self.theme.changed.connect(self._lay_out)

    @property
    def facts(self) -> Facts:
        return self._facts

    def show_facts(self, facts: Facts) -> None:
        self._facts = facts
        self._lay_out()

    def show_volumes(self, on: bool) -> None:
        self._has_volumes = on
        self._lay_out()

    def show_traffic(self, on: bool) -> None:
        """Whether the traffic stands on the lines; what was measured before is dropped."""
        self._has_traffic = on
        self.tell_traffic({})

    def set_room(self, width: int) -> None:
        """The width, in pixels, that the map may take without scrolling."""
        self._room = width / self.scale
        self._lay_out()

    def tell_traffic(self, traffic: Traffics) -> None:
        """Show what was measured now, and paint only the lines that look otherwise than before."""
        self._traffic = traffic if self._has_traffic else {}
        for edge in self._layout.edges:
            if edge.kind is Kind.TRAFFIC:
                key = edge.container_id, edge.network_id
                flow = flow_of(self._traffic.get(key))
                if self._flows.get(key, STILL) != flow:
                    self._flows[key] = flow
                    self.update(self.scaled_rect(edge.area).toAlignedRect())

    def said_on(self, network_id: str, container_id: str) -> tuple[str, str]:
        """What stands on the line of a container: sent and received."""
        flow = self._flows.get((container_id, network_id), STILL)
        return flow.sent, flow.received

    # things ----------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Place everything, if it would look otherwise than now."""
        if not self._room:
            return
        shown = self._facts, self._room, self.unit, self._has_volumes
        if shown == self._shown:
            return
        self._shown = shown
        self._layout = made = lay_out(self._facts, self._room, self.unit, has_volumes=self._has_volumes)
        self._members, self._networks, self._ports, self._volumes = {}, {}, {}, {}
        ports: dict[str, Box] = {}
        inside: dict[str, Box] = {}
        volumes: dict[str, Box] = {}
        for frame in self._facts.frames:
            key = network_key(frame.network.id)
            self._networks[key] = frame
            inside[key] = _network_box(frame)
            in_frame = {member_key(member): member for member in frame.members}
            for key in sorted(in_frame, key=lambda k: (made.places[k].y(), made.places[k].x())):
                self._members[key], inside[key] = in_frame[key], _member_box(in_frame[key], frame)
            for member in frame.members:
                for port in member.ports:
                    key = port_key(member.container.id, port)
                    self._ports[key], ports[key] = (port, member), _port_box(port, member)
                for name in member.volumes:
                    if volume_key(name) in made.places:
                        self._volumes.setdefault(volume_key(name), []).append(member)
        for key, owners in self._volumes.items():
            volumes[key] = _volume_box(key.removeprefix("volume "), owners)
        if self._facts.unused:
            text = counted(self._facts.unused, "{n} network has no containers", "{n} networks have no containers")
            inside[UNUSED] = Box(title=text, name=text, is_bare=True, title_token="accent")
        boxes = ports | inside | volumes
        order = sorted(ports, key=lambda key: made.places[key].y())
        keys = [*order, *inside, *sorted(volumes, key=lambda key: made.places[key].y())]
        self.show_things([(key, boxes[key], made.places[key]) for key in keys], QSizeF(made.width, made.height))
        self.tell_traffic(self._traffic)

    def _on_chosen(self, key: str) -> None:
        if (member := self._members.get(key)) is not None:
            self.container_chosen.emit(member.container.id)
        elif (frame := self._networks.get(key)) is not None:
            self.network_chosen.emit(frame.network.id)
        elif (port := self._ports.get(key)) is not None:
            self.port_chosen.emit(port[0])
        elif key in self._volumes:
            self.volume_chosen.emit(key.removeprefix("volume "))
        elif key == UNUSED:
            self.unused_chosen.emit()

    def tip_of(self, key: str) -> str:
        if (member := self._members.get(key)) is not None:
            return "\n".join(self._about_member(member))
        if (found := self._ports.get(key)) is not None:
            port, owner = found
            return _port_words(port, owner)
        if (frame := self._networks.get(key)) is not None:
            members = listed([member.container.name for member in frame.members])
            return "\n".join(part for part in (frame.network.name, frame.network.subnet, members) if part)
        if key in self._volumes:
            name = key.removeprefix("volume ")
            return "\n".join((name, tr("mounted in {names}", names=_names(self._volumes[key]))))
        return super().tip_of(key)

    def _about_member(self, member: Member) -> list[str]:
        container = member.container
        network = self._networks[network_key(member.network_id)].network
        lines = [container.name, container.state_word]
        if member.address:
            lines.append(tr("{address} in {network}", address=member.address, network=network.name))
        traffic = self._traffic.get((container.id, network.id))
        if traffic is not None:
            sent, received = (tr("{size}/s", size=disk(rate)) for rate in (traffic.sent, traffic.received))
            lines.append(tr("sends {sent}, receives {received}", sent=sent, received=received))
        elif member.is_connected and self._has_traffic:
            lines.append(tr("traffic not measured"))
        others = [end.network for end in container.networks if end.network != network.name]
        if others:
            lines.append(tr("also in {names}", names=", ".join(others)))
        return lines

    # painting --------------------------------------------------------------------------------------------------------

    def on_lit(self) -> None:
        self.update()

    def paint_below(self, painter: QPainter, exposed: QRectF) -> None:
        theme, made = self.theme, self._layout
        painter.setPen(theme.pen("line2"))
        painter.setBrush(theme.brush("sunken"))
        for frame in made.frames:
            if frame.intersects(exposed):
                painter.drawRoundedRect(frame.adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(theme.pen(TOKENS[Kind.TRAFFIC], 2))
        for spine in made.spines:
            if spine.boundingRect().adjusted(-2, -2, 2, 2).intersects(exposed):
                painter.drawPath(spine)
        for edge in made.edges:
            if edge.area.intersects(exposed):
                self._paint_edge(painter, edge)
        if exposed.top() < HEAD_H * self.unit:
            self._paint_heads(painter)

    def _paint_edge(self, painter: QPainter, edge: Edge) -> None:
        theme, token = self.theme, TOKENS[edge.kind]
        flow = self._flows.get((edge.container_id, edge.network_id), STILL)
        width = flow.width if edge.kind is Kind.TRAFFIC else FAINT
        if self.is_lit(edge.begin) or (edge.end and self.is_lit(edge.end)):
            width += 1
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(theme.pen(token, width))
        painter.drawPath(edge.path)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.brush(token))
        for point in (edge.path.pointAtPercent(0), edge.path.currentPosition()):
            painter.drawEllipse(point, DOT, DOT)
        painter.setPen(theme.colour("text2"))
        painter.setFont(theme.font("captionname"))
        for text, room in ((flow.sent, edge.above), (flow.received, edge.below)):
            if text:
                painter.drawText(room, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_heads(self, painter: QPainter) -> None:
        """The titles of the columns, each with a note beside it where it fits."""
        made, theme = self._layout, self.theme
        heads = [
            (
                made.ports_x,
                tr("This computer"),
                tr("ports you can open") if self._ports else tr("no port is published"),
            ),
            (made.networks_x, tr("Networks and containers"), ""),
        ]
        if made.volumes_x is not None:
            heads.append((made.volumes_x, tr("Volumes"), tr("data that stays")))
        for number, (x, title, note) in enumerate(heads):
            right = heads[number + 1][0] if number + 1 < len(heads) else made.width
            room = QRectF(x, 0, right - x - 8, HEAD_H * self.unit)
            painter.setFont(theme.font("section"))
            painter.setPen(theme.colour("text"))
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, title)
            beside = room.adjusted(painter.fontMetrics().horizontalAdvance(title) + 10, 0, 0, 0)
            painter.setFont(theme.font("small"))
            painter.setPen(theme.colour("text2"))
            if painter.fontMetrics().horizontalAdvance(note) <= beside.width():
                painter.drawText(beside, Qt.AlignmentFlag.AlignVCenter, note)


def _network_box(frame: Frame) -> Box:
    network, count = frame.network, len(frame.members)
    members = counted(count, "{n} container", "{n} containers")
    about = {"host": tr("the network of this computer"), "null": tr("without any network")}.get(network.driver, "")
    if not about:
        about = network.subnet or network.driver
    return Box(
        title=network.name,
        note=about,
        name=tr("Network {name}, {about}, {members}", name=network.name, about=about, members=members),
        icon="share-network",
        is_row=True,
        is_bare=True,
        is_mono=bool(network.subnet),
    )


def _member_box(member: Member, frame: Frame) -> Box:
    container = member.container
    said = [container.title, container.state_word, member.address]
    return Box(
        title=container.title,
        note=member.address or container.state_word,
        name=tr(
            "Container {about}, in network {network}",
            about=", ".join(part for part in said if part),
            network=frame.network.name,
        ),
        state=container.state,
        is_mono=bool(member.address),
        group=container.id,
    )


def _port_box(port: Port, owner: Member) -> Box:
    title = owner.container.title
    name = tr("Port {port} of this computer, leads to {name}", port=port.host_port, name=title)
    is_page = port.protocol == "tcp"
    return Box(
        title=str(port.host_port) if is_page else f"{port.host_port}/{port.protocol}",
        note=title,
        name=name,
        icon="arrow-square-out" if is_page else "arrows-left-right",
        icon_token="accent",
        is_row=True,
        is_mono=False,
        leads_out=is_page,
        title_token="accent",
    )


def _port_words(port: Port, owner: Member) -> str:
    name = owner.container.title
    return tr("{where} to {port} in {name}", where=port.where, port=port.port, name=name)


def _names(owners: list[Member]) -> str:
    return listed(list(dict.fromkeys(owner.container.name for owner in owners)))


def _volume_box(name: str, owners: list[Member]) -> Box:
    names = _names(owners)
    return Box(
        title=volume_title(name),
        note=names,
        name=tr("Volume {name}, mounted in {names}", name=volume_title(name), names=names),
        icon="database",
        icon_token="c3",
        is_mono=False,
    )


class Legend(QWidget):
    """What the lines of the map mean."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 0, 0, 0)
        row.setSpacing(8)
        for token, width, text in (
            ("c1", 2.0, tr("published port")),
            ("c2", 2.0, tr("container in its network, ↑ sent, ↓ received")),
            ("c3", 2.0, tr("mounted volume")),
            ("text3", 4.0, tr("thicker: more traffic")),
        ):
            line = _Line(theme, token, width)
            row.addWidget(line)
            row.addWidget(ElidedLabel(theme, text, "caption", "text2"))
            row.addSpacing(8)
        row.addStretch(1)


class _Line(QWidget):
    def __init__(self, theme: Theme, token: str, width: float) -> None:
        super().__init__()
        self._theme, self._token, self._width = theme, token, width
        self.setFixedSize(20, 12)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(self._theme.pen(self._token, self._width))
        painter.drawLine(QPointF(3, 6), QPointF(17, 6))


class MapView(QWidget):
    """The map with its legend and the buttons that make it larger and smaller, also by + and - and 0."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.map = NetworkMap(desk)
        self.view = DiagramView(self.map, tr("Map of the networks"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(0, 6, 8, 6)
        foot.setSpacing(6)
        self.legend = Legend(desk.theme)
        foot.addWidget(self.legend, 1)
        theme, icons = desk.theme, desk.icons
        self.smaller = Button(theme, icons, icon="minus", name=tr("Smaller"), tip=tr("Smaller (-)"), height=28)
        self.whole = Button(theme, icons, "100 %", name=tr("Full size"), tip=tr("Full size (0)"), height=28)
        self.larger = Button(theme, icons, icon="plus", name=tr("Larger"), tip=tr("Larger (+)"), height=28)
        for button in (self.smaller, self.whole, self.larger):
            foot.addWidget(button)
        column.addLayout(foot)
        self.smaller.clicked.connect(lambda: self.view.zoom(-1))
        self.larger.clicked.connect(lambda: self.view.zoom(1))
        self.whole.clicked.connect(lambda: self.view.zoom_to(1.0))
        self.map.scaled.connect(self._on_scaled)
        self.view.resized.connect(self._fit)

    def _on_scaled(self) -> None:
        self.whole.setText(f"{round(self.map.scale * 100)} %")
        self.whole.update()
        self._fit()

    def _fit(self) -> None:
        """Give the map the width of the view, also when a scroll bar comes or goes."""
        self.map.set_room(self.view.viewport().width())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.text():
            case "+":
                self.view.zoom(1)
            case "-":
                self.view.zoom(-1)
            case "0":
                self.view.zoom_to(1.0)
            case _:
                super().keyPressEvent(event)
