"""The Registries page: who is logged in where, a test of any registry, and how the engine reaches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.client.logins import server_of
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.fields import Field
from desktop.ui.kit.focus import tab_in_order
from desktop.ui.kit.labels import ElidedLabel, IconLabel, Label
from desktop.ui.kit.page import Desk, Page
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.states import State
from desktop.ui.kit.words import counted, sentence, tr
from desktop.ui.registries import model
from desktop.ui.registries.dialogs import LoginDialog
from desktop.ui.registries.model import Account, Registries


class RegistriesPage(Page):
    """Reads everything at each visit and after each change. `environ` says where docker keeps its logins."""

    def __init__(
        self, desk: Desk, session: EngineSession, environ: Mapping[str, str], parent: QWidget | None = None
    ) -> None:
        super().__init__(desk, parent)
        self._session, self._environ = session, environ
        self._latest, self._tests = Latest(session.workers), Latest(session.workers)
        self.shown: Registries | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 16)
        column.setSpacing(0)
        head = PageHead(desk.theme, tr("Registries"))
        self.summary = head.summary
        self.log_in = Button(desk.theme, desk.icons, tr("Log in…"), "plus", kind="primary")
        self.log_in.clicked.connect(lambda: self.ask_login())
        head.addWidget(self.log_in)
        column.addLayout(head)
        scroll = self._scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setAccessibleName(tr("Logins, a test, and what the engine has"))
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        inner.setObjectName("scrolled")
        whole = QVBoxLayout(inner)
        whole.setContentsMargins(0, 4, 8, 0)
        whole.setSpacing(12)
        self._logins = QVBoxLayout()
        self._logins.setSpacing(12)
        whole.addLayout(self._logins)
        whole.addWidget(self._make_test())
        self._account_buttons: list[QWidget] = []
        self._engine = QVBoxLayout()
        self._engine.setSpacing(12)
        whole.addLayout(self._engine)
        whole.addStretch(1)
        scroll.setWidget(inner)
        column.addWidget(scroll, 1)

    def _make_test(self) -> QWidget:
        theme, icons = self.desk.theme, self.desk.icons
        card = Card(theme)
        column = QVBoxLayout(card)
        column.setContentsMargins(16, 12, 16, 14)
        column.setSpacing(8)
        column.addWidget(CardTitle(theme, icons, "magnifying-glass-plus", tr("Test a registry")))
        row = QHBoxLayout()
        row.setSpacing(8)
        self.address = Field(theme, icons, tr("Registry, e.g. ghcr.io; empty: Docker Hub"))
        self.address.returnPressed.connect(lambda: self.test(self.address.text().strip()))
        row.addWidget(self.address, 1)
        self.test_button = Button(theme, icons, tr("Test"))
        self.test_button.clicked.connect(lambda: self.test(self.address.text().strip()))
        row.addWidget(self.test_button)
        column.addLayout(row)
        line = QHBoxLayout()
        line.setSpacing(8)
        self.mark = IconLabel(theme, icons, "info", "text2", 16)
        self.result = Label(theme, "", "body")
        self.result.setWordWrap(True)
        self.result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        line.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self.result, 1)
        column.addLayout(line)
        self.mark.hide()
        self.result.hide()
        return card

    # Page ------------------------------------------------------------------------------------------------------------

    def show_place(self, thing: str, tab: str) -> None:
        self.read()

    def first_focus(self) -> QWidget:
        return self.log_in

    # what is known ---------------------------------------------------------------------------------------------------

    def read(self) -> None:
        client = self._session.client

        def failed(error: Exception) -> None:
            self.shown = None  # the next reading takes the words away, even if it finds what was found before
            self.summary.setText(str(error))

        self._latest.run(lambda: model.read(client, self._environ), self._show, failed)

    def _show(self, found: Registries) -> None:
        if found == self.shown:
            return
        self.shown = found
        count = len(found.accounts)
        self.summary.setText(counted(count, "{n} login", "{n} logins") if count else tr("no logins"))
        had_focus = any(widget.hasFocus() for widget in self._account_buttons)
        self._account_buttons = []
        _clear(self._logins)
        for fault in found.faults:
            self._logins.addWidget(self._fault(fault))
        self._logins.addWidget(self._accounts(found))
        tab_in_order([self.log_in, self._scroll, *self._account_buttons, self.address, self.test_button])
        if had_focus:  # in a row that may be gone
            self.log_in.setFocus(Qt.FocusReason.OtherFocusReason)
        _clear(self._engine)
        if found.is_told:
            self._engine.addWidget(
                self._list(
                    "warning", tr("Insecure registries"), tr("Asked without TLS too; certificates are not checked."),
                    found.insecure, tr("None beside this computer's own: --insecure-registry of the engine adds some."),
                )
            )  # fmt: skip
            self._engine.addWidget(
                self._list(
                    "copy-simple", tr("Mirrors of Docker Hub"), tr("Asked first, in this order."),
                    found.mirrors, tr("None: --registry-mirror of the engine adds some."),
                )
            )  # fmt: skip
            certificates = [
                f"{one.host}: {', '.join(one.files) or tr('an empty folder')}" for one in found.certificates
            ]
            self._engine.addWidget(
                self._list(
                    "lock-key", tr("Certificates"), tr("Authorities and client certificates of single registries."),
                    certificates, tr("None in /etc/docker/certs.d and /etc/cove/certs.d, where the engine runs."),
                )
            )  # fmt: skip

    def _fault(self, text: str) -> QWidget:
        card = Card(self.desk.theme, "bad")
        row = QHBoxLayout(card)
        row.setContentsMargins(20, 12, 16, 12)
        row.setSpacing(12)
        row.addWidget(IconLabel(self.desk.theme, self.desk.icons, "warning", "bad", 18))
        label = Label(self.desk.theme, sentence(text), "body")
        label.setWordWrap(True)
        row.addWidget(label, 1)
        return card

    def _accounts(self, found: Registries) -> QWidget:
        theme, icons = self.desk.theme, self.desk.icons
        card = Card(theme)
        column = QVBoxLayout(card)
        column.setContentsMargins(16, 12, 12, 12)
        column.setSpacing(6)
        column.addWidget(CardTitle(theme, icons, "archive-box", tr("Logins")))
        if not found.accounts:
            none = tr("None: images are pulled as anybody may pull them, and none can be pushed.")
            column.addWidget(Label(theme, none, "body", "text2"))
        for account in found.accounts:
            column.addWidget(self._account(account, found.file))
        return card

    def _account(self, account: Account, file: str) -> QWidget:
        theme, icons = self.desk.theme, self.desk.icons
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(ElidedLabel(theme, account.name, "name"), 3)
        row.addWidget(ElidedLabel(theme, account.user or tr("by a token"), "body", "text2"), 2)
        place = tr("in {helper}", helper=account.helper) if account.helper else tr("unencrypted in {file}", file=file)
        row.addWidget(ElidedLabel(theme, place, "small", "text2"), 3)
        test = Button(theme, icons, tr("Test"), height=28, name=tr("Test {name}", name=account.name))
        test.clicked.connect(lambda: self.test(account.server))
        out = Button(
            theme, icons, tr("Log out…"), height=28, kind="danger", name=tr("Log out of {name}", name=account.name)
        )
        out.clicked.connect(lambda: self._ask_logout(account))
        row.addWidget(test)
        row.addWidget(out)
        self._account_buttons += [test, out]
        return line

    def _list(self, icon: str, title: str, about: str, lines: Sequence[str], none: str) -> QWidget:
        theme = self.desk.theme
        card = Card(theme)
        column = QVBoxLayout(card)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(6)
        head = CardTitle(theme, self.desk.icons, icon, title)
        head.fact.set_text(about)
        column.addWidget(head)
        for text in lines:
            label = Label(theme, text, "mono")
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            column.addWidget(label)
        if not lines:
            column.addWidget(Label(theme, none, "body", "text2"))
        return card

    # what can be done ------------------------------------------------------------------------------------------------

    def ask_login(self, address: str = "") -> None:
        """Ask for registry, user and password."""
        client, toasts = self._session.client, self.desk.toasts

        def log_in(address: str, user: str, password: str) -> None:
            def told(helper: str) -> None:
                if not dialog.is_over:
                    dialog.accept()
                where = tr("Kept in {helper}.", helper=helper) if helper else tr("Kept unencrypted in docker's file.")
                toasts.tell(tr("Logged in"), where, State.DONE)
                self.read()

            job = lambda: model.add(client, self._environ, address, user, password)  # noqa: E731
            self._session.workers.run(job, told, refused)

        def refused(error: Exception) -> None:
            if dialog.is_over:
                toasts.tell(tr("Not logged in"), sentence(str(error)), State.PROBLEM)
            else:
                dialog.refuse(str(error))

        dialog = LoginDialog(self.desk, log_in, address)
        dialog.open()

    def _ask_logout(self, account: Account) -> None:
        toasts = self.desk.toasts

        def failed(error: Exception) -> None:
            toasts.tell(tr("The login could not be removed"), sentence(str(error)), State.PROBLEM)
            self.read()

        def sure(_checked: bool) -> None:
            self._session.workers.run(
                lambda: model.remove(self._environ, account.server), lambda _: self.read(), failed
            )

        Question(
            self.desk.theme,
            self.desk.icons,
            self.desk.window,
            title=tr("Log out of {name}?", name=account.name),
            facts=[tr("The login is removed for docker, too. Nothing changes at the registry.")],
            verb=tr("Log out"),
            safe=tr("Stay logged in"),
            sure=sure,
        ).open()

    def test(self, address: str) -> None:
        """Ask a registry whether it lets in the login kept for it, or anybody."""
        client = self._session.client
        name = Account(server_of(address), "", "").name
        self._tell_test("hourglass-simple", "text2", tr("{name} is asked…", name=name))

        def told(with_login: bool) -> None:
            text = (
                tr("{name} answers, and lets your login in.")
                if with_login
                else tr("{name} answers, and lets anybody in.")
            )
            self._tell_test("check-circle", "run", text.format(name=name))

        def failed(error: Exception) -> None:
            self._tell_test("warning", "bad", tr("{name}: {why}", name=name, why=sentence(str(error))))

        self._tests.run(lambda: model.test(client, self._environ, address), told, failed)

    def _tell_test(self, icon: str, tone: str, text: str) -> None:
        self.mark.set_icon(icon, tone)
        self.result.set_tone(tone if tone != "run" else "")
        self.result.setText(text)
        self.mark.show()
        self.result.show()


def _clear(column: QVBoxLayout) -> None:
    while item := column.takeAt(0):
        if widget := item.widget():
            widget.hide()
            widget.deleteLater()
