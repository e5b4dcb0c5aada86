"""Names shortened so that what tells them apart stays."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics


def fit_start(text: str, room: int, metrics: QFontMetrics) -> str:
    """The beginning of `text` in `room` pixels."""
    return metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)


def fit_image(name: str, room: int, metrics: QFontMetrics) -> str:
    """An image's name in `room` pixels. First its registry goes, then the folders of its repository; the last part of
    the repository and the tag stay as long as they can."""
    if metrics.horizontalAdvance(name) <= room:
        return name
    parts = name.split("/")
    for start in range(1, len(parts)):
        shorter = "…/" + "/".join(parts[start:])
        if metrics.horizontalAdvance(shorter) <= room:
            return shorter
    return metrics.elidedText(parts[-1], Qt.TextElideMode.ElideMiddle, room)
