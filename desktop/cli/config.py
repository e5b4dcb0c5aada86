"""`cove config`: get, set and unset Cove's settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.flags import Spec, parse
from desktop.settings.store import SettingsError, Store
from desktop.settings.table import SETTINGS, Counts, Setting, Value, shown

if TYPE_CHECKING:
    from desktop.cli.app import App


T = TypeVar("T")
_NAMES = "Settings (*: from the VM's next start on):\n" + "\n".join(
    f"  {name:<22} {setting.help}{' *' if setting.counts is Counts.VM_START else ''}"
    for name, setting in SETTINGS.items()
)
GET = Spec(name="config get", usage="[NAME]", summary="Show one setting, or all that are set", most=1, more=_NAMES)
SET = Spec(name="config set", usage="NAME VALUE", summary="Change a setting", least=2, most=2, mixed=False, more=_NAMES)
UNSET = Spec(name="config unset", usage="NAME", summary="Let the default count again", least=1, most=1, more=_NAMES)


def _known(name: str) -> Setting:
    """Raises Failure."""
    if name not in SETTINGS:
        import difflib

        near = difflib.get_close_matches(name, SETTINGS, 1)
        hint = f"\nDid you mean: {near[0]}" if near else "\nRun 'cove config get --help' for the settings"
        raise Failure(f"no setting {name!r}", hint=hint)
    return SETTINGS[name]


def _get(argv: Sequence[str], app: App) -> int:
    names = parse(GET, argv).args
    if names:
        _known(names[0])
        value = _store(app, lambda store: store.value(names[0]))
        if value is None:
            raise Failure(f"{names[0]} is not set")
        print(_text(value))
        return 0
    for name, value in _store(app, Store.values).items():
        if value is not None:
            print(f"{name}={_text(value)}")
    return 0


def _set(argv: Sequence[str], app: App) -> int:
    name, text = parse(SET, argv).args
    _known(name)
    try:
        _store(app, lambda store: store.set(name, text))
    except ValueError as e:
        raise Failure(f"invalid value {text!r} for {name}: {e}") from e
    return 0


def _unset(argv: Sequence[str], app: App) -> int:
    (name,) = parse(UNSET, argv).args
    _known(name)
    _store(app, lambda store: store.unset(name))
    return 0


def _text(value: object) -> str:
    """A value of the file, which may be no value of its setting."""
    known = isinstance(value, str | int | float) or (isinstance(value, list) and all(isinstance(v, str) for v in value))
    return shown(cast(Value, value)) if known else json.dumps(value)


def _store(app: App, call: Callable[[Store], T]) -> T:
    """What `call` returns. Raises Failure, ValueError."""
    try:
        return call(Store(app.paths, app.environ))
    except (SettingsError, OSError) as e:
        raise Failure(str(e)) from e


SPEC = groups.spec("config", "Show and change the settings")
VERBS: groups.Verbs = {"get": _get, "ls": _get, "set": _set, "unset": _unset}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
