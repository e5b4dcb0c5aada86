"""The dialog that logs in to a registry. It stays open until the registry has let the user in."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QLineEdit, QWidget

from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.fields import Field
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import sentence, tr


class LoginDialog(Dialog):
    """`log_in(address, user, password)` is called with what was filled in; then call `refuse` or `accept`, unless the
    dialog `is_over`: the user has closed it meanwhile."""

    def __init__(self, desk: Desk, log_in: Callable[[str, str, str], None], address: str = "") -> None:
        super().__init__(desk.theme, desk.icons, tr("Log in to a registry"), desk.window)
        theme, icons = desk.theme, desk.icons
        self._log_in = log_in
        self.is_over = False
        self.finished.connect(self._on_over)
        self.body.addWidget(Label(theme, tr("Log in to a registry"), "heading"))
        about = Label(theme, tr("The registry checks user and password. docker uses the same logins."), "body", "text2")
        about.setWordWrap(True)
        self.body.addWidget(about)
        self.body.addSpacing(6)
        self.address = Field(theme, icons, tr("Registry, e.g. ghcr.io; empty: Docker Hub"))
        self.address.setText(address)
        self.user = Field(theme, icons, tr("User"))
        self.password = Field(theme, icons, tr("Password or access token"))
        self.password.setEchoMode(QLineEdit.EchoMode.Password)
        for field in (self.address, self.user, self.password):
            self.body.addWidget(field)
            field.textChanged.connect(lambda: self._say("", "bad"))
            field.returnPressed.connect(self._on_sure)
        self.problem = Label(theme, "", "small", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.body.addWidget(self.problem)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), tr("Log in"), "primary")
        self.act.clicked.connect(self._on_sure)

    def first_focus(self) -> QWidget:
        return self.user if self.address.text() else self.address

    def refuse(self, why: str) -> None:
        self.act.setEnabled(True)
        self._say(sentence(why), "bad")
        self.password.setFocus()
        self.password.selectAll()

    def _on_over(self) -> None:
        self.is_over = True

    def _say(self, text: str, tone: str) -> None:
        self.problem.set_tone(tone)
        self.problem.setText(text)
        if self.problem.isVisible() != bool(text):
            self.problem.setVisible(bool(text))
            self.fit()

    def _on_sure(self) -> None:
        if not self.act.isEnabled():
            return
        for field, why in ((self.user, tr("A user is needed.")), (self.password, tr("A password is needed."))):
            if not field.text().strip():
                self._say(why, "bad")
                field.setFocus()
                return
        self.act.setEnabled(False)
        self._say(tr("The registry is asked…"), "text2")
        self._log_in(self.address.text().strip(), self.user.text().strip(), self.password.text())
