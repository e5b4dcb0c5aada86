"""Theme and zoom are settings: what the user chooses is kept, and what `cove config` sets is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from PySide6.QtCore import QObject

from desktop.settings.store import SettingsError, Store
from desktop.settings.table import DESKTOP, LANGUAGE, SETTINGS, THEME, ZOOM, shown
from desktop.ui.feed.settings import Reading, SettingsFeed
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts
from desktop.ui.kit.tokens import SCHEMES, Scheme
from desktop.ui.kit.words import sentence, tr


def kept_theme(store: Store, wanted: Scheme | None) -> Theme:
    """The theme that was chosen last, or `wanted` for this time."""
    values = _values(store)
    return Theme(wanted or _scheme(values.get(THEME)), _zoom(values.get(ZOOM)))


def kept_language(store: Store) -> object:
    """The language that was chosen last, a word of the setting."""
    return _values(store).get(LANGUAGE, DESKTOP)


def _values(store: Store) -> Mapping[str, object]:
    """All settings. Without a file that can be read, none: the page of settings says what is wrong with it."""
    try:
        return store.values()
    except SettingsError:
        return {}


class Look(QObject):
    """Keeps theme and settings the same."""

    def __init__(self, theme: Theme, feed: SettingsFeed, toasts: Toasts, parent: QObject) -> None:
        super().__init__(parent)
        self._theme, self._feed, self._toasts = theme, feed, toasts
        self._seen: tuple[Scheme | None, int] | None = None  # in the settings
        self._shown = (theme.chosen, theme.zoom)
        theme.changed.connect(self._keep)
        feed.changed.connect(self._follow)

    def _keep(self) -> None:
        """Remember what was changed, and only that: a theme for one time stays one for one time."""
        (scheme, zoom), self._shown = self._shown, (self._theme.chosen, self._theme.zoom)
        if self._theme.chosen != scheme:
            self._feed.set(THEME, self._theme.chosen or DESKTOP, self._refuse)
        if self._theme.zoom != zoom:
            self._feed.set(ZOOM, shown(self._theme.zoom), self._refuse)

    def _follow(self, reading: Reading) -> None:
        now = (_scheme(reading.entries[THEME].value), _zoom(reading.entries[ZOOM].value))
        before, self._seen = self._seen, now
        if before is None:
            return
        if now[0] != before[0] and now[0] != self._theme.chosen:
            self._shown = (now[0], self._theme.zoom)
            self._theme.set_scheme(now[0])
        if now[1] != before[1] and now[1] != self._theme.zoom:
            self._shown = (self._theme.chosen, now[1])
            self._theme.set_zoom(now[1])

    def _refuse(self, why: str) -> None:
        self._toasts.tell(tr("The look could not be kept"), sentence(why), State.PROBLEM)


def _scheme(value: object) -> Scheme | None:
    return cast(Scheme, value) if value in SCHEMES else None


def _zoom(value: object) -> int:
    setting = SETTINGS[ZOOM]
    least, most = setting.least or 0, setting.most
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else 0
