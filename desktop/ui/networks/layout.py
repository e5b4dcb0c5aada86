"""Where everything of the map of networks stands: three columns, and lines that never cross a box.

Ports of this computer are at the left, each beside its container; containers with ports form the left column of their
network. A line down the middle of a network is the network itself: each container has a short line to it, on which its
traffic stands. Volumes are at the right; the line to that of a left container runs below its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainterPath

from desktop.ui.feed.container import Port
from desktop.ui.networks.facts import Facts, Frame, Member

# In units: pixels at the default size of the text.
MARGIN, HEAD_H, FRAME_GAP, PADDING, TITLE_H = 20, 44, 12, 16, 38
NODE_H, ROW_GAP, LANE = 46, 22, 9
PORT_W, PORT_H, PORT_GAP = 156, 36, 8
VOLUME_W, VOLUME_H, VOLUME_GAP = 172, 46, 8
FRAME_LEAST_W, FRAME_MOST_W = 400, 640
NODE_LEAST_W, NODE_MOST_W, NODE_SHARE = 112, 200, 0.28
GAP_LEAST, GAP_WANTED, GAP_MOST = 36, 100, 150
UNUSED_H, BEND = 28, 6
UNUSED = "unused"  # the key of the line below the networks


class Kind(Enum):
    PORT = "port"
    TRAFFIC = "traffic"
    VOLUME = "volume"


def port_key(container_id: str, port: Port) -> str:
    return f"port {container_id} {port.protocol} {port.host_port}"


def member_key(member: Member) -> str:
    return f"member {member.network_id} {member.container.id}"


def network_key(network_id: str) -> str:
    return f"network {network_id}"


def volume_key(name: str) -> str:
    return f"volume {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A line between two things; one of traffic ends at its network's line, and has room for two texts."""

    kind: Kind
    begin: str
    path: QPainterPath
    end: str = ""
    network_id: str = ""  # of traffic
    container_id: str = ""
    above: QRectF = field(default_factory=QRectF)
    below: QRectF = field(default_factory=QRectF)

    @property
    def area(self) -> QRectF:
        """All that the line and its texts can cover."""
        return self.path.boundingRect().united(self.above).united(self.below).adjusted(-4, -4, 4, 4)


@dataclass(slots=True)
class Layout:
    """The places, in pixels at scale 1, by the keys of the things."""

    width: float
    height: float = 0.0
    places: dict[str, QRectF] = field(default_factory=dict)
    frames: list[QRectF] = field(default_factory=list)
    spines: list[QPainterPath] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    ports_x: float = 0.0  # left edges of the columns
    networks_x: float = 0.0
    volumes_x: float | None = None  # None: without that column


@dataclass(frozen=True, slots=True)
class _Columns:
    """Left edges and widths."""

    unit: float
    port_x: float
    frame_x: float
    frame_w: float
    node_w: float
    volume_x: float
    width: float

    @property
    def left_x(self) -> float:
        return self.frame_x + PADDING * self.unit

    @property
    def right_x(self) -> float:
        return self.frame_x + self.frame_w - PADDING * self.unit - self.node_w

    @property
    def middle(self) -> float:
        return self.frame_x + self.frame_w / 2


def _columns(room: float, unit: float, *, has_volumes: bool) -> _Columns:
    gaps = 2 if has_volumes else 1
    rest = room - (2 * MARGIN + PORT_W + (VOLUME_W if has_volumes else 0)) * unit
    frame_w = max(FRAME_LEAST_W * unit, min(FRAME_MOST_W * unit, rest - gaps * GAP_WANTED * unit))
    gap = max(GAP_LEAST * unit, min(GAP_MOST * unit, (rest - frame_w) / gaps))
    node_w = max(NODE_LEAST_W * unit, min(NODE_MOST_W * unit, frame_w * NODE_SHARE))
    frame_x = (MARGIN + PORT_W) * unit + gap
    volume_x = frame_x + frame_w + gap
    right = volume_x + VOLUME_W * unit if has_volumes else frame_x + frame_w
    return _Columns(unit, MARGIN * unit, frame_x, frame_w, node_w, volume_x, max(room, right + MARGIN * unit))


