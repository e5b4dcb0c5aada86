"""The fields of a container's settings, as the run dialog and the edit dialog have them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.feed.container import RESTARTS, restart_words
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.completer import Completer
from desktop.ui.kit.fields import Field
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.secrets import is_secret
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr
from desktop.ui.run.options import BadOption, MountWish, PortWish, RunWish

PROTOCOLS = ("tcp", "udp", "sctp")


class Choice(QComboBox):
    """A combo box that paints Cove's caret icon."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icons = icons
        theme.changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self._icons.paint(QPainter(self), "caret-down", "text2", self.rect().adjusted(self.width() - 30, 0, 0, 0), 12)


class Lock(Button):
    """Whether a mount is read only."""

    def __init__(self, theme: Theme, icons: Icons, *, is_on: bool) -> None:
        super().__init__(theme, icons, icon="lock-simple", kind="ghost", name="", height=28)
        self.is_on = not is_on
        self._turn()
        self.clicked.connect(self._turn)

    def _turn(self) -> None:
        self.is_on = not self.is_on
        self.set_icon("lock-simple" if self.is_on else "lock-simple-open")
        self.setAccessibleName(tr("Read only") if self.is_on else tr("Read and write"))
        self.setToolTip(self.accessibleName())


class FieldRows(QWidget):
    """Rows of fields that can be added and removed."""

    def __init__(self, theme: Theme, icons: Icons, changed: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._icons, self._changed = theme, icons, changed
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self.rows: list[list[QWidget]] = []

    def add(self, widgets: list[QWidget], stretches: list[int]) -> None:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        for widget, stretch in zip(widgets, stretches, strict=True):
            row.addWidget(widget, stretch)
        remove = Button(self._theme, self._icons, icon="x", kind="ghost", name=tr("Remove"), height=28)
        row.addWidget(remove)
        self._column.addWidget(line)
        self.rows.append(widgets)

        def on_remove() -> None:
            self.rows.remove(widgets)
            line.hide()
            line.deleteLater()
            self._changed()

        remove.clicked.connect(on_remove)
        for widget in widgets:
            if isinstance(widget, QLineEdit):
                widget.textChanged.connect(self._changed)
            elif isinstance(widget, QComboBox):
                widget.currentIndexChanged.connect(self._changed)
        self._changed()


class RunForm(QScrollArea):
    """The fields of a `RunWish`, but for `remove`. `is_edit`: of a container that there is: without image and name.

    Signals: changed(), entered() by Return in a field.
    """

    changed = Signal()
    entered = Signal()

    def __init__(
        self, theme: Theme, icons: Icons, wish: RunWish, images: list[str], *, is_edit: bool = False,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.theme, self.icons, self._is_edit = theme, icons, is_edit
        self._ready = False
        self._errors: dict[str, Label] = {}
        self._make_fields(images)
        self.setWidgetResizable(True)
        self.setWidget(self._build_form())
        self._fill(wish)
        self._connect()
        for line in self.findChildren(QLineEdit):
            line.setCursorPosition(0)
        self._ready = True

    def _make_fields(self, images: list[str]) -> None:
        """Create the input widgets; `_build_form` places them."""
        theme, icons = self.theme, self.icons
        self.image = Field(theme, icons, tr("an image, such as debian:trixie"))
        self.image.setAccessibleName(tr("Image"))
        self.image.setCompleter(Completer(images, self))
        self.name = Field(theme, icons, tr("generated, if empty"))
        self.name.setAccessibleName(tr("Name"))
        self.command = Field(theme, icons, tr("the image's default, if empty"))
        self.command.setAccessibleName(tr("Command"))
        self.memory = Field(theme, icons, tr("no limit"))
        self.memory.setAccessibleName(tr("Memory in MB"))
        self.cpus = Field(theme, icons, tr("no limit"))
        self.cpus.setAccessibleName(tr("CPUs"))
        self.restart = Choice(theme, icons)
        self.restart.setAccessibleName(tr("Restart"))
        self.restart.addItems([restart_words(policy) for policy in RESTARTS])
        self.ports = FieldRows(theme, icons, self._on_changed)
        self.environment = FieldRows(theme, icons, self._on_changed)
        self.mounts = FieldRows(theme, icons, self._on_changed)

    def _build_form(self) -> QWidget:
        """The fields in two columns, each under its title."""
        inner = QWidget()
        inner.setObjectName("scrolled")
        grid = QGridLayout(inner)
        grid.setContentsMargins(0, 6, 0, 6)
        grid.setHorizontalSpacing(32)
        grid.setVerticalSpacing(18)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self._place_fields(grid)
        self._place_rows(grid)
        self._place_limits(grid)
        grid.setRowStretch(4, 1)
        return inner

    def _place_fields(self, grid: QGridLayout) -> None:
        if not self._is_edit:
            grid.addLayout(self._section(tr("Image"), "", [self.image], "image"), 0, 0)
            grid.addLayout(self._section(tr("Name"), "", [self.name], "name"), 1, 0)
        row, column = (1, 0) if self._is_edit else (0, 1)
        grid.addLayout(self._section(tr("Command"), "", [self.command], "command"), row, column)
        restart_note = tr("when it ends, or the engine starts")
        grid.addLayout(self._section(tr("Restart"), restart_note, [self.restart], "restart"), 1, 1)

    def _place_rows(self, grid: QGridLayout) -> None:
        links = [(tr("Add a port"), lambda: self._add_port(PortWish(host_port="", port="")))]
        grid.addLayout(self._section(tr("Ports"), tr("this computer, container"), [self.ports], "ports", links), 2, 0)
        links = [
            (tr("Add a volume"), lambda: self._add_mount(MountWish(source="", target=""))),
            (tr("Add a folder…"), self._on_folder),
        ]
        note_text = tr("source, place in the container")
        grid.addLayout(self._section(tr("Volumes and folders"), note_text, [self.mounts], "mounts", links), 2, 1)
        links = [(tr("Add a variable"), lambda: self._add_variable("", ""))]
        grid.addLayout(self._section(tr("Environment"), "", [self.environment], "environment", links), 3, 0)

    def _place_limits(self, grid: QGridLayout) -> None:
        limits = QHBoxLayout()
        limits.setSpacing(12)
        for field, unit in ((self.memory, tr("MB memory")), (self.cpus, tr("CPUs"))):
            limits.addWidget(_with_unit(self.theme, field, unit))
        holder = QWidget()
        holder.setLayout(limits)
        limits.setContentsMargins(0, 0, 0, 0)
        grid.addLayout(self._section(tr("Limits"), "", [holder], "memory"), 3, 1)

    def _fill(self, wish: RunWish) -> None:
        self.image.setText(wish.image)
        self.name.setText(wish.name)
        self.command.setText(wish.command)
        self.memory.setText(wish.memory)
        self.cpus.setText(wish.cpus)
        self.restart.setCurrentIndex(RESTARTS.index(wish.restart) if wish.restart in RESTARTS else 0)
        for port in wish.ports:
            self._add_port(port)
        for mount in wish.mounts:
            self._add_mount(mount)
        for name, value in wish.environment:
            self._add_variable(name, value)

    def _connect(self) -> None:
        for field in (self.image, self.name, self.command, self.memory, self.cpus):
            field.textChanged.connect(self._on_changed)
            field.returnPressed.connect(self.entered)
        self.restart.currentIndexChanged.connect(self._on_changed)

    def field_to_focus(self, wish: RunWish, focus: str) -> QWidget:
        """The field named by `focus`; else the name if the image is given, else the image."""
        fields: dict[str, QWidget] = {"name": self.name, "command": self.command, "image": self.image}
        if focus == "ports" and self.ports.rows:
            fields["ports"] = self.ports.rows[0][0]
        return fields.get(focus, self.name if wish.image else self.image)

    def _section(
        self,
        title: str,
        note: str,
        widgets: list[QWidget],
        key: str,
        links: list[tuple[str, Callable[[], None]]] | None = None,
    ) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(6)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(Label(self.theme, title, "smallsection"))
        head.addWidget(Label(self.theme, note, "small", "text2"))
        head.addStretch(1)
        column.addLayout(head)
        for widget in widgets:
            column.addWidget(widget)
        error = Label(self.theme, "", "small", "bad")
        error.setWordWrap(True)
        error.hide()
        self._errors[key] = error
        column.addWidget(error)
        if links:
            row = QHBoxLayout()
            row.setSpacing(18)
            for text, call in links:
                link = Link(self.theme, text)
                link.clicked.connect(lambda _=False, c=call: c())
                row.addWidget(link)
            row.addStretch(1)
            column.addLayout(row)
        column.addStretch(1)
        return column

    # rows ------------------------------------------------------------------------------------------------------------

    def _add_port(self, port: PortWish) -> None:
        there = Field(self.theme, self.icons, tr("any free"))
        there.setAccessibleName(tr("Port on this computer"))
        here = Field(self.theme, self.icons, tr("port"))
        here.setAccessibleName(tr("Port in the container"))
        there.setText(port.host_port)
        here.setText(port.port)
        protocol = Choice(self.theme, self.icons)
        protocol.setAccessibleName(tr("Protocol"))
        protocol.addItems([word.upper() for word in PROTOCOLS])
        protocol.setCurrentIndex(PROTOCOLS.index(port.protocol) if port.protocol in PROTOCOLS else 0)
        arrow = IconLabel(self.theme, self.icons, "arrow-right", "text3")
        self.ports.add([there, arrow, here, protocol], [5, 0, 3, 0])
        if self._ready:
            there.setFocus()

    def _add_mount(self, mount: MountWish) -> None:
        source = Field(
            self.theme, self.icons, tr("volume"), "database" if not mount.source.startswith("/") else "folder-simple"
        )
        source.setAccessibleName(tr("Volume or folder"))
        target = Field(self.theme, self.icons, "/data")
        target.setAccessibleName(tr("Place in the container"))
        source.setText(mount.source)
        target.setText(mount.target)
        arrow = IconLabel(self.theme, self.icons, "arrow-right", "text3")
        lock = Lock(self.theme, self.icons, is_on=mount.read_only)
        lock.clicked.connect(self._on_changed)
        self.mounts.add([source, arrow, target, lock], [1, 0, 1, 0])
        if self._ready:
            source.setFocus()

    def _add_variable(self, name: str, value: str) -> None:
        key = Field(self.theme, self.icons, tr("NAME"))
        key.setAccessibleName(tr("Variable"))
        worth = Field(self.theme, self.icons, tr("value"))
        worth.setAccessibleName(tr("Value"))
        key.setText(name)
        worth.setText(value)
        eye = Button(self.theme, self.icons, icon="eye", kind="ghost", name=tr("Show the value"), height=28)

        def hide(hidden: bool) -> None:
            worth.setEchoMode(QLineEdit.EchoMode.Password if hidden else QLineEdit.EchoMode.Normal)
            eye.set_icon("eye" if hidden else "eye-slash")

        eye.clicked.connect(lambda: hide(worth.echoMode() == QLineEdit.EchoMode.Normal))
        key.editingFinished.connect(lambda: hide(True) if is_secret(key.text()) else None)
        hide(is_secret(name))
        self.environment.add([key, worth, eye], [1, 1, 0])
        if self._ready:
            key.setFocus()

    def _on_folder(self) -> None:
        dialog = QFileDialog(self, tr("A folder of this computer"))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda path: self._add_mount(MountWish(source=path, target="")))
        dialog.open()

    # result ----------------------------------------------------------------------------------------------------------

    def wish(self) -> RunWish:
        """The present content of the fields, without empty rows."""
        ports = [
            PortWish(host_port=_text(r[0]), port=_text(r[2]), protocol=_text(r[3]).lower())
            for r in self.ports.rows
            if _text(r[0]) or _text(r[2])
        ]
        mounts = [
            MountWish(source=_text(r[0]), target=_text(r[2]), read_only=isinstance(r[3], Lock) and r[3].is_on)
            for r in self.mounts.rows
            if _text(r[0]) or _text(r[2])
        ]
        environment = [
            (_text(r[0]), r[1].text() if isinstance(r[1], QLineEdit) else "")
            for r in self.environment.rows
            if _text(r[0]) or _text(r[1])
        ]
        return RunWish(
            image=_text(self.image),
            name=_text(self.name),
            command=_text(self.command),
            ports=tuple(ports),
            mounts=tuple(mounts),
            environment=tuple(environment),
            memory=_text(self.memory),
            cpus=_text(self.cpus),
            restart=RESTARTS[max(0, self.restart.currentIndex())],
        )

    def _on_changed(self) -> None:
        if self._ready:
            for error in self._errors.values():
                error.hide()
            self.changed.emit()

    def tell(self, error: BadOption) -> None:
        """Show what is wrong with a field below it."""
        key = "memory" if error.field == "cpus" else error.field
        self._errors[key].setText(str(error))
        self._errors[key].show()


def _text(widget: QWidget) -> str:
    if isinstance(widget, QLineEdit):
        return widget.text().strip()
    return widget.currentText() if isinstance(widget, QComboBox) else ""


def _with_unit(theme: Theme, field: Field, unit: str) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    row.addWidget(field, 1)
    row.addWidget(Label(theme, unit, "small", "text2"))
    return holder
