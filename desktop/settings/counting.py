"""What counts of the settings in the file now, for those who act on them."""

from __future__ import annotations

from pathlib import Path

from desktop import context
from desktop.context import ContextError
from desktop.settings.table import SETTINGS, Machine, Value

_ANY = Machine(memory_mb=0, cpus=0)


def counting(file: Path, name: str) -> Value | None:
    """What `file` has for the setting, else its default, which must be the same on each machine. Raises ValueError
    saying what is wrong with it, and where."""
    setting, (group, _, key) = SETTINGS[name], name.rpartition(".")
    place = group_in(file, group)
    if key not in place:
        return setting.default(_ANY)
    try:
        return setting.checked(place[key])
    except ValueError as e:
        raise ValueError(f"{name} in {file}: {e}") from e


def group_in(file: Path, group: str) -> dict[str, object]:
    """What `file` has below the name `group`; "": all. Raises ValueError."""
    try:
        kept = context.settings_in(file)
    except ContextError as e:
        raise ValueError(f"the settings can't be read: {e}") from e
    place = kept.get(group, {}) if group else kept
    if not isinstance(place, dict):
        raise ValueError(f"{group} in {file} must be an object, not {place!r}")
    return place
