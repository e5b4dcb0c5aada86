"""Giving the focus back to where it was."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget


def give_back(widget: QWidget | None) -> None:
    """Put the focus into `widget` again, if it still exists and can be seen."""
    if widget is None:
        return
    try:
        if widget.isVisible():
            widget.setFocus(Qt.FocusReason.OtherFocusReason)
    except RuntimeError:
        return  # Qt has deleted the widget meanwhile; this object is all that is left of it
