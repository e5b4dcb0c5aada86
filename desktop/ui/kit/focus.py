"""Giving the focus back to where it was, and the order in which Tab moves it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

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


def tab_in_order(parts: Sequence[QWidget]) -> None:
    """Let Tab go through `parts`, which are in one window, in this order, and inside each of them through its children
    as they were added. Qt's own order is that in which widgets were made."""
    inside = [widget for part in parts for widget in (part, *part.findChildren(QWidget))]
    stops = [widget for widget in inside if widget.focusPolicy() & Qt.FocusPolicy.TabFocus == Qt.FocusPolicy.TabFocus]
    for first, second in pairwise(stops):
        QWidget.setTabOrder(first, second)
