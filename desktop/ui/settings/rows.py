"""One card per setting, with the control that its kind of value needs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from desktop.settings.table import SETTINGS, Kind, Machine, Setting, shown
from desktop.ui.feed.settings import Entry
from desktop.ui.kit.buttons import Button, Link, Segments, Switch
from desktop.ui.kit.cards import Card
from desktop.ui.kit.fields import Field
from desktop.ui.kit.focus import tab_in_order
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.slider import Slider
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import sentence, tr

NUMBER_WIDTH = 96
MEMORY_STEP_MB = 128


class Row(Card):
    """Title, name for `cove config`, what it is for, control, and why a value was refused.

    Signals: chosen(text for `Setting.parse`); default_chosen().
    """

    chosen = Signal(str)
    default_chosen = Signal()

    def __init__(self, theme: Theme, icons: Icons, name: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self.name, self.setting = name, SETTINGS[name]
        self._icons = icons
        self.entry: Entry | None = None  # as it was told last
        self.title = tr(self.setting.title)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(17, 12, 16, 13)
        self.column.setSpacing(4)
        self.head = QHBoxLayout()
        self.head.setSpacing(12)
        words = QVBoxLayout()
        words.setSpacing(3)
        words.addWidget(Label(theme, self.title, "section"))
        about = Label(theme, tr(self.setting.about), "body", "text2")
        about.setWordWrap(True)
        words.addWidget(about)
        self.head.addLayout(words, 1)
        self.reset = Link(theme, tr("Use the default"))
        self.reset.setAccessibleName(tr("Use the default: {title}", title=self.title))
        self.reset.clicked.connect(self.default_chosen)
        key = Label(theme, name, "mono", "text2")
        right = QHBoxLayout()
        right.setSpacing(12)
        right.setContentsMargins(0, -3, 0, -3)  # the link has room for its focus, and stands in line with the title
        right.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignVCenter)
        right.addWidget(key, 0, Qt.AlignmentFlag.AlignVCenter)
        place = Qt.AlignmentFlag.AlignVCenter if self.is_short else Qt.AlignmentFlag.AlignTop
        self.head.addLayout(right)
        self.head.setAlignment(right, place)
        self.column.addLayout(self.head)
        self.build(theme)
        self.problem = Label(theme, "", "small", "bad")
        self.problem.setWordWrap(True)
        self.column.addWidget(self.problem)
        self.refuse("")

    @property
    def is_short(self) -> bool:
        """Whether the control stands beside the words, not below them."""
        return False

    def build(self, theme: Theme) -> None:
        """Add the control to `column` or `head`."""
        raise NotImplementedError

    def show_value(self, entry: Entry) -> None:
        """Show in the control what counts now."""
        raise NotImplementedError

    def tell(self, entry: Entry) -> None:
        self.show_value(entry)
        before, self.entry = self.entry, entry
        has_own = entry.kept is not None and entry.kept != entry.default
        self.reset.setVisible(has_own and (entry.default is not None or bool(entry.fault)))
        if entry != before:  # else what was refused stays refused, though something else has changed
            self.forget_refusal()

    def forget_refusal(self) -> None:
        """Say only what is wrong with the value in the file."""
        if (entry := self.entry) is not None and entry.fault:
            self.refuse(tr("The file has {value}: {why}", value=entry.kept, why=entry.fault))
        else:
            self.refuse("")

    def refuse(self, why: str) -> None:
        """Say beside the control why a value cannot be; "": nothing is wrong."""
        self.problem.setText(sentence(why))
        self.problem.setVisible(bool(why))


class _Typed(Field):
    """A field that tells its text at Enter and when the focus leaves it, and that Esc sets back."""

    typed = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, name: str) -> None:
        super().__init__(theme, icons, "")
        self.setAccessibleName(name)
        self._is = ""  # what counts
        self._told: str | None = None  # what is being set
        self.editingFinished.connect(self._on_finished)

    def show_text(self, text: str) -> None:
        """Show what counts, unless the user is typing something else. What was selected to be typed over stays so."""
        known = self._is if self._told is None else self._told
        if self.text() != text and (self.text().strip() == known or not self.hasFocus()):
            is_selected = self.hasFocus() and self.selectedText() == self.text()
            self.setText(text)
            self.setCursorPosition(0)
            if is_selected:
                self.selectAll()
        self._is, self._told = text, None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text() != self._is:
            self.setText(self._is)
            self.typed.emit(self._is)
            return
        super().keyPressEvent(event)

    def _on_finished(self) -> None:
        self.typed.emit(self.text().strip())

    def take(self) -> str | None:
        """The text, if it is another one than what counts or was told before."""
        text, before = self.text().strip(), self._is if self._told is None else self._told
        self._told = text if text != before else self._told
        return text if text != before else None


class NumberRow(Row):
    """A slider where the range is small, and a field."""

    def __init__(self, theme: Theme, icons: Icons, name: str, machine: Machine, parent: QWidget | None = None) -> None:
        self._bounds = _bounds(name, SETTINGS[name], machine)
        super().__init__(theme, icons, name, parent)

    @property
    def is_short(self) -> bool:
        return self._bounds is None

    def build(self, theme: Theme) -> None:
        self.field = _Typed(theme, self._icons, self.title)
        self.field.setFixedWidth(NUMBER_WIDTH)
        self.field.typed.connect(self._on_typed)
        self.slider: Slider | None = None
        row = self.head
        if self._bounds is not None:
            row = QHBoxLayout()
            row.setSpacing(16)
            row.addLayout(self._ruler(theme, *self._bounds), 1)
            self.column.addLayout(row)
        row.addWidget(self.field, 0, Qt.AlignmentFlag.AlignVCenter)
        if unit := self.setting.unit:
            row.addWidget(Label(theme, unit, "body", "text2"))

    def _ruler(self, theme: Theme, least: int, most: int, step: int) -> QVBoxLayout:
        """The slider with its ends."""
        self.slider = Slider(self.title, least, most, step)
        self.slider.settled.connect(lambda value: self.chosen.emit(str(value)))
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addWidget(self.slider)
        ends = QHBoxLayout()
        unit = self.setting.unit or tr("CPUs")
        of_machine = tr("{n} {unit} in this computer", n=f"{most:,}", unit=unit)
        ends.addWidget(Label(theme, str(least), "small", "text3"))
        ends.addStretch(1)
        ends.addWidget(Label(theme, of_machine if self.setting.for_vm else f"+{most}", "small", "text3"))
        column.addLayout(ends)
        return column

    def show_value(self, entry: Entry) -> None:
        value = entry.value
        if isinstance(value, int | float):
            self.field.show_text(str(value))
            if self.slider is not None:
                self.slider.show_value(value)

    def _on_typed(self, text: str) -> None:
        if self.field.take() is None:
            self.forget_refusal()
        else:
            self.chosen.emit(text)


class SwitchRow(Row):
    @property
    def is_short(self) -> bool:
        return True

    def build(self, theme: Theme) -> None:
        self.switch = Switch(theme, "")
        self.switch.setAccessibleName(self.title)
        self.switch.clicked.connect(lambda on: self.chosen.emit(shown(on)))
        self.head.addWidget(self.switch, 0, Qt.AlignmentFlag.AlignVCenter)

    def show_value(self, entry: Entry) -> None:
        self.switch.setChecked(bool(entry.value))


class WordRow(Row):
    """One word of a few. Without a default, the first segment leaves the choice to Cove."""

    def __init__(
        self, theme: Theme, icons: Icons, name: str, words: Sequence[str], parent: QWidget | None = None
    ) -> None:
        self._words = [*words] if SETTINGS[name].default(Machine(0, 0)) is not None else ["", *words]
        super().__init__(theme, icons, name, parent)

    def build(self, theme: Theme) -> None:
        self.segments = Segments(theme, [word or tr("best") for word in self._words], self.title)
        self.segments.chosen.connect(self._on_chosen)
        row = QHBoxLayout()
        row.setContentsMargins(0, 4, 0, 0)
        row.addWidget(self.segments)
        row.addStretch(1)
        self.column.addLayout(row)

    def show_value(self, entry: Entry) -> None:
        word = str(entry.value or "")
        if word in self._words:
            self.segments.show_choice(self._words.index(word))

    def _on_chosen(self, number: int) -> None:
        if word := self._words[number]:
            self.chosen.emit(word)
        else:
            self.default_chosen.emit()


class TextRow(Row):
    """A line of text; an empty one is no value. With `is_folder`, a button to choose one."""

    def build(self, theme: Theme) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 4, 0, 0)
        row.setSpacing(8)
        self.field = _Typed(theme, self._icons, self.title)
        self.field.setPlaceholderText(tr("none"))
        self.field.typed.connect(self._on_typed)
        row.addWidget(self.field, 1)
        if self.setting.kind is Kind.FOLDER:
            choose = Button(theme, self._icons, tr("Choose…"), "folder-open")
            choose.clicked.connect(lambda: choose_folder(self, self.chosen.emit))
            row.addWidget(choose)
        self.column.addLayout(row)
        self.note = Label(theme, "", "small", "text2")
        self.note.hide()
        self.column.addWidget(self.note)

    def show_value(self, entry: Entry) -> None:
        text = str(entry.value or "")
        self.field.show_text(text)
        if self.setting.kind is Kind.FOLDER:
            self.note.setText(_missing(text) if text else "")
            self.note.setVisible(bool(self.note.text()))

    def _on_typed(self, text: str) -> None:
        if self.field.take() is None:
            self.forget_refusal()
        elif text:
            self.chosen.emit(text)
        else:
            self.default_chosen.emit()


class FoldersRow(Row):
    """A list of folders, each with a button that removes it, and a field to add one."""

    def build(self, theme: Theme) -> None:
        self._theme_of_lines = theme
        self._folders: list[str] = []  # with what was asked for and is not told yet
        self._added = ""  # the field's text, until it is told as shared
        self._shown: list[str] = []
        self._lines: list[QWidget] = []
        self._list = QVBoxLayout()
        self._list.setContentsMargins(0, 6, 0, 4)
        self._list.setSpacing(2)
        self.column.addLayout(self._list)
        row = QHBoxLayout()
        row.setSpacing(8)
        self.field = Field(theme, self._icons, tr("Add the path of a folder"), "folder-simple")
        self.field.returnPressed.connect(self._on_typed)
        add = Button(theme, self._icons, tr("Add"), "plus")
        add.clicked.connect(self._on_typed)
        choose = Button(theme, self._icons, tr("Choose…"), "folder-open")
        choose.clicked.connect(lambda: choose_folder(self, self._add))
        row.addWidget(self.field, 1)
        row.addWidget(add)
        row.addWidget(choose)
        self._below = (self.field, add, choose)
        self.column.addLayout(row)

    def show_value(self, entry: Entry) -> None:
        value = entry.value
        folders = value if isinstance(value, list) else []
        self._folders = list(folders)
        if self._added in folders:
            if self.field.text().strip() == self._added:  # else the user is typing the next one
                self.field.clear()
            self._added = ""
        if folders == self._shown and self._lines:
            return
        self._shown = list(folders)
        for line in self._lines:
            line.hide()
            line.deleteLater()
        self._lines = [self._line(folder) for folder in folders] or [
            Label(self._theme_of_lines, tr("None: containers cannot mount folders of this computer."), "body", "text2")
        ]
        for line in self._lines:
            self._list.addWidget(line)
        tab_in_order([self.reset, *self._lines, *self._below])

    def _line(self, folder: str) -> QWidget:
        theme = self._theme_of_lines
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addWidget(ElidedLabel(theme, folder, "mono"), 1)
        if missing := _missing(folder):
            row.addWidget(Label(theme, missing, "small", "text2"))
        remove = Button(
            theme, self._icons, icon="x", kind="ghost", name=tr("Remove {folder}", folder=folder), height=28
        )
        remove.clicked.connect(lambda: self._choose([f for f in self._folders if f != folder]))
        row.addWidget(remove)
        return line

    def _on_typed(self) -> None:
        if text := self.field.text().strip():
            self._added = text
            self._add(text)

    def _add(self, folder: str) -> None:
        if "," in folder:
            self.refuse(tr("a folder with a comma in its name cannot be shared"))
        elif folder in self._folders:
            self.refuse(tr("{folder} is shared already", folder=folder))
        else:
            self._choose([*self._folders, folder])

    def _choose(self, folders: Sequence[str]) -> None:
        self._folders = list(folders)
        self.chosen.emit(",".join(folders))


def _missing(folder: str) -> str:
    return "" if os.path.isdir(os.path.expanduser(folder)) else tr("There is no such folder now.")


def choose_folder(parent: QWidget, then: Callable[[str], None]) -> None:
    """Ask for a folder of this computer."""
    dialog = QFileDialog(parent, tr("Choose a folder"), str(Path.home()))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.fileSelected.connect(then)
    dialog.open()


def _bounds(name: str, setting: Setting, machine: Machine) -> tuple[int, int, int] | None:
    """Least, most and step of the slider; None: the range is too wide for one."""
    least = setting.least or 0
    match name:
        case "vm.cpus":
            return least, machine.cpus, 1
        case "vm.memory_mb":
            return least, machine.memory_mb, MEMORY_STEP_MB
    return (least, setting.most, 1) if setting.most - least <= 16 else None


def row_for(theme: Theme, icons: Icons, name: str, machine: Machine) -> Row:
    """The card of the setting `name`."""
    setting = SETTINGS[name]
    match setting.kind:
        case Kind.NUMBER:
            return NumberRow(theme, icons, name, machine)
        case Kind.SWITCH:
            return SwitchRow(theme, icons, name)
        case Kind.WORD:
            words = [w for w in setting.words if w in machine.accelerators] if name == "vm.accelerator" else None
            return WordRow(theme, icons, name, words or setting.words)
        case Kind.FOLDERS:
            return FoldersRow(theme, icons, name)
    return TextRow(theme, icons, name)
