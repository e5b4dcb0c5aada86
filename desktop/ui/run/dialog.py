"""The run dialog: the form of a container's settings, and the equivalent command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QWidget

from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr
from desktop.ui.run.form import RunForm
from desktop.ui.run.options import BadOption, RunWish


class RunDialog(Dialog):
    """Asks for a `RunWish`; `run(wish)` is called when it is valid. `images` are offered as completions."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        window: QWidget,
        *,
        wish: RunWish,
        images: list[str],
        run: Callable[[RunWish], None],
        focus: str = "",
        note: str = "",
    ) -> None:
        title = tr("Run {image}", image=wish.image) if wish.image else tr("Run an image")
        super().__init__(theme, icons, title, window, width=840)
        self._run = run
        self.body.setContentsMargins(28, 18, 28, 20)
        self.body.setSpacing(12)
        self.add_head(title, note)
        self.form = RunForm(theme, icons, wish, images)
        self.body.addWidget(self.form, 1)
        self._add_foot(wish.remove)
        self.form.changed.connect(self._on_changed)
        self.form.entered.connect(self._on_run)
        self._on_changed()
        self.form.setMinimumHeight(min(380, max(200, window.height() - 330)))
        self._first = self.form.field_to_focus(wish, focus)

    def _add_foot(self, remove: bool) -> None:
        """Add the equivalent command and the buttons."""
        self.well = CodeWell(self.theme, self.icons)
        self.body.addWidget(self.well)
        self.remove = CheckBox(self.theme, tr("Delete the container when it ends"), on=remove)
        self.remove.clicked.connect(self._on_changed)
        self.foot.addWidget(self.remove)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), tr("Run"), "primary", "play")
        self.act.clicked.connect(self._on_run)

    def first_focus(self) -> QWidget:
        return self._first

    def wish(self) -> RunWish:
        """The present content of the fields, without empty rows."""
        return replace(self.form.wish(), remove=self.remove.isChecked())

    def _on_changed(self) -> None:
        wish = self.wish()
        width = max(40, int(720 / QFontMetrics(self.theme.font("mono")).horizontalAdvance("0")))
        self.well.set_text(wish.command_lines(width), wish.command_line())

    def _on_run(self) -> None:
        wish = self.wish()
        try:
            wish.check()
        except BadOption as e:
            self.form.tell(e)
            return
        self.accept()
        self._run(wish)
