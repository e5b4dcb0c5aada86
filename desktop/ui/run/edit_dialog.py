"""The edit dialog: the form of a container's settings, what would be different, and what that costs."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QWidget

from desktop.ui.kit.dialogs import Dialog, Names
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, shortened, tr
from desktop.ui.run.editing import differences, needs_new
from desktop.ui.run.form import RunForm
from desktop.ui.run.options import BadOption, RunWish

LISTED_WIDTH = 770


class EditDialog(Dialog):
    """Asks how `wish`, the settings of a container, shall be; `edit(wish)` is called if something is different.

    `own_files`: how many files it has written outside of its volumes; `is_running`; `project`: its Compose project.
    """

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        window: QWidget,
        *,
        wish: RunWish,
        own_files: int,
        is_running: bool,
        project: str,
        edit: Callable[[RunWish], None],
    ) -> None:
        super().__init__(theme, icons, tr("Edit {name}", name=wish.name), window, width=840)
        self._old, self._edit = wish, edit
        self._own_files, self._is_running, self._project = own_files, is_running, project
        self.body.setContentsMargins(28, 18, 28, 20)
        self.body.setSpacing(12)
        self.add_head(tr("Edit {name}", name=wish.name), wish.image)
        self.form = RunForm(theme, icons, wish, [], is_edit=True)
        self.form.setMinimumHeight(min(340, max(180, window.height() - 400)))
        self.body.addWidget(self.form, 1)
        self.body.addWidget(Label(theme, tr("What will be different"), "smallsection"))
        self.lines = Names(theme, (), LISTED_WIDTH, "\n")
        self.body.addWidget(self.lines)
        self.cost = Label(theme, "", "small", "text2")
        self.cost.setWordWrap(True)
        self.body.addWidget(self.cost)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), tr("Change it"), "primary")
        self.act.clicked.connect(self._on_sure)
        self.form.changed.connect(self._on_changed)
        self.form.entered.connect(self._on_sure)
        self._on_changed()

    def first_focus(self) -> QWidget:
        return self.form.command

    def _on_changed(self) -> None:
        after = self.form.wish()
        lines = differences(self._old, after)
        self.lines.tell(lines or [tr("Nothing yet")])
        self.act.setEnabled(bool(lines))
        is_new = bool(lines) and needs_new(self._old, after)
        name = shortened(self._old.name)
        self.act.set_label(tr("Re-create {name}", name=name) if is_new else tr("Change {name}", name=name))
        self.cost.setText(" ".join(self._costs(is_new)) if lines else "")
        self.fit()

    def _costs(self, is_new: bool) -> list[str]:
        if not is_new:
            return [tr("It goes on meanwhile.") if self._is_running else tr("It holds from the next start on.")]
        costs = [tr("A new container takes its place; if that does not start, everything is as before.")]
        if self._is_running:
            costs.append(tr("It is stopped for a moment."))
        if self._own_files:
            costs.append(
                counted(
                    self._own_files,
                    "{n} file that it has written outside of volumes is lost.",
                    "{n} files that it has written outside of volumes are lost.",
                )
            )
        if self._project:
            costs.append(tr("Compose will undo this at its next “up”, as the project's file says otherwise."))
        return costs

    def _on_sure(self) -> None:
        after = self.form.wish()
        try:
            after.check()
        except BadOption as e:
            self.form.tell(e)
            return
        if not self.act.isEnabled():
            return
        self.accept()
        self._edit(after)
