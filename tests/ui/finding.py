"""Finds what is visible by the words a user reads."""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QModelIndex
from PySide6.QtWidgets import QAbstractButton, QLineEdit, QWidget


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
