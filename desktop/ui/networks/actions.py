"""Creating and deleting networks, and who is in them. What is deleted was named in a dialog before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QWidget

from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.cleanup import Choice, CleanUp
from desktop.ui.kit.dialogs import Dialog, Question
from desktop.ui.kit.fields import Field
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.words import ago, counted, listed, sentence, shortened, tr
from desktop.ui.networks.model import Network, wrong_name, wrong_subnet


class CreateDialog(Dialog):
    """Asks for a network's name, subnet, and whether it leads outside. `sure(config)` gets the API's object."""

    def __init__(self, desk: Desk, sure: Callable[[dict[str, object]], None]) -> None:
        super().__init__(desk.theme, desk.icons, tr("Create a network"), desk.window)
        theme, icons = desk.theme, desk.icons
        self.body.addWidget(Label(theme, tr("Create a network"), "heading"))
        about = Label(theme, tr("Containers in one network reach each other by name."), "body", "text2")
        about.setWordWrap(True)
        self.body.addWidget(about)
        self.body.addSpacing(6)
        self.name = Field(theme, icons, tr("Name"))
        self.subnet = Field(theme, icons, tr("Subnet, e.g. 172.30.0.0/24; empty: the engine chooses"))
        self.internal = CheckBox(theme, tr("Without a way out: its containers reach only each other"))
        for widget in (self.name, self.subnet, self.internal):
            self.body.addWidget(widget)
        self.problem = Label(theme, "", "small", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.body.addWidget(self.problem)
        self.foot.addStretch(1)
        _keep, self.act = self.add_buttons(tr("Cancel"), tr("Create"), "primary", "plus")
        self.act.clicked.connect(self._on_sure)
        for field in (self.name, self.subnet):
            field.returnPressed.connect(self._on_sure)
        self._sure = sure

    def first_focus(self) -> QWidget:
        return self.name

    def _on_sure(self) -> None:
        name, subnet = self.name.text().strip(), self.subnet.text().strip()
        why = wrong_name(name) or wrong_subnet(subnet)
        self.problem.setText(sentence(why))
        self.problem.setVisible(bool(why))
        self.fit()
        if why:
            (self.name if wrong_name(name) else self.subnet).setFocus()
            return
        config: dict[str, object] = {"Name": name, "Internal": self.internal.isChecked()}
        if subnet:
            config["IPAM"] = {"Driver": "default", "Config": [{"Subnet": subnet}]}
        self.accept()
        self._sure(config)


class NetworkActions:
    """Acts on networks. A failure is shown as a message."""

    def __init__(self, desk: Desk, session: EngineSession) -> None:
        self._desk, self._session = desk, session

    def ask_create(self) -> None:
        CreateDialog(self._desk, self._create).open()

    def _create(self, config: dict[str, object]) -> None:
        client, desk = self._session.client, self._desk
        name = str(config["Name"])

        def failed(error: Exception) -> None:
            desk.toasts.tell(tr("Network {name} was not created", name=name), str(error), State.PROBLEM)

        self._session.workers.run(
            lambda: client.network_create(config), lambda made: desk.go(Place("networks", str(made["Id"]))), failed
        )

    def ask_delete(self, networks: Sequence[Network]) -> None:
        """Ask, then delete `networks`; the engine's own ones and those with containers are named and stay."""
        free = [network for network in networks if not network.is_predefined and not network.members]
        kept = [network for network in networks if network not in free]
        if not free:
            if kept:
                self._explain(kept[0])
            return
        desk, one = self._desk, free[0]
        many = counted(len(free), "Delete {n} network", "Delete {n} networks")
        facts = []
        if kept:
            facts.append(
                counted(
                    len(kept),
                    "{names} stays: it has containers, or is the engine's own.",
                    "{names} stay: they have containers, or are the engine's own.",
                    names=listed([n.name for n in kept]),
                )
            )
        facts.append(tr("No container is in it. It can be created again with the same subnet."))
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Delete network {name}?", name=one.name) if len(free) == 1 else f"{many}?",
            facts=facts,
            verb=tr("Delete {name}", name=shortened(one.name)) if len(free) == 1 else many,
            safe=tr("Keep it") if len(free) == 1 else tr("Keep them"),
            names=[n.name for n in free] if len(free) > 1 else (),
            sure=lambda _checked: self._delete(free),
        ).open()

    def _explain(self, network: Network) -> None:
        """Tell why `network` cannot be deleted."""
        desk = self._desk
        if network.is_predefined:
            desk.toasts.tell(
                tr("Network {name} stays", name=network.name), tr("It is the engine's own."), State.STOPPED
            )
            return
        first = network.members[0]
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Network {name} has containers", name=network.name),
            facts=[tr("{names}.", names=network.people), tr("Disconnect or delete them first.")],
            verb=tr("Show {name}", name=shortened(first.name)),
            kind="primary",
            safe=tr("Close"),
            sure=lambda _checked: desk.go(Place("container", first.id)),
        ).open()

    def _delete(self, networks: Sequence[Network]) -> None:
        client, toasts = self._session.client, self._desk.toasts
        for network in networks:

            def failed(error: Exception, network: Network = network) -> None:
                toasts.tell(tr("Network {name} was not deleted", name=network.name), str(error), State.PROBLEM)

            def job(network_id: str = network.id) -> None:
                client.network_remove(network_id)

            self._session.workers.run(job, None, failed)

    def ask_clean_up(self, networks: Sequence[Network]) -> None:
        """List those without containers; delete those that stay ticked."""
        unused = [network for network in networks if not network.members and not network.is_predefined]
        if not unused:
            self._desk.toasts.tell(tr("Nothing to clean up"), tr("Every network has containers."))
            return
        by_id = {network.id: network for network in unused}
        CleanUp(
            self._desk,
            title=tr("Clean up networks"),
            sentence=tr("No container is in these networks."),
            choices=[Choice(key=n.id, text=n.name, note=f"{n.subnet}, {ago(n.created_s)}") for n in unused],
            verb=lambda chosen: counted(len(chosen), "Delete {n} network", "Delete {n} networks"),
            sure=lambda keys: self._delete([by_id[key] for key in keys]),
        ).open()

    def connect(self, network: Network, container: Container) -> None:
        """Give `container` an address in `network`."""
        client, toasts = self._session.client, self._desk.toasts

        def failed(error: Exception) -> None:
            title = tr("{name} did not join {network}", name=container.name, network=network.name)
            toasts.tell(title, str(error), State.PROBLEM)

        self._session.workers.run(lambda: client.network_connect(network.id, container.id), None, failed)

    def disconnect(self, network: Network, container: Container) -> None:
        """Take `container` out of `network`; the message offers the way back."""
        client, toasts = self._session.client, self._desk.toasts

        def done(_none: None) -> None:
            again = (tr("Connect again"), lambda: self.connect(network, container))
            toasts.tell(tr("{name} left {network}", name=container.name, network=network.name), actions=[again])

        def failed(error: Exception) -> None:
            title = tr("{name} did not leave {network}", name=container.name, network=network.name)
            toasts.tell(title, str(error), State.PROBLEM)

        self._session.workers.run(lambda: client.network_disconnect(network.id, container.id), done, failed)
