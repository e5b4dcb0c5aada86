"""Every setting that there is: what it is for, and which values it may have.

`cove config`, the window's settings page, the VM and the host agent read this table and no other. A setting's value is
at its dotted name in config.json (`desktop.context`), but for the ones that the platform keeps (`place`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

Value = str | int | float | bool | list[str]

DEFAULT_MEMORY_MB: Final = 2048
SMALLEST_MEMORY_MB: Final = 384  # the system and engine use 125; a container must fit beside them
LARGEST_CPUS: Final = 4  # without a setting
START_AT_LOGIN: Final = "start_at_login"
THEME, ZOOM, LANGUAGE = "window.theme", "window.zoom", "window.language"
DESKTOP: Final = "desktop"  # the word for following the desktop's own choice
LANGUAGES: Final = ("en", "de")  # of the window


class Machine(NamedTuple):
    """What of this machine bounds the VM. `disk_gb`: the size of the VM's disk, which never shrinks; 0: there is
    none. `accelerators`: those that may work here. `has_native`: containers can run on it without a VM."""

    memory_mb: int
    cpus: int
    disk_gb: int = 0
    accelerators: tuple[str, ...] = ()
    has_native: bool = False


class Kind(StrEnum):
    """The form of a value."""

    WORD = "word"  # one of `words`
    SWITCH = "switch"  # true or false
    NUMBER = "number"  # whole, unless `may_have_parts`
    FOLDERS = "folders"  # absolute paths, comma-separated
    FOLDER = "folder"  # one absolute path
    PROXY = "proxy"  # a proxy's URL, or HOST:PORT
    TEXT = "text"


class Counts(StrEnum):
    """From when on a changed value counts."""

    NOW = "now"  # within seconds
    VM_START = "vm start"  # from the VM's next start on
    WINDOW_START = "window start"  # from the window's next start on


class Setting(NamedTuple):
    """One setting. `help` is a phrase, for `cove config --help`; `title` and `about` are for a page of settings.
    `default` is what counts without a value; None: nothing. `for_vm`: it means nothing to an engine without a VM."""

    help: str
    kind: Kind
    title: str
    group: str
    about: str = ""
    words: tuple[str, ...] = ()
    least: int | None = None
    most: int = 1 << 24
    may_have_parts: bool = False
    unit: str = ""
    default: Callable[[Machine], Value | None] = lambda _machine: None
    counts: Counts = Counts.NOW
    for_vm: bool = True

    def parse(self, text: str) -> Value:
        """The value as the file has it. Raises ValueError saying what is right."""
        match self.kind:
            case Kind.SWITCH:
                value: object = {"true": True, "false": False}.get(text, text)
            case Kind.NUMBER:
                value = _number(text)
            case Kind.FOLDERS:
                value = [part for part in text.split(",") if part]
            case _:
                value = text
        return self.checked(value)

    def checked(self, value: object) -> Value:
        """`value`, as it is in the file. Raises ValueError saying what is right."""
        match self.kind:
            case Kind.WORD if value not in self.words:
                raise ValueError(f"one of {', '.join(self.words)} is meant")
            case Kind.SWITCH if not isinstance(value, bool):
                raise ValueError("one of true, false is meant")
            case Kind.NUMBER:
                self._check_number(value)
            case Kind.FOLDERS:
                if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
                    raise ValueError("a list of paths is meant")
                for path in value:
                    below_root(path)
            case Kind.FOLDER | Kind.PROXY | Kind.TEXT:
                if not isinstance(value, str):
                    raise ValueError("a text is meant")
                if self.kind is Kind.FOLDER:
                    below_root(value)
                if self.kind is Kind.PROXY and value:
                    _check_proxy(value)
        assert isinstance(value, str | int | float | list)
        return value

    def _check_number(self, value: object) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        fits = whole or (self.may_have_parts and isinstance(value, float))
        least = self.least if self.least is not None else -self.most
        if not fits or not isinstance(value, int | float) or not least <= value <= self.most:
            kind = "number" if self.may_have_parts else "whole number"
            raise ValueError(f"a {kind} from {least} to {self.most} is meant")


def shown(value: Value) -> str:
    """The text that `Setting.parse` reads as `value`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list) else str(value)


def below_root(path: str) -> str:
    """The absolute path of a folder, `~` resolved. Raises ValueError for / and for what is relative: the VM's own
    paths, such as a socket in /run, must keep their meaning."""
    absolute = os.path.normpath(os.path.expanduser(path))
    if not path or not os.path.isabs(absolute) or absolute == os.path.dirname(absolute):
        raise ValueError(f"the absolute path of a folder below / is meant, not {path or 'an empty text'}")
    return absolute


def _number(text: str) -> object:
    """The number that `text` is; else `text`."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _check_proxy(text: str) -> None:
    """Raises ValueError."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(letter.isspace() for letter in text):
        raise ValueError("a URL is meant, as http://proxy.example:3128")