def lay_out(facts: Facts, room: float, unit: float = 1.0, *, has_volumes: bool = True) -> Layout:
    """Place the map in a width of `room` pixels, or a larger one if it does not fit; `unit` is the size of the text
    against the default. Without `has_volumes` there is no column of volumes."""
    has_volumes = has_volumes and any(member.volumes for frame in facts.frames for member in frame.members)
    columns = _columns(room, unit, has_volumes=has_volumes)
    made = Layout(columns.width)
    made.ports_x, made.networks_x = columns.port_x, columns.frame_x
    made.volumes_x = columns.volume_x if has_volumes else None
    y = HEAD_H * unit
    for frame in facts.frames:
        y = _Placing(made, columns, has_volumes).frame(frame, y) + FRAME_GAP * unit
    if facts.unused:
        made.places[UNUSED] = QRectF(columns.frame_x, y, columns.frame_w, UNUSED_H * unit)
        y += (UNUSED_H + FRAME_GAP) * unit
    made.height = y
    return made


def sides(members: Sequence[Member]) -> list[tuple[Member | None, Member | None]]:
    """The rows of a network: what stands left and right. Those with ports are left; the others fill the rows."""
    left = [member for member in members if member.ports]
    right: list[Member] = []
    for member in members:
        if not member.ports:
            (right if len(right) < len(left) else left).append(member)
    count = max(len(left), len(right))
    return [(left[row] if row < len(left) else None, right[row] if row < len(right) else None) for row in range(count)]


