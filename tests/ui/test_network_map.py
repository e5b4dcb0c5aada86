"""The map of the networks: ports, containers, volumes and live traffic, by mouse and keyboard on a real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import pytest
from PySide6.QtCore import QPointF, QRectF, Qt, QUrl
from PySide6.QtGui import QDesktopServices
from pytestqt.qtbot import QtBot

from desktop.ui.feed.container import Attachment, Container, Port, Traffic
from desktop.ui.feed.usage import TrafficRates
from desktop.ui.kit.diagram import nearest
from desktop.ui.networks.facts import Facts, facts_of
from desktop.ui.networks.layout import Kind, Layout, lay_out
from desktop.ui.networks.map import width_of
from desktop.ui.networks.model import Network
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def nets(engine: NativeEngine) -> Iterator[None]:
    """The networks ui-front and ui-back, and ui-bare, which stays without containers."""
    names = ("ui-front", "ui-back", "ui-bare")
    for name in names:
        engine.docker("network", "create", name)
    yield
    engine.docker("network", "rm", *names, check=False)


def test_the_map_has_ports_containers_volumes_and_networks_and_follows_the_engine(
    engine: NativeEngine,
    open_window: OpenWindow,
    nets: None,
    named: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(QUrl(url).toString()))
    named("ui-web", "sleep", "1000", flags=("--network", "ui-front", "-p", "127.0.0.1:18099:80", "-v", "ui-mapped:/d"))
    named("ui-over", "true", flags=("--network", "ui-front"))
    window = open_window(engine)
    window.go("networks")
    shown = window.networks.map
    shown.thing("Container ui-web, Running, ")
    assert "Port 18099 of this computer, leads to ui-web" in shown.names()
    assert "Volume ui-mapped, mounted in ui-web" in shown.names()
    shown.thing("Container ui-over, Exited 0, in network ui-front")
    assert not any("ui-bare" in name for name in shown.names())
    assert "127.0.0.1:18099 to 80 in ui-web" in shown.tip("Port 18099")
    assert "in ui-front" in shown.tip("Container ui-web")
    shown.click("Port 18099")
    assert opened == ["http://127.0.0.1:18099"]
    engine.docker("network", "connect", "ui-back", "ui-web")
    shown.thing("Network ui-back")
    assert "also in ui-back" in shown.tip("Container ui-web, Running") or "also in ui-front" in shown.tip(
        "Container ui-web, Running"
    )
    assert len([name for name in shown.names() if name.startswith("Port 18099")]) == 1, "the port leads to one of them"
    window.networks.switch("Volumes")
    shown.wait_until_gone("Volume ui-mapped")
    window.networks.filter("ui-over")
    shown.wait_until_gone("Container ui-web")
    shown.thing("Container ui-over")
    window.networks.filter("")
    shown.click("Container ui-web")
    assert window.page == "container"
    assert window.container.name == "ui-web"
    window.go("networks")
    engine.docker("rm", "-f", "-v", "ui-web")
    shown.wait_until_gone("Container ui-web")
    engine.docker("volume", "rm", "ui-mapped")


def test_traffic_stands_on_the_line_of_its_network_and_only_while_it_flows(
    engine: NativeEngine, open_window: OpenWindow, nets: None, named: Callable[..., str]
) -> None:
    named("ui-sink", "sleep", "1000", flags=("--network", "ui-back"))
    named("ui-source", "ping", "-i", "0.1", "-s", "20000", "ui-sink", flags=("--network", "ui-back"))
    named("ui-quiet", "sleep", "1000", flags=("--network", "ui-front"))
    window = open_window(engine)
    window.go("networks")
    shown = window.networks.map
    shown.wait_until_line("Container ui-source", is_much)
    shown.wait_until_line("Container ui-sink", is_much)
    # A new interface sends a few packets of IPv6 by itself.
    shown.wait_until_line("Container ui-quiet", lambda sent, received: (sent, received) == ("", ""))
    assert "sends " in shown.tip("Container ui-source")
    engine.docker("pause", "ui-source")
    shown.wait_until_line("Container ui-source", lambda sent, received: (sent, received) == ("", ""))
    engine.docker("unpause", "ui-source")
    shown.wait_until_line("Container ui-source", lambda sent, _: bool(sent))
    window.networks.switch("Traffic")
    assert shown.said_on_line("Container ui-source") == ("", "")
    assert "traffic" not in shown.tip("Container ui-source")


def is_much(sent: str, received: str) -> bool:
    """Hundreds of kilobytes a second each way."""
    return sent.startswith("↑ ") and received.startswith("↓ ") and sent.endswith("KB/s") and received.endswith("KB/s")


def test_nothing_is_painted_while_nothing_flows(
    engine: NativeEngine, open_window: OpenWindow, nets: None, named: Callable[..., str], qtbot: QtBot
) -> None:
    named("ui-still", "sleep", "1000", flags=("--network", "ui-front"))
    window = open_window(engine)
    window.go("networks")
    shown = window.networks.map
    shown.thing("Container ui-still, Running")
    carried, painted = window.note_traffic(), shown.count_paints()

    def was_quiet() -> bool:
        """Four measurements of nothing: what the kernel itself sends after a start has ended."""
        if carried and carried[-1]:
            carried.clear()
        if len(carried) == 1:
            painted.clear()  # of the line that has lost its text
        return len(carried) >= 4

    qtbot.waitUntil(was_quiet, timeout=LIMIT_MS)
    assert not painted
    window.hide()
    qtbot.waitUntil(lambda: not window.measures_traffic, timeout=LIMIT_MS)
    window.show()
    qtbot.waitUntil(lambda: window.measures_traffic, timeout=LIMIT_MS)
    window.go("containers")
    qtbot.waitUntil(lambda: not window.measures_traffic, timeout=LIMIT_MS)


def test_the_map_by_keyboard(
    engine: NativeEngine, open_window: OpenWindow, nets: None, named: Callable[..., str]
) -> None:
    named("ui-a", "sleep", "1000", flags=("--network", "ui-front", "-p", "18101:80"))
    named("ui-b", "sleep", "1000", flags=("--network", "ui-front"))
    window = open_window(engine)
    window.go("networks")
    page, shown = window.networks, window.networks.map
    shown.thing("Container ui-b, Running")
    stops = page.tab_stops()
    assert [stop for stop in stops if stop in shown.names()] == shown.names()
    shown.focus("Port 18101")
    shown.press(Qt.Key.Key_Right)
    assert shown.focused.startswith("Container ui-a, Running, ")
    shown.press(Qt.Key.Key_Right)
    assert shown.focused.startswith("Container ui-b")
    shown.press(Qt.Key.Key_Left)
    shown.press(Qt.Key.Key_Left)
    assert shown.focused.startswith("Port 18101")
    shown.press(Qt.Key.Key_Plus)
    assert shown.scale == 1.25
    shown.press(Qt.Key.Key_0)
    assert shown.scale == 1.0
    shown.focus("Container ui-b")
    shown.press(Qt.Key.Key_Return)
    assert (window.page, window.container.name) == ("container", "ui-b")
    window.go("networks")
    shown.focus("Network ui-front")
    shown.press(Qt.Key.Key_Return)
    assert page.is_list
    page.wait_until_titled("ui-front")
    page.show_map()
    shown.thing("Network ui-front")
    assert not page.is_list
    unused = next(name for name in shown.names() if "without" in name or "no containers" in name)
    shown.click(unused)
    assert page.is_list
    assert "ui-bare" in page.names()
    assert "ui-front" not in page.names()


def test_a_long_map_scrolls_to_what_gets_the_focus(
    engine: NativeEngine, open_window: OpenWindow, nets: None, named: Callable[..., str]
) -> None:
    for number in range(30):
        named(f"ui-m{number}", "true", flags=("--network", "ui-back"))
    window = open_window(engine)
    window.go("networks")
    shown = window.networks.map
    shown.thing("Container ui-m29")
    shown.focus("Container ui-m0,")
    assert shown.is_in_sight("Container ui-m0,")
    assert not shown.is_in_sight("Container ui-m29")
    while not shown.focused.startswith(("Container ui-m28", "Container ui-m29")):
        before = shown.focused
        shown.press(Qt.Key.Key_Down)
        assert shown.focused != before
    assert shown.is_in_sight(shown.focused)
    assert not shown.is_in_sight("Container ui-m0,")


# places and figures, without a window --------------------------------------------------------------------------------


def made_up(networks: int, members: int, ports: int = 0) -> list[Network]:
    """Networks with so many containers each; every third one has ports and a volume."""

    def one(net: int, number: int) -> Container:
        has = number % 3 == 0
        return Container(
            id=f"c{net}-{number}",
            name=f"c{net}-{number}",
            image="i",
            status="running",
            ports=tuple(Port(port=80, protocol="tcp", host_port=1000 * net + 10 * number + n) for n in range(ports))
            if has
            else (),
            volumes=(f"v{net}-{number}",) if has else (),
            networks=(Attachment(network=f"n{net}", network_id=f"n{net}", address="10.0.0.2"),),
        )

    return [
        Network(id=f"n{net}", name=f"n{net}", members=tuple(one(net, number) for number in range(members)))
        for net in range(networks)
    ]


@pytest.mark.parametrize(
    ("networks", "members", "ports"), [(0, 0, 0), (1, 1, 0), (1, 1, 3), (3, 10, 2), (1, 300, 1), (30, 10, 1)]
)
@pytest.mark.parametrize("room", [640, 856, 1022, 1900])
@pytest.mark.parametrize("unit", [1.0, 16 / 13])
def test_no_box_covers_another_and_no_line_crosses_a_box(
    networks: int, members: int, ports: int, room: int, unit: float
) -> None:
    made = lay_out(facts_of(made_up(networks, members, ports)), room, unit)
    assert len(made.places) >= networks * (members + 1)
    whole = QRectF(0, 0, made.width, made.height)
    assert all(whole.contains(place) for place in made.places.values())
    assert not overlapping(made)
    for edge in made.edges:
        for key, place in near(made, edge.path.boundingRect()):
            if key not in (edge.begin, edge.end):
                assert not any(place.contains(edge.path.pointAtPercent(step / 60)) for step in range(61)), (
                    f"{edge.kind} of {edge.begin} crosses {key}"
                )


def overlapping(made: Layout) -> list[tuple[str, str]]:
    """Pairs of boxes that cover each other. They are compared by their order from top to bottom."""
    rows = sorted(made.places.items(), key=lambda item: item[1].top())
    found = []
    for number, (key, place) in enumerate(rows):
        for other, below in rows[number + 1 :]:
            if below.top() >= place.bottom():
                break
            if place.intersects(below):
                found.append((key, other))
    return found


def near(made: Layout, area: QRectF) -> list[tuple[str, QRectF]]:
    wide = area.adjusted(-1, -1, 1, 1)
    return [(key, place) for key, place in made.places.items() if place.intersects(wide)]


def test_a_container_in_two_networks_has_its_ports_in_the_one_that_is_not_internal() -> None:
    ends = tuple(Attachment(network=name, network_id=name, address="10.0.0.2") for name in ("a", "b"))
    port = Port(port=80, protocol="tcp", host_port=8080)
    container = Container(id="c", name="c", image="i", status="running", ports=(port,), networks=ends)
    facts = facts_of(
        [
            Network(id="a", name="a", is_internal=True, members=(container,)),
            Network(id="b", name="b", members=(container,)),
            Network(id="host", name="host", driver="host"),
        ]
    )
    assert [(f.network.name, [m.ports for m in f.members]) for f in facts.frames] == [("a", [()]), ("b", [(port,)])]
    assert facts.unused == 1
    made = lay_out(facts, 1000)
    assert [edge.end for edge in made.edges if edge.kind is Kind.PORT] == ["member b c"]
    assert len([edge for edge in made.edges if edge.kind is Kind.TRAFFIC]) == 2


def test_the_filter_keeps_a_network_that_it_names_and_else_the_containers() -> None:
    networks = made_up(2, 3)

    def shown(text: str) -> Facts:
        return facts_of(networks, text)

    assert [len(frame.members) for frame in shown("").frames] == [3, 3]
    assert [(f.network.id, len(f.members)) for f in shown("N1").frames] == [("n1", 3)]
    assert [[m.container.id for m in f.members] for f in shown("c0-2").frames] == [["c0-2"]]
    assert not shown("nothing").frames


def test_an_arrow_key_leads_to_the_nearest_box_in_its_direction() -> None:
    boxes = {
        "left": QRectF(0, 100, 50, 40),
        "middle": QRectF(100, 100, 50, 40),
        "right": QRectF(200, 110, 50, 40),
        "above": QRectF(110, 0, 50, 40),
        "far": QRectF(1000, 1000, 50, 40),
    }
    ways = {"left": QPointF(-1, 0), "right": QPointF(1, 0), "above": QPointF(0, -1), "far": QPointF(0, 1)}
    assert {name: nearest(boxes, "middle", way) for name, way in ways.items()} == {n: n for n in ways}
    assert nearest(boxes, "left", QPointF(-1, 0)) == ""


def sampled(run: int, at_s: int, received: int, sent: int, network: str = "n") -> dict[str, object]:
    return {
        "id": "c",
        "run": run,
        "read": f"2026-01-01T00:00:{at_s:02}Z",
        "networks": [{"network": network, "received_bytes": received, "sent_bytes": sent}],
    }


def test_rates_are_of_one_run_and_one_network() -> None:
    rates = TrafficRates()
    assert rates.of([sampled(1, 0, 1000, 50)]) == {}
    assert rates.of([sampled(1, 2, 3000, 150)]) == {("c", "n"): Traffic(received=1000, sent=50)}
    assert rates.of([sampled(2, 3, 10, 10)]) == {}, "another run has counters of its own"
    assert rates.of([sampled(2, 4, 20, 10)]) == {("c", "n"): Traffic(received=10, sent=0)}
    assert rates.of([sampled(2, 5, 20, 10, "other")]) == {}
    assert rates.of([{"id": "c", "run": 2, "read": "2026-01-01T00:00:06Z"}]) == {}, "an engine that does not tell it"
    rates.clear()
    assert rates.of([sampled(2, 7, 99, 99)]) == {}


def test_a_line_gets_wider_with_its_traffic_up_to_a_bound() -> None:
    widths = [width_of(Traffic(received=10.0**power, sent=0)) for power in range(12)]
    assert all(one <= other for one, other in combinations(widths, 2))
    assert len(set(widths)) > 5
    assert widths[0] == widths[2] < widths[4] < widths[6]
    assert widths[-1] == widths[-2]
