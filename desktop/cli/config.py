"""`cove config`: get, set and unset the settings in Cove's configuration file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from desktop import context
from desktop.cli import groups
from desktop.cli.app import Failure
from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App


class Setting(NamedTuple):
    """One setting: what it is for, and which values it may have.

    `words`: one of these; `least`, `most`: a number, whole unless `may_have_parts`; `is_list`: comma-separated; else
    any text.
    """

    help: str
    words: tuple[str, ...] = ()
    least: int | None = None
    most: int = 1 << 24
    may_have_parts: bool = False
    is_list: bool = False
    is_switch: bool = False  # true or false

    def parse(self, text: str) -> object:
        """The value as the file has it. Raises ValueError saying what is right."""
        if self.words and text not in self.words:
            raise ValueError(f"one of {', '.join(self.words)} is meant")
        if self.is_switch:
            return text == "true"
        if self.least is not None:
            try:
                number = float(text) if self.may_have_parts and not text.isdecimal() else int(text)
            except ValueError:
                number = self.least - 1
            if not self.least <= number <= self.most:
                kind = "number" if self.may_have_parts else "whole number"
                raise ValueError(f"a {kind} from {self.least} to {self.most} is meant")
            return number
        return [part for part in text.split(",") if part] if self.is_list else text


SETTINGS = {
    "context": Setting("where containers run", words=tuple(context.CONTEXTS)),
    "vm.memory_mb": Setting("the VM's memory in MB", least=384),
    "vm.cpus": Setting("how many processors the VM has", least=1, most=255),
    "vm.disk_gb": Setting("the greatest size of the VM's disk in GB", least=1, most=1 << 20),
    "vm.accelerator": Setting("how the VM runs; unset: the best that works", words=("kvm", "hvf", "whpx", "tcg")),
    "vm.save_after_minutes": Setting(
        "after how long an idle VM is saved; 0: never", least=0, most=1 << 20, may_have_parts=True
    ),
    "ports.publish": Setting("where ports are published that name no address", words=("loopback", "all")),
    "ports.host_network": Setting(
        "whether what --network host listens on appears here", words=("true", "false"), is_switch=True
    ),
    "folders.shared": Setting("the folders that containers in the VM may use, comma-separated", is_list=True),
    "proxies.http": Setting("proxy for http://; with one of the three, this machine's do not count"),
    "proxies.https": Setting("proxy for https://"),
    "proxies.no_proxy": Setting("hosts that are reached without a proxy"),
    "certificates": Setting("folder with authorities that the VM trusts"),
}
_NAMES = "Settings:\n" + "\n".join(f"  {name:<22} {setting.help}" for name, setting in SETTINGS.items())
GET = Spec(name="config get", usage="[NAME]", summary="Show one setting, or all that are set", most=1, more=_NAMES)
SET = Spec(name="config set", usage="NAME VALUE", summary="Change a setting", least=2, most=2, more=_NAMES)
UNSET = Spec(name="config unset", usage="NAME", summary="Let the default count again", least=1, most=1, more=_NAMES)


def _known(name: str) -> Setting:
    """Raises Failure."""
    if name not in SETTINGS:
        import difflib

        near = difflib.get_close_matches(name, SETTINGS, 1)
        hint = f"\nDid you mean: {near[0]}" if near else "\nRun 'cove config get --help' for the settings"
        raise Failure(f"no setting {name!r}", hint=hint)
    return SETTINGS[name]


def _value(settings: object, name: str) -> object:
    """None: it is not set."""
    for part in name.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _get(argv: Sequence[str], app: App) -> int:
    names = parse(GET, argv).args
    settings = _read(app)
    if names:
        _known(names[0])
        value = _value(settings, names[0])
        if value is None:
            raise Failure(f"{names[0]} is not set")
        print(_shown(value))
        return 0
    for name in SETTINGS:
        if (value := _value(settings, name)) is not None:
            print(f"{name}={_shown(value)}")
    return 0


def _set(argv: Sequence[str], app: App) -> int:
    name, text = parse(SET, argv).args
    setting = _known(name)
    try:
        _change(app, name, setting.parse(text))
    except ValueError as e:
        raise Failure(f"invalid value {text!r} for {name}: {e}") from e
    return 0


def _unset(argv: Sequence[str], app: App) -> int:
    (name,) = parse(UNSET, argv).args
    _known(name)
    _change(app, name, None)
    return 0


def _read(app: App) -> dict[str, object]:
    """Raises Failure."""
    try:
        return context.read_settings(app.paths)
    except context.ContextError as e:
        raise Failure(str(e)) from e


def _change(app: App, name: str, value: object) -> None:
    """Write one setting; None removes it. Raises Failure."""
    settings = _read(app)
    group, dot, key = name.partition(".")
    inner = settings.get(group) if dot else settings
    place = dict(inner) if isinstance(inner, dict) else {}
    if value is None:
        place.pop(key or group, None)
    else:
        place[key or group] = value
    changed = {**settings, group: place} if dot else place
    if dot and not place:
        del changed[group]
    try:
        context.write_settings(app.paths, changed)
    except context.ContextError as e:
        raise Failure(str(e)) from e


SPEC = groups.spec("config", "Show and change the settings. They count from the VM's next start on")
VERBS: groups.Verbs = {"get": _get, "ls": _get, "set": _set, "unset": _unset}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
