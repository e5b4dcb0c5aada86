"""Finds texts that have less room than they need."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractButton, QLabel, QWidget

from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.labels import ElidedLabel

PADDING = 2  # of what a widget asks for beyond its text


def clipped(top: QWidget) -> list[str]:
    """The texts of visible labels and buttons inside `top` that are cut off; not of those that shorten themselves."""
    found = []
    for widget in top.findChildren(QWidget):
        shortens = isinstance(widget, ElidedLabel) or (isinstance(widget, CheckBox) and widget.minimumWidth())
        if not widget.isVisible() or shortens:
            continue
        text = widget.text() if isinstance(widget, QLabel | QAbstractButton) else ""
        if not text:
            continue
        needed = widget.sizeHint()
        if isinstance(widget, QLabel) and widget.wordWrap():
            if widget.height() < widget.heightForWidth(widget.width()):
                found.append(f"{widget.height()} of {widget.heightForWidth(widget.width())} px high: {text}")
        elif widget.width() + PADDING < needed.width() or widget.height() < min(
            needed.height(), widget.fontMetrics().height()
        ):
            found.append(f"{widget.width()} of {needed.width()} by {widget.height()} of {needed.height()} px: {text}")
    return found