class _Placing:
    """Places one network after the other."""

    def __init__(self, made: Layout, columns: _Columns, has_volumes: bool) -> None:
        self._made, self._columns, self._has_volumes = made, columns, has_volumes

    def frame(self, frame: Frame, top: float) -> float:
        """Place a network from `top` on; returns where it ends."""
        made, columns, unit = self._made, self._columns, self._columns.unit
        number = len(made.frames)
        made.frames.append(QRectF())
        made.places[network_key(frame.network.id)] = QRectF(
            columns.frame_x + 6 * unit, top + 4 * unit, columns.frame_w - 12 * unit, 30 * unit
        )
        y = top + TITLE_H * unit
        joined: list[float] = []
        for left, right in sides(frame.members):
            height = self._row_height(left, right)
            middle = y + height / 2
            for member, x in ((left, columns.left_x), (right, columns.right_x)):
                if member is None:
                    continue
                box = QRectF(x, middle - NODE_H * unit / 2, columns.node_w, NODE_H * unit)
                made.places[member_key(member)] = box
                if member.is_connected:
                    joined.append(middle)
                    made.edges.append(self._traffic(member, box))
            if left is not None:
                self._ports(left, middle)
            self._volumes(left, right, y, height)
            y += height + ROW_GAP * unit
        bottom = y - ROW_GAP * unit + PADDING * unit
        made.frames[number] = QRectF(columns.frame_x, top, columns.frame_w, bottom - top)
        if joined:
            half = NODE_H * unit / 2
            spine = QPainterPath(QPointF(columns.middle, joined[0] - half))
            spine.lineTo(columns.middle, joined[-1] + half)
            made.spines.append(spine)
        return bottom

    def _row_height(self, left: Member | None, right: Member | None) -> float:
        ports = len(left.ports) if left is not None else 0
        fresh = self._fresh_volumes(left, right)
        return max(
            NODE_H * self._columns.unit,
            (ports * (PORT_H + PORT_GAP) - PORT_GAP) * self._columns.unit,
            (len(fresh) * (VOLUME_H + VOLUME_GAP) - VOLUME_GAP) * self._columns.unit,
        )

    def _fresh_volumes(self, left: Member | None, right: Member | None) -> list[str]:
        """The volumes of a row that stand beside no other row yet: first the right container's."""
        if not self._has_volumes:
            return []
        names = [name for member in (right, left) if member is not None for name in member.volumes]
        return [name for name in dict.fromkeys(names) if volume_key(name) not in self._made.places]

    def _ports(self, member: Member, middle: float) -> None:
        columns, unit = self._columns, self._columns.unit
        box = self._made.places[member_key(member)]
        count = len(member.ports)
        for number, port in enumerate(member.ports):
            y = middle + ((number - (count - 1) / 2) * (PORT_H + PORT_GAP) - PORT_H / 2) * unit
            key = port_key(member.container.id, port)
            place = QRectF(columns.port_x, y, PORT_W * unit, PORT_H * unit)
            self._made.places[key] = place
            spread = min(10 * unit, box.height() / (count + 1))
            end = QPointF(box.left(), box.center().y() + (number - (count - 1) / 2) * spread)
            path = _bent(QPointF(place.right(), place.center().y()), end)
            self._made.edges.append(Edge(kind=Kind.PORT, begin=key, end=member_key(member), path=path))

    def _traffic(self, member: Member, box: QRectF) -> Edge:
        columns, unit = self._columns, self._columns.unit
        is_left = box.center().x() < columns.middle
        start = QPointF(box.right() if is_left else box.left(), box.center().y())
        path = QPainterPath(start)
        path.lineTo(columns.middle, start.y())
        begin, end = sorted((start.x(), columns.middle))
        room = QRectF(begin + 3 * unit, start.y() - 21 * unit, end - begin - 6 * unit, 18 * unit)
        return Edge(
            kind=Kind.TRAFFIC,
            begin=member_key(member),
            path=path,
            network_id=member.network_id,
            container_id=member.container.id,
            above=room,
            below=room.translated(0, 24 * unit),
        )

    def _volumes(self, left: Member | None, right: Member | None, top: float, height: float) -> None:
        if not self._has_volumes:
            return
        made, columns, unit = self._made, self._columns, self._columns.unit
        fresh = self._fresh_volumes(left, right)
        y = top + (height - (len(fresh) * (VOLUME_H + VOLUME_GAP) - VOLUME_GAP) * unit) / 2
        for name in fresh:
            made.places[volume_key(name)] = QRectF(columns.volume_x, y, VOLUME_W * unit, VOLUME_H * unit)
            y += (VOLUME_H + VOLUME_GAP) * unit
        edge_x = columns.frame_x + columns.frame_w
        for member in (right, left):
            for name in member.volumes if member is not None else ():
                assert member is not None
                box, volume = made.places[member_key(member)], made.places[volume_key(name)]
                end = QPointF(volume.left(), volume.center().y())
                if member is right:
                    path = QPainterPath(QPointF(box.right(), box.center().y()))
                    path.lineTo(edge_x, box.center().y())
                else:
                    path = _around(box, top + height + LANE * unit, edge_x, BEND * unit)
                path.connectPath(_bent(path.currentPosition(), end))
                made.edges.append(Edge(kind=Kind.VOLUME, begin=member_key(member), end=volume_key(name), path=path))


def _bent(start: QPointF, end: QPointF) -> QPainterPath:
    """A line that leaves and comes in level."""
    path = QPainterPath(start)
    if abs(start.y() - end.y()) < 0.5:
        path.lineTo(end)
        return path
    bend = QPointF((end.x() - start.x()) * 0.5, 0)
    path.cubicTo(start + bend, end - bend, end)
    return path


def _around(box: QRectF, lane: float, x: float, bend: float) -> QPainterPath:
    """From the lower side of `box` to the level `lane`, and along it to `x`."""
    start = QPointF(box.right() - 22, box.bottom())
    path = QPainterPath(start)
    bend = min(bend, lane - start.y())
    path.lineTo(start.x(), lane - bend)
    path.quadTo(QPointF(start.x(), lane), QPointF(start.x() + bend, lane))
    path.lineTo(x, lane)
    return path
