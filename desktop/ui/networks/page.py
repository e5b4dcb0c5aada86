"""The Networks page: the map; or the list at the left, one network with its containers at the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.container import Container, Port
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.usage import Traffics
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button, Segments, Switch
from desktop.ui.kit.cards import FactsView, Framed
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.inspect import InspectTab
from desktop.ui.kit.links import Linked, Links
from desktop.ui.kit.listing import changes_of
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import ago, counted, tr
from desktop.ui.networks.actions import NetworkActions
from desktop.ui.networks.facts import facts_of
from desktop.ui.networks.map import MapView
from desktop.ui.networks.model import Network, columns, segments

MOST_OFFERED = 20  # containers in the menu of Connect…


class NetworkDetail(DetailCard):
    """One network: its containers with their addresses and ports."""

    def __init__(
        self, desk: Desk, session: EngineSession, actions: NetworkActions, parent: QWidget | None = None
    ) -> None:
        self.members = Links(desk.theme, tr("No container is in it."))
        self.facts = FactsView(desk.theme, desk.icons, "info", tr("What it is"))
        self.inspect = InspectTab(desk.theme, desk.icons)
        views = ((tr("Containers"), self.members), (tr("Overview"), self.facts), (tr("Inspect"), self.inspect))
        super().__init__(desk, views, tr("Views of the network"), parent)
        self._session, self._actions = session, actions
        self._latest = Latest(session.workers)
        self._network: Network | None = None
        self.join = Button(desk.theme, desk.icons, tr("Connect…"), "link-simple")
        self.more = Button(desk.theme, desk.icons, icon="dots-three", name=tr("More"))
        self.add_button(self.join)
        self.add_button(self.more)
        self.members.chosen.connect(lambda key: desk.go(Place("container", key)))
        self.members.acted.connect(self._on_leave)

    @property
    def network(self) -> Network | None:
        return self._network

    def show_network(self, network: Network) -> None:
        before, self._network = self._network, network
        about = [network.driver, network.subnet, tr("no way out") if network.is_internal else ""]
        self.tell(
            network.name, code=network.id[:12], copied=network.id, about=", ".join(part for part in about if part)
        )
        self.members.tell([self._line(network, member) for member in network.members])
        facts = [(tr("Driver"), network.driver, False)]
        facts += [(tr("Subnet"), subnet, True) for subnet in network.subnets]
        facts += [(tr("Gateway"), gateway, True) for gateway in network.gateways]
        facts.append((tr("Way out"), tr("no") if network.is_internal else tr("yes"), False))
        facts.append((tr("IPv6"), tr("yes") if network.has_ipv6 else tr("no"), False))
        if network.created_s:
            facts.append((tr("Made"), ago(network.created_s), False))
        facts += [(name, value, True) for name, value in sorted(network.labels.items())]
        self.facts.tell(facts)
        self.join.setVisible(network.name not in ("host", "none"))
        is_other = before is None or before.id != network.id
        if is_other or (before != network and self._session.now.phase.is_usable):  # who is in it is in there too
            self._read(network.id)

    @staticmethod
    def _line(network: Network, member: Container) -> Linked:
        end = network.end_of(member)
        ports = ", ".join(tr("{there} to {port}", there=p.where, port=p.port) for p in member.ports)
        address = end.address if end is not None and end.address else tr("no address now")
        return Linked(
            key=member.id,
            text=member.name,
            note=", ".join(part for part in (address, ports if member.is_running else "") if part),
            state=member.state,
            act="" if network.name in ("host", "none") else tr("Disconnect"),
        )

    def _on_leave(self, container_id: str) -> None:
        network = self._network
        member = next((m for m in network.members if m.id == container_id), None) if network is not None else None
        if network is not None and member is not None:
            self._actions.disconnect(network, member)

    def _read(self, network_id: str) -> None:
        client = self._session.client
        self._latest.run(
            lambda: client.network_inspect(network_id), self.inspect.tell, lambda error: self.inspect.fail(str(error))
        )


MAP, LIST = 0, 1  # the ways to show them
NOT_IN_USE = 2  # the list's segment


class NetworksPage(TablePage[Network]):
    """All networks, as a map or as a list.

    Signals: sight_changed(): the traffic is shown now, or no longer."""

    sight_changed = Signal()

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        networks: Collection[Network],
        containers: ContainerModel,
        parent: QWidget | None = None,
    ) -> None:
        self._networks, self._containers = networks, containers
        self._actions = NetworkActions(desk, session)
        self.card = NetworkDetail(desk, session, self._actions)
        super().__init__(
            desk,
            title=tr("Networks"),
            columns=columns(),
            segments=segments(),
            which=tr("Which networks"),
            hint=tr("Filter by name, subnet"),
            key=lambda network: network.id,
            haystack=lambda n: "\n".join((n.name, n.subnet, n.project, *(m.name for m in n.members))),
            empty=EmptyPage(desk.theme, desk.icons, tr("No networks"), tr("The engine has not told any yet.")),
            detail=self.card,
            bulk=(Act("delete", "trash", tr("Delete…"), "Del"),),
            parent=parent,
        )
        self.way = Segments(desk.theme, (tr("Map"), tr("List")), tr("How to show the networks"))
        self.has_volumes = Switch(desk.theme, tr("Volumes"), on=True)
        self.has_traffic = Switch(desk.theme, tr("Traffic"), on=True)
        self.put_before(self.way)
        for switch in (self.has_volumes, self.has_traffic):
            self.put_after(switch)
        self.map = MapView(desk)
        self.map_card = Framed(desk.theme, self.map)
        self.nobody = EmptyPage(
            desk.theme,
            desk.icons,
            tr("No container is in a network"),
            tr("Containers appear here with their ports and what they send."),
        )
        for widget in (self.map_card, self.nobody):
            self.add_state(widget)
        self._connect_map(session)
        self.clean_up = Button(desk.theme, desk.icons, tr("Clean up…"), "recycle")
        self.clean_up.clicked.connect(lambda: self._actions.ask_clean_up(self.rows.items()))
        self.add_button(self.clean_up)
        self.create_button = Button(desk.theme, desk.icons, tr("Create network…"), "plus")
        self.create_button.clicked.connect(self._actions.ask_create)
        self.add_button(self.create_button)
        self.card.more.clicked.connect(self._on_more)
        self.card.join.clicked.connect(self._on_join)
        self.follow(networks.changed, *changes_of(containers))
        self._show_way()

    def _connect_map(self, session: EngineSession) -> None:
        desk, shown = self.desk, self.map.map
        shown.container_chosen.connect(lambda key: desk.go(Place("container", key)))
        shown.volume_chosen.connect(lambda name: desk.go(Place("volumes", name)))
        shown.network_chosen.connect(lambda key: desk.go(Place("networks", key)))
        shown.unused_chosen.connect(self._on_unused)
        shown.port_chosen.connect(self._on_port)
        session.carried.connect(self._on_carried)
        self.way.chosen.connect(self._on_way)
        self.has_volumes.toggled.connect(shown.show_volumes)
        self.has_traffic.toggled.connect(self._on_traffic)

    def load(self) -> None:
        containers = self._containers.containers()
        self.rows.load(network.with_members(containers) for network in self._networks.items or ())

    # the map ---------------------------------------------------------------------------------------------------------

    @property
    def is_map(self) -> bool:
        return self.way.current == MAP

    @property
    def shows_traffic(self) -> bool:
        return self.is_map and self.has_traffic.isChecked() and self.map.map.facts.has_traffic

    def _on_carried(self, traffic: Traffics) -> None:
        if self.isVisible() and self.shows_traffic:
            self.map.map.tell_traffic(traffic)

    def _on_traffic(self, on: bool) -> None:
        self.map.map.show_traffic(on)
        self.sight_changed.emit()

    def _on_way(self) -> None:
        self._show_way()
        self.refresh()

    def _show_way(self) -> None:
        """Show the tools of the map, or those of the list."""
        for tool in (self.has_volumes, self.has_traffic):
            tool.setVisible(self.is_map)
        self.segments.setVisible(not self.is_map)

    def _show_list(self) -> None:
        if self.is_map:
            self.way.show_choice(LIST)
            self._on_way()

    def _on_unused(self) -> None:
        self._show_list()
        self.search.clear()
        self.segments.choose(NOT_IN_USE)
        self.first_focus().setFocus()

    def _on_port(self, port: Port) -> None:
        """Open it; a port that no browser can open is copied."""
        if port.protocol == "tcp":
            QDesktopServices.openUrl(QUrl(port.url))
        else:
            QGuiApplication.clipboard().setText(port.where)
            self.desk.toasts.tell(tr("{where} copied", where=port.where))

    def show_place(self, thing: str, tab: str) -> None:
        if thing:
            self._show_list()
        super().show_place(thing, tab)

    def first_focus(self) -> QWidget:
        if not self.is_map:
            return super().first_focus()
        things = self.map.map.things.values()
        return next((thing for thing in things if thing.isVisible()), self.way)

    def refresh(self) -> None:
        if self.is_map:
            had = self.shows_traffic
            self.map.map.show_facts(facts_of(self.rows.items(), self.search.text()))
            if self.shows_traffic != had:
                self.sight_changed.emit()
        super().refresh()
        self.way.setVisible(True)

    def show_bulk(self) -> None:
        super().show_bulk()
        if self.is_map and self.bulk is not None:
            self.bulk.hide()

    def shown_widget(self, total: int) -> QWidget:
        if not self.is_map or not total:
            return super().shown_widget(total)
        if self.map.map.facts.frames:
            return self.map_card
        return self.no_match if self.search.text().strip() else self.nobody

    # TablePage -------------------------------------------------------------------------------------------------------

    def summarize(self) -> str:
        networks = self.rows.items()
        members = {member.id for network in networks for member in network.members}
        text = counted(len(networks), "{n} network", "{n} networks")
        if not members:
            return text if networks else ""
        return counted(len(members), "{text}, {n} container connected", "{text}, {n} containers connected", text=text)

    def no_match_title(self, text: str) -> str:
        return tr("No network matches “{text}”", text=text) if text else tr("No network here")

    def acts(self, items: Sequence[Network]) -> Sequence[Act | None]:
        acts: list[Act | None] = [
            Act("copy", "copy-simple", tr("Copy name") if len(items) == 1 else tr("Copy names"), "Ctrl+C")
        ]
        if any(not network.is_predefined for network in items):
            delete = tr("Delete…") if len(items) == 1 else tr("Delete {n}…", n=len(items))
            acts += [None, Act("delete", "trash", delete, "Del")]
        return acts

    def do(self, key: str, items: Sequence[Network]) -> None:
        if key == "copy":
            QGuiApplication.clipboard().setText("\n".join(network.name for network in items))
        elif key == "delete":
            self._actions.ask_delete(items)

    def show_detail(self, item: Network) -> None:
        self.card.show_network(item)

    def _on_more(self) -> None:
        network = self.card.network
        if network is not None:
            open_below(self.card.more, self.desk.icons, self.acts([network]), lambda key: self.do(key, [network]))

    def _on_join(self) -> None:
        """The containers that are not in the network yet, as a menu."""
        network = self.card.network
        if network is None:
            return
        inside = {member.id for member in network.members}
        others = [c for c in self._containers.containers() if c.id not in inside and not c.lost][:MOST_OFFERED]
        by_id = {container.id: container for container in others}
        acts = [Act(container.id, "cube", container.name) for container in others]
        open_below(self.card.join, self.desk.icons, acts, lambda key: self._actions.connect(network, by_id[key]))