GROUPS: Final = ("general", "resources", "folders", "network", "proxies", "certificates")
SETTINGS: Final[dict[str, Setting]] = {
    "context": Setting(
        "where containers run", Kind.WORD, "Where containers run", "general",
        "In a small virtual machine, or on this Linux itself, without one. The command line follows at once.",
        words=("vm", "native"), default=lambda _: "vm", counts=Counts.WINDOW_START, for_vm=False,
    ),
    START_AT_LOGIN: Setting(
        "whether Cove starts when you log in", Kind.SWITCH, "Start Cove at login", "general",
        "In the tray, without opening the window.", default=lambda _: False, for_vm=False,
    ),
    THEME: Setting(
        "the window's colours", Kind.WORD, "Theme", "general", "“desktop” follows what the desktop says.",
        words=(DESKTOP, "light", "dark"), default=lambda _: DESKTOP, for_vm=False,
    ),
    ZOOM: Setting(
        "the size of the window's text, in steps", Kind.NUMBER, "Size of the text", "general",
        "In steps of one pixel; also Ctrl and plus, minus or 0.",
        least=-3, most=3, default=lambda _: 0, for_vm=False,
    ),
    LANGUAGE: Setting(
        "the language of the window", Kind.WORD, "Language", "general",
        "From the window's next start on. “desktop” follows what the desktop says.",
        words=(DESKTOP, *LANGUAGES), default=lambda _: DESKTOP, counts=Counts.WINDOW_START, for_vm=False,
    ),
    "vm.cpus": Setting(
        "how many processors the VM has", Kind.NUMBER, "CPUs", "resources",
        "Containers share them. Idle CPUs cost nothing.", least=1, most=255,
        default=lambda machine: min(machine.cpus, LARGEST_CPUS), counts=Counts.VM_START,
    ),
    "vm.memory_mb": Setting(
        "the VM's memory in MB", Kind.NUMBER, "Memory", "resources",
        "An upper bound: the VM takes what it uses, and gives back what it frees.", least=SMALLEST_MEMORY_MB, unit="MB",
        default=lambda machine: min(DEFAULT_MEMORY_MB, max(machine.memory_mb // 2, SMALLEST_MEMORY_MB)),
        counts=Counts.VM_START,
    ),
    "vm.disk_gb": Setting(
        "the greatest size of the VM's disk in GB", Kind.NUMBER, "Disk", "resources",
        "An upper bound: the file grows as it is filled. It can be raised, not lowered.", least=1, most=1 << 20,
        unit="GB", default=lambda _: 64, counts=Counts.VM_START,
    ),
    "vm.save_after_minutes": Setting(
        "after how long an idle VM is saved; 0: never", Kind.NUMBER, "Rest when idle", "resources",
        "With nothing running, the VM is saved after so many minutes and uses no memory. It wakes at the first "
        "command. 0: never.", least=0, most=1 << 20, may_have_parts=True, unit="min", default=lambda _: 5,
    ),
    "vm.accelerator": Setting(
        "how the VM runs; unset: the best that works", Kind.WORD, "Accelerator", "resources",
        "Without one named, the best that works here.", words=("kvm", "hvf", "whpx", "tcg"), counts=Counts.VM_START,
    ),
    "folders.shared": Setting(
        "the folders that containers in the VM may use, comma-separated", Kind.FOLDERS, "Shared folders", "folders",
        "Folders of this computer that containers may mount, with all that is in them.",
        default=lambda _: [str(Path.home())],
    ),
    "ports.publish": Setting(
        "where ports are published that name no address", Kind.WORD, "Published ports", "network",
        "Where a port without an address appears: on this computer alone (loopback), or for the whole network (all).",
        words=("loopback", "all"), default=lambda _: "loopback",
    ),
    "ports.host_network": Setting(
        "whether what --network host listens on appears here", Kind.SWITCH, "Ports of --network host", "network",
        "What containers with the host's network listen on appears on this computer.", default=lambda _: True,
    ),
    "proxies.http": Setting(
        "proxy for http://; with one of the three, this machine's do not count", Kind.PROXY, "For http://", "proxies",
        "With one of the three fields filled in, this computer's own proxies do not count.",
    ),
    "proxies.https": Setting("proxy for https://", Kind.PROXY, "For https://", "proxies", "As a rule the same one."),
    "proxies.no_proxy": Setting(
        "hosts that are reached without a proxy", Kind.TEXT, "Without a proxy", "proxies",
        "Names, .domains and networks, comma-separated.",
    ),
    "certificates": Setting(
        "folder with authorities that the VM trusts", Kind.FOLDER, "Certificate authorities", "certificates",
        "A folder with files *.crt, *.pem or *.cer. The VM trusts them beside those of this computer.",
    ),
}  # fmt: skip
