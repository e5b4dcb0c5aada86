"""Holds what was deleted against what the confirmed dialogs named.

The window's process writes a line for each dialog that was confirmed. The engine's events tell what was deleted, also
of what was made meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PySide6.QtCore import QModelIndex
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QLabel, QLineEdit, QPlainTextEdit, QWidget

from desktop.client import bin
from desktop.client.engine import ApiError, ConnectionFailed
from desktop.ui.cost.model import MEASURED
from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.dialogs import Dialog
from tests.support.engine import NativeEngine
from tests.support.waiting import wait_until

ANONYMOUS = re.compile("[0-9a-f]{64}")
FOR_GOOD = "in the bin"  # a kind of deletion: of what could have been brought back


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A dialog that was confirmed: when (Unix seconds), what it said, and the texts of its ticked boxes."""

    at_s: float
    title: str
    said: list[str]
    ticked: list[str]

    def names(self, name: str) -> bool:
        whole = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])")
        return any(whole.search(text) for text in (self.title, *self.said, *self.ticked))


# in the window's process ---------------------------------------------------------------------------------------------


def note_dialogs(journal: Path) -> None:
    """From now on each dialog of this process that is confirmed is noted in `journal`."""
    open_as_ever: Callable[[Dialog], None] = Dialog.open

    def note(dialog: Dialog) -> None:
        found = Confirmed(time.time(), dialog.windowTitle(), *_texts(dialog))
        with journal.open("a") as lines:
            lines.write(json.dumps(asdict(found)) + "\n")

    def opened(dialog: Dialog) -> None:
        dialog.accepted.connect(lambda: note(dialog))
        open_as_ever(dialog)

    Dialog.open = opened  # type: ignore[assignment]


def _texts(dialog: QWidget) -> tuple[list[str], list[str]]:
    """What a dialog says, but for boxes that are not ticked; and the texts of the boxes that are."""
    said, ticked = [], []
    for widget in (w for w in dialog.findChildren(QWidget) if not w.isHidden()):
        match widget:
            case CheckBox():
                if widget.isChecked():
                    ticked.append(widget.text())
            case QLabel() | QAbstractButton() | QLineEdit():
                said.append(widget.text())
            case QPlainTextEdit():
                said.append(widget.toPlainText())
            case QAbstractItemView() if widget.model() is not None:
                model = widget.model()
                said += [str(model.index(row, 0).data()) for row in range(model.rowCount(QModelIndex()))]
    return [text for text in said if text], ticked


def confirmed(journal: Path) -> list[Confirmed]:
    """The dialogs that are noted in `journal`."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [Confirmed(**json.loads(line)) for line in lines]


# beside the engine ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gone:
    """One thing that was deleted: its kind, id or name, all its names, and when (Unix seconds)."""

    kind: str
    key: str
    names: tuple[str, ...]
    at_s: float

    def __str__(self) -> str:
        return f"{self.kind} {' '.join(self.names) or self.key[:19]}"


@dataclass
class Deletions:
    """Follows an engine's events from its construction to `end`."""

    engine: NativeEngine
    gone: list[Gone] = field(default_factory=list)
    by_themselves: set[str] = field(default_factory=set)  # containers that are removed when they end
    binned: dict[str, str] = field(default_factory=dict)  # what can be brought back by its events: names by entry
    lost_from_bin: list[str] = field(default_factory=list)  # known at the end

    def __post_init__(self) -> None:
        self._client = self.engine.client()
        self._stream = self._client.events()
        self._untagged: dict[str, list[str]] = {}
        self._last = ""
        self._thread = threading.Thread(target=self._follow, name="events")
        self._thread.start()

    def end(self) -> None:
        """Take the events up to now."""
        with self.engine.client() as client:
            client.volume_create("the-end")
            client.volume_remove("the-end")
            wait_until(lambda: self._last == "the-end")
            there = {entry.id for entry in bin.entries(client) or ()}
        self.lost_from_bin = [name for entry, name in self.binned.items() if entry not in there]
        self._stream.close()
        self._thread.join()
        self._client.close()

    def _follow(self) -> None:
        with contextlib.suppress(ConnectionFailed, OSError, ValueError):
            for event in self._stream:
                self._take(event)

    def _take(self, event: Mapping[str, object]) -> None:
        kind, action, actor = str(event["Type"]), str(event["Action"]), event["Actor"]
        assert isinstance(actor, dict)
        key, name = str(actor["ID"]), str((actor.get("Attributes") or {}).get("name", ""))
        at_s = float(str(event["timeNano"])) / 1e9
        if (kind, action) == ("container", "create"):
            if MEASURED in (actor.get("Attributes") or {}):
                self.by_themselves.add(key)
            self._look(key)
        elif (kind, action) == ("image", "untag"):
            self._untagged.setdefault(key, []).append(name)
            self.gone.append(Gone("name of an image", key, (name,), at_s))
        elif (kind, action) == ("image", "delete"):
            self.gone.append(Gone("image", key, tuple(self._untagged.pop(key, ())), at_s))
        elif kind == "bin":
            self._take_binned(action, key, name, at_s)
        elif action == "destroy":
            if kind == "volume" and key == "the-end":
                self._last = key
            else:
                self.gone.append(Gone(kind, key, (name,) if name else (), at_s))

    def _take_binned(self, action: str, entry: str, name: str, at_s: float) -> None:
        if action == "add":
            self.binned[entry] = name
            return
        self.binned.pop(entry, None)
        if action == "delete":
            self.gone.append(Gone(FOR_GOOD, entry, (name,), at_s))

    def _look(self, container: str) -> None:
        with contextlib.suppress(ApiError), self.engine.client() as client:
            if client.inspect(container)["HostConfig"]["AutoRemove"]:
                self.by_themselves.add(container)

    def unnamed(self, dialogs: list[Confirmed]) -> list[str]:
        """What was deleted although no dialog that was confirmed before named it."""
        return [str(each) for each in self.gone if not self._is_named(each, dialogs)]

    def _is_named(self, gone: Gone, dialogs: list[Confirmed]) -> bool:
        before = [dialog for dialog in dialogs if dialog.at_s <= gone.at_s]
        if gone.kind == FOR_GOOD:  # the question before the first deletion named it, too, and promised the bin
            before = [dialog for dialog in before if "for good" in dialog.title]
        if gone.kind == "container" and gone.key in self.by_themselves:
            return True
        goes_with_container = gone.kind == "volume" and bool(ANONYMOUS.fullmatch(gone.key))
        ticked = any("anonymous volumes" in text for dialog in before for text in dialog.ticked)
        if goes_with_container and (self.by_themselves or ticked):
            return True
        short = gone.key.removeprefix("sha256:")[:12]
        return any(dialog.names(name) for dialog in before for name in (*gone.names, gone.key, short))
