"""The state of the engine and its VM, and starting and stopping them from the window."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu

from desktop.client.host import HostState
from desktop.context import NATIVE, VM, Context
from desktop.paths import HostPaths
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.host_session import HostSession, facts_of_host, start_native
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.page import Desk
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import BootStep
from desktop.ui.kit.words import counted, sentence, tr


class EngineControl(QObject):
    """Combines the states of the engine and the host agent. Signals: facts_changed(EngineFacts)."""

    facts_changed = Signal(object)

    def __init__(
        self,
        context: Context,
        paths: HostPaths,
        session: EngineSession,
        model: ContainerModel,
        desk: Desk,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._context, self._paths, self._session = context, paths, session
        self._model, self._desk = model, desk
        self.host = HostSession(paths, session.workers, self) if context.kind == VM else None
        self._state: HostState | None = None
        self._is_starting = False  # the native engine, by this window
        self._engine = self.facts = session.now
        session.facts.connect(self._on_engine)
        session.unread.connect(self._on_unread)
        if self.host is not None:
            self.host.state.connect(self._on_state)
            self.host.failed.connect(self._on_no_agent)

    def open(self) -> None:
        """Connect to the engine; start what the context needs (the VM or the native engine)."""
        self._session.open()
        if self.host is not None:
            self._session.give_up()  # until the agent reports that the VM runs
            self.host.open(start_vm=True)
        elif self._context.kind == NATIVE:
            self._start_native(quiet=True)
            self._tell()

    def close(self) -> None:
        if self.host is not None:
            self.host.close()
        self._session.close()

    # what is known ---------------------------------------------------------------------------------------------------

    def _on_engine(self, facts: EngineFacts) -> None:
        self._is_starting = self._is_starting and facts.phase in (EnginePhase.STOPPED, EnginePhase.CONNECTING)
        self._engine = facts
        self._tell()

    def _on_unread(self, what: str, why: str) -> None:
        title = tr("{what} could not be read", what=what)
        self._desk.toasts.tell(title, tr("{why} Cove will try again.", why=sentence(why)), State.PROBLEM)

    def _on_state(self, state: HostState) -> None:
        before, self._state = self._state, state
        if state.state == "running" and (before is None or before.state != "running"):
            self._session.retry()
        elif state.state not in ("running", "saving", "saved"):  # a saved VM is no loss of contact
            self._session.give_up()
            if before is not None and before.state == "running" and state.state in ("failed", "stopped"):
                self._desk.toasts.tell(
                    tr("The virtual machine stopped"),
                    sentence(state.error.message) if state.error else "",
                    State.PROBLEM if state.error else State.DONE,
                )
        self._tell()

    def _on_no_agent(self, message: str, hint: str) -> None:
        self._state = None
        self._engine = replace(self._engine, phase=EnginePhase.FAILED, problem=message, hint=hint)
        self._tell()

    def _tell(self) -> None:
        self.facts = facts_of_host(self._state, self._engine) if self._state is not None else self._engine
        if self._is_starting and self.facts.phase in (EnginePhase.STOPPED, EnginePhase.CONNECTING):
            # That nobody answers yet is no news: the engine is being started.
            step = BootStep(name="engine", took_ms=None, detail=str(self._paths.native_socket))
            self.facts = replace(self.facts, phase=EnginePhase.STARTING, problem="", hint="", steps=(step,))
        self.facts_changed.emit(self.facts)

    # what can be done ------------------------------------------------------------------------------------------------

    def retry(self, wanted: bool) -> None:
        """Start or reach the engine; not `wanted`: stop trying."""
        if not wanted:
            self._session.give_up()
        elif self.host is not None and self.facts.phase in (EnginePhase.STOPPED, EnginePhase.FAILED):
            self.ask_vm("start")
        elif self._context.kind == NATIVE and self.facts.phase is EnginePhase.STOPPED:
            self._start_native(quiet=False)
        else:
            self._session.retry()

    def _start_native(self, *, quiet: bool) -> None:
        self._is_starting = True

        def done() -> None:
            self._session.retry()

        def failed(reason: str, hint: str) -> None:
            self._is_starting = False
            if self._engine.phase is not EnginePhase.RUNNING:
                self._engine = replace(self._engine, phase=EnginePhase.STOPPED, problem=reason, hint=hint)
                self._tell()
            if not quiet:
                text = f"{sentence(reason)} {sentence(hint)}".strip()
                self._desk.toasts.tell(tr("The engine did not start"), text, State.PROBLEM)

        start_native(self._paths, self._session.workers, done, failed)

    def ask_vm(self, verb: str) -> None:
        """`start`, `stop` or `restart` the VM without a question."""
        if self.host is not None:
            toasts = self._desk.toasts
            self.host.ask(
                verb, lambda why: toasts.tell(tr("The request to the VM failed"), sentence(why), State.PROBLEM)
            )

    def ask(self, verb: str) -> None:
        """`start`, `stop` or `restart` the VM; ask first if this stops running containers."""
        running = sum(c.is_running for c in self._model.containers())
        if verb == "start" or not running:
            if self.host is not None:
                self.ask_vm(verb)
            else:
                self.retry(True)
            return
        Question(
            self._desk.theme,
            self._desk.icons,
            self._desk.window,
            title=tr("Stop the VM?") if verb == "stop" else tr("Restart the VM?"),
            facts=[
                counted(
                    running,
                    "{n} container is running in it and is stopped first.",
                    "{n} containers are running in it and are stopped first.",
                ),
                tr("Nothing is deleted. Those with a restart policy come back with the VM."),
            ],
            verb=tr("Stop the VM") if verb == "stop" else tr("Restart the VM"),
            safe=tr("Keep it running"),
            sure=lambda _checked: self.ask_vm(verb),
        ).open()

    def build_menu(self, menu: QMenu) -> None:
        """Fill the engine switch's menu for the present state."""
        facts, icons = self.facts, self._desk.icons
        menu.clear()
        menu.addAction(f"{facts.name}, {facts.word.lower()}").setEnabled(False)
        menu.addSeparator()

        def add(icon: str, text: str, verb: str) -> None:
            menu.addAction(icons.icon(icon), text).triggered.connect(lambda: self.ask(verb))

        if self.host is not None:
            if facts.phase in (EnginePhase.STOPPED, EnginePhase.FAILED):
                add("play", tr("Start the VM"), "start")
            elif facts.phase.is_usable or facts.phase in (EnginePhase.LOST, EnginePhase.CONNECTING):
                add("power", tr("Stop the VM…"), "stop")
                add("arrow-clockwise", tr("Restart the VM…"), "restart")
        elif facts.phase is not EnginePhase.RUNNING:
            add("play", tr("Start") if self._context.kind == NATIVE else tr("Try again"), "start")
        menu.addSeparator()
        copy = menu.addAction(icons.icon("copy-simple"), tr("Copy its address"))
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(f"DOCKER_HOST={facts.address}"))
