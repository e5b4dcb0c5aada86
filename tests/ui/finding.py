"""Finds what is visible by the words a user reads."""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QModelIndex
from PySide6.QtWidgets import QAbstractButton, QLabel, QLineEdit, QPlainTextEdit, QWidget


def indexes(model: QAbstractItemModel, parent: QModelIndex | None = None) -> list[QModelIndex]:
    """Every row of a model, depth first."""
    found = []
    for number in range(model.rowCount(parent or QModelIndex())):
        index = model.index(number, 0, parent or QModelIndex())
        found += [index, *indexes(model, index)]
    return found


def button(parent: QWidget, text: str) -> QAbstractButton:
    """The visible button that says `text`, or has it as its accessible name. Raises AssertionError."""
    shown = [b for b in parent.findChildren(QAbstractButton) if b.isVisible()]
    found = next((b for b in shown if text in (b.text(), b.accessibleName())), None)
    assert found is not None, f"no button says {text!r}, but {[b.text() or b.accessibleName() for b in shown]}"
    return found


def field(parent: QWidget, name: str) -> QLineEdit:
    """The visible text field whose accessible name is `name`. Raises AssertionError."""
    shown = [f for f in parent.findChildren(QLineEdit) if f.isVisible()]
    found = next((f for f in shown if f.accessibleName() == name), None)
    assert found is not None, f"no field is called {name!r}, but {[f.accessibleName() for f in shown]}"
    return found


def texts(parent: QWidget) -> list[str]:
    """All that the visible widgets in `parent` say: as text, as a tooltip, and to a screen reader."""
    said: list[str] = []
    for widget in (w for w in parent.findChildren(QWidget) if w.isVisible()):
        said += [widget.toolTip(), widget.accessibleName()]
        match widget:
            case QLabel() | QAbstractButton():
                said.append(widget.text())
            case QLineEdit():
                said.append(widget.displayText())  # dots for what is hidden
            case QPlainTextEdit():
                said.append(widget.toPlainText())
    return [text for text in said if text]
