"""The X-ray tab of a container: what the kernel has of it, from Cove's engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from desktop.client.engine import ApiError
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.cards import FactsCard
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import disk, memory, tr

Facts = list[tuple[str, str, bool]]  # name, value, whether in the mono font
Told = Mapping[str, Any]


class XRayTab(ContainerTab):
    """Cards: namespaces, limits beside use, the way from each port to a process, what it may do, layers, the start."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        theme, icons = desk.theme, desk.icons
        self._session = session
        self._latest = Latest(session.workers)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        self._stack = QStackedWidget()
        outer.addWidget(self._stack)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._none = EmptyPage(theme, icons, "", "", art=False)
        self._stack.addWidget(self._area)
        self._stack.addWidget(self._none)
        inner = QWidget()
        inner.setObjectName("scrolled")
        grid = QGridLayout(inner)
        grid.setContentsMargins(24, 16, 24, 24)
        grid.setSpacing(12)
        self._network = FactsCard(theme, icons, "share-network", tr("From port to process"))
        self._limits = FactsCard(theme, icons, "sliders-horizontal", tr("Limits and use"))
        self._spaces = FactsCard(theme, icons, "info", tr("Namespaces"))
        self._may = FactsCard(theme, icons, "info", tr("What it may do"))
        self._layers = FactsCard(theme, icons, "hard-drives", tr("Layers, topmost first"))
        self._start = FactsCard(theme, icons, "info", tr("The last start"))
        grid.addWidget(self._network, 0, 0, 1, 2)
        places = (self._limits, self._spaces, self._may, self._layers, self._start)
        for number, card in enumerate(places):
            grid.addWidget(card, 1 + number // 2, number % 2, Qt.AlignmentFlag.AlignTop)
        grid.setRowStretch(4, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self._area.setWidget(inner)
        self._clear()

    def show_container(self, container: Container) -> None:
        client = self._session.client

        def failed(error: Exception) -> None:
            is_other = isinstance(error, ApiError) and error.status == 404 and "page not found" in str(error)
            self._none.title.setText(tr("No X-ray"))
            self._none.sentence.setText(tr("Only Cove's own engine has one.") if is_other else str(error))
            self._stack.setCurrentWidget(self._none)

        self._latest.run(lambda: client.xray(container.id), self._tell, failed)

    def leave(self) -> None:
        super().leave()
        self._latest.drop()
        self._clear()

    def _clear(self) -> None:
        """Show nothing."""
        for card in (self._network, self._limits, self._spaces, self._may, self._layers, self._start):
            card.tell([])
        self._stack.setCurrentWidget(self._area)

    def _tell(self, told: Told) -> None:
        self._network.tell(network_facts(told["network"]))
        self._limits.tell(limit_facts(told["control"]))
        self._spaces.tell([(space["kind"], _owner(space), False) for space in told["namespaces"]])
        self._may.tell(security_facts(told["security"]))
        self._layers.tell([_layer(layer) for layer in reversed(told["layers"])])
        self._start.tell(start_facts(told["timeline"]))
        self._stack.setCurrentWidget(self._area)


def network_facts(network: Told) -> Facts:
    """The interfaces, then each port's way in the order of the packets."""
    facts: Facts = []
    if network["of"]:
        facts.append((tr("Network"), tr("that of {name}", name=network["of"]), False))
    for one in network["interfaces"]:
        way = [one["interface"], one["address"], one["address6"], one["host_interface"], one["bridge"]]
        facts.append((one["network"], " – ".join(filter(None, way)), True))
    for port in network["ports"]:
        host = f"[{port['host_address']}]" if ":" in port["host_address"] else port["host_address"]
        rule = tr("cove-relay") if port["by_relay"] else port["rule"]
        if not port["by_relay"] and not port["is_rule_there"]:
            rule = tr("{rule} is missing in the firewall", rule=rule)
        steps = [tr("this computer")] if port["by_host_agent"] else []
        steps += [rule, port["bridge"], port["interface"], f"{port['address']}:{port['container_port']}"]
        heard = ", ".join(f"{one['pid']} {one['command']}" for one in port["listeners"])
        steps.append(heard or tr("nothing listens there"))
        facts.append((f"{host}:{port['host_port']}/{port['protocol']}", " → ".join(steps), True))
    return facts


def limit_facts(control: Told) -> Facts:
    """What is used of what is allowed, then what the limits have done."""
    facts: Facts = []
    for one in control["resources"]:
        used = tr("not in use") if one["used"] is None else _amount(one["used"], one["unit"])
        if one["limit"] is None:
            words = tr("{used}, no limit", used=used)
        else:
            words = tr("{used} of {limit}", used=used, limit=_amount(one["limit"], one["unit"]))
        facts.append((_resource(one["name"]), words, False))
    throttling = control["throttling"]
    if throttling and throttling["throttled_periods"]:
        stopped = tr(
            "in {n} of {all} periods, {seconds} s",
            n=throttling["throttled_periods"],
            all=throttling["periods"],
            seconds=f"{throttling['throttled_ns'] / 1e9:.1f}",
        )
        facts.append((tr("Stopped by the CPU limit"), stopped, False))
    if control["oom_kills"]:
        facts.append((tr("Killed for want of memory"), str(control["oom_kills"]), False))
    facts += [
        (
            tr("Waits for {what}", what=one["resource"]),
            tr("{n} % of the last 10 s", n=f"{one['some']['avg10']:.1f}"),
            False,
        )
        for one in control["pressure"]
    ]
    return facts


def _resource(name: str) -> str:
    return {"memory": tr("Memory"), "cpu": tr("CPU"), "processes": tr("Processes")}.get(name, name)


def _amount(value: float, unit: str) -> str:
    return memory(int(value)) if unit == "bytes" else f"{value:g}"


def _owner(space: Told) -> str:
    if space["is_host"]:
        return tr("the machine's")
    shared: Sequence[str] = space["shared_with"]
    return tr("shared with {names}", names=", ".join(shared)) if shared else tr("its own")


def security_facts(security: Told) -> Facts:
    """User, system calls, capabilities."""
    names = ", ".join(one["name"].removeprefix("CAP_").lower() for one in security["capabilities"])
    facts: Facts = [
        (tr("User"), security["user"] or "root", False),
        (tr("Users outside"), security["user_namespace_words"], False),
        (tr("System calls"), security["seccomp_words"], False),
        (tr("Capabilities"), names or tr("none"), True),
    ]
    if security["is_privileged"]:
        facts.insert(0, (tr("Privileged"), tr("nothing keeps its root from changing the machine"), False))
    if security["no_new_privileges"]:
        facts.append((tr("New privileges"), tr("none"), False))
    return facts


def _layer(layer: Told) -> tuple[str, str, bool]:
    made_by = " ".join(str(layer["created_by"]).split()) or layer["diff_id"].removeprefix("sha256:")[:12]
    return f"{layer['number']}  {disk(layer['size_bytes'])}", made_by, layer["kind"] != "upper"


def start_facts(timeline: Told) -> Facts:
    """How long each step took; nothing where the engine that runs has not started the container."""
    steps = (
        ("create_ms", tr("Created")),
        ("prepare_ms", tr("Prepared")),
        ("mount_ms", tr("Mounted")),
        ("setup_ms", tr("Set up")),
        ("start_ms", tr("Altogether")),
    )
    return [(words, f"{timeline[key]:.1f} ms", False) for key, words in steps if timeline[key] is not None]
