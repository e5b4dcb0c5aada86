"""A desktop for real processes: an X server without a monitor, both kinds of tray, and key presses by XTEST.

Linux has two kinds of tray. By the StatusNotifierItem specification the icon is an object on the session bus, and its
menu has the interface com.canonical.dbusmenu. By X's System Tray Protocol it is a window inside the tray's window; Qt
uses this protocol if no session bus has a StatusNotifierWatcher.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Protocol

import pytest
from PySide6.QtCore import ClassInfo, Property, QObject, Signal, Slot
from PySide6.QtDBus import QDBusConnection
from pytestqt.qtbot import QtBot

LIMIT_MS = 60_000
WATCHER = "org.kde.StatusNotifierWatcher"
MENU = "com.canonical.dbusmenu"


@ClassInfo({"D-Bus Interface": WATCHER})  # type: ignore[call-arg]  # PySide's types lack the decorator
class _Watcher(QObject):  # type: ignore[operator]
    """The tray of the session bus. `items` are the bus names of the icons in it."""

    StatusNotifierItemRegistered = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.items: list[str] = []

    @Slot(str)
    def RegisterStatusNotifierItem(self, item: str) -> None:
        self.items.append(item)

    @Slot(str)
    def RegisterStatusNotifierHost(self, _host: str) -> None:
        """Do nothing: this object is the only host."""

    @Property(bool)
    def IsStatusNotifierHostRegistered(self) -> bool:
        return True

    @Property(int)
    def ProtocolVersion(self) -> int:
        return 0


class _Attributes(ctypes.Structure):
    """XWindowAttributes: the fields up to `map_state`, and room for the rest."""

    _fields_ = [  # type: ignore[mutable-override]  # ctypes fields, partly generated in a loop
        *[(name, ctypes.c_int) for name in ("x", "y", "width", "height", "border_width", "depth")],
        ("visual", ctypes.c_void_p),
        ("root", ctypes.c_ulong),
        *[(name, ctypes.c_int) for name in ("class_", "bit_gravity", "win_gravity", "backing_store")],
        *[(name, ctypes.c_ulong) for name in ("backing_planes", "backing_pixel")],
        ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        *[(name, ctypes.c_int) for name in ("map_installed", "map_state")],
        ("rest", ctypes.c_byte * 128),
    ]


NO_BUS = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
# X's names of the characters that are not their own names.
_KEYS = {
    " ": "space", "-": "minus", ".": "period", ",": "comma", ":": "colon", "/": "slash", "=": "equal",
    "_": "underscore", ">": "greater",
}  # fmt: skip


class Screen:
    """A connection to the X server: its visible windows, and a keyboard."""

    VIEWABLE = 2

    def __init__(self, name: str) -> None:
        self.name = name
        self._x, self._test = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XDefaultRootWindow.restype = self._x.XStringToKeysym.restype = ctypes.c_ulong
        self._x.XkbKeycodeToKeysym.restype = ctypes.c_ulong
        opened = self._x.XOpenDisplay(name.encode())
        assert opened, f"the X server {name} cannot be opened"
        self._display = ctypes.c_void_p(opened)
        # A window may be destroyed between two requests about it; Xlib's default error handler would exit this process.
        self._on_error = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda _display, _error: 0)
        self._x.XSetErrorHandler(self._on_error)
        self._root = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which a Qt program shows its windows here."""
        return {"DISPLAY": self.name, "QT_QPA_PLATFORM": "xcb"}

    def close(self) -> None:
        self._x.XCloseDisplay(self._display)

    def windows(self) -> dict[int, tuple[int, int]]:
        """The size of each visible top-level window, by id."""
        root, parent = ctypes.c_ulong(), ctypes.c_ulong()
        children, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
        wanted = (ctypes.byref(root), ctypes.byref(parent), ctypes.byref(children), ctypes.byref(count))
        assert self._x.XQueryTree(self._display, self._root, *wanted)
        found: dict[int, tuple[int, int]] = {}
        for number in range(count.value):
            attributes = _Attributes()
            window = ctypes.c_ulong(children[number])
            known = self._x.XGetWindowAttributes(self._display, window, ctypes.byref(attributes))
            if known and attributes.map_state == self.VIEWABLE:
                found[window.value] = attributes.width, attributes.height
        self._x.XFree(children)
        return found

    def resize(self, window: int, width: int, height: int) -> None:
        self._x.XResizeWindow(self._display, ctypes.c_ulong(window), width, height)
        self._x.XSync(self._display, 0)

    def focus(self, window: int) -> None:
        """Give `window` the keyboard, as a window manager would."""
        revert_to_parent, now = 2, ctypes.c_ulong(0)
        self._x.XSetInputFocus(self._display, ctypes.c_ulong(window), revert_to_parent, now)
        self._x.XSync(self._display, 0)

    def key(self, name: str, *held: str) -> None:
        """Press and release a key while other keys are held down: `key("q", "Control_L")`. A key is named by a
        character or by its keysym's name. Raises AssertionError."""
        code = self._code(name)
        if self._x.XkbKeycodeToKeysym(self._display, code, 0, 0) != self._keysym(name):
            held = (*held, "Shift_L")
        with self.held(*held):
            for pressed in (1, 0):
                self._test.XTestFakeKeyEvent(self._display, code, pressed, ctypes.c_ulong(0))

    def type(self, text: str) -> None:
        """Press the keys of a line of text."""
        for character in text:
            self.key(character)

    def _keysym(self, name: str) -> int:
        symbol = int(self._x.XStringToKeysym(_KEYS.get(name, name).encode()))
        assert symbol, f"X knows no key {name!r}"  # its keycode would be one that types nothing
        return symbol

    def _code(self, name: str) -> int:
        code = int(self._x.XKeysymToKeycode(self._display, ctypes.c_ulong(self._keysym(name))))
        assert code, f"the keyboard has no {name!r}"
        return code

    def point(self, x: int, y: int) -> None:
        """Move the pointer to a place of the screen."""
        self._test.XTestFakeMotionEvent(self._display, 0, x, y, ctypes.c_ulong(0))
        self._x.XSync(self._display, 0)

    def button(self, number: int, pressed: bool) -> None:
        """Press or release a button of the mouse: 1 left, 2 middle, 3 right, 4 and 5 the wheel."""
        self._test.XTestFakeButtonEvent(self._display, number, int(pressed), ctypes.c_ulong(0))
        self._x.XSync(self._display, 0)

    @contextmanager
    def held(self, *names: str) -> Iterator[None]:
        """Hold keys down meanwhile; they are named as for `key`."""
        codes = [self._code(name) for name in names]
        for code in codes:
            self._test.XTestFakeKeyEvent(self._display, code, 1, ctypes.c_ulong(0))
        try:
            yield
        finally:
            for code in reversed(codes):
                self._test.XTestFakeKeyEvent(self._display, code, 0, ctypes.c_ulong(0))
            self._x.XSync(self._display, 0)

    # a tray ----------------------------------------------------------------------------------------------------------

    def make_tray(self) -> int:
        """Become the tray of this screen (System Tray Protocol); returns the tray's window."""
        black = ctypes.c_ulong(0)
        tray = int(self._x.XCreateSimpleWindow(self._display, self._root, 1240, 760, 40, 40, 0, black, black))
        self._x.XMapWindow(self._display, ctypes.c_ulong(tray))
        owned = ctypes.c_ulong(self._atom("_NET_SYSTEM_TRAY_S0"))
        self._x.XSetSelectionOwner(self._display, owned, ctypes.c_ulong(tray), ctypes.c_ulong(0))
        self._x.XSync(self._display, 0)
        return tray

    def dock(self, tray: int) -> int:
        """Dock the icons that requested it; returns their number."""
        client_message, event = 33, (ctypes.c_long * 24)()
        wanted = (ctypes.c_ulong(tray), client_message, ctypes.byref(event))
        count = 0
        while self._x.XCheckTypedWindowEvent(self._display, *wanted):
            opcode, icon = event[8], ctypes.c_ulong(event[9])
            if event[5] == self._atom("_NET_SYSTEM_TRAY_OPCODE") and opcode == 0:
                self._x.XReparentWindow(self._display, icon, ctypes.c_ulong(tray), 0, 0)
                self._x.XMapWindow(self._display, icon)
                count += 1
        self._x.XSync(self._display, 0)
        return count

    def right_click(self, window: int, x: int, y: int) -> None:
        """Raise `window` and right-click at a place of the screen."""
        self._x.XRaiseWindow(self._display, ctypes.c_ulong(window))
        self._test.XTestFakeMotionEvent(self._display, 0, x, y, ctypes.c_ulong(0))
        for pressed in (1, 0):
            self._test.XTestFakeButtonEvent(self._display, 3, pressed, ctypes.c_ulong(0))
        self._x.XSync(self._display, 0)

    def _atom(self, name: str) -> int:
        return int(self._x.XInternAtom(self._display, name.encode(), 0))


class Tray(Protocol):
    """A tray for a program's icon. `environment`: the variables by which a program finds it."""

    @property
    def environment(self) -> Mapping[str, str]: ...

    def count(self) -> int:
        """The number of icons added so far."""

    def choose_quit(self) -> None:
        """Choose the last entry, Quit Cove, of the newest icon's menu."""


class XembedTray:
    """A tray by X's System Tray Protocol, used without a session bus: Qt docks its own widget."""

    def __init__(self, screen: Screen, qtbot: QtBot) -> None:
        self.environment = NO_BUS
        self._screen, self._qtbot = screen, qtbot
        self._window, self._count = screen.make_tray(), 0

    def count(self) -> int:
        self._count += self._screen.dock(self._window)
        return self._count

    def choose_quit(self) -> None:
        before = self._screen.windows().keys()
        self._screen.right_click(self._window, 1250, 770)
        self._qtbot.waitUntil(lambda: bool(self._screen.windows().keys() - before), timeout=LIMIT_MS)
        self._screen.key("Up")
        self._screen.key("Return")


class NotifierTray:
    """A tray by the StatusNotifierItem specification on a session bus of its own."""

    def __init__(self, bus: str) -> None:
        self.environment = {"DBUS_SESSION_BUS_ADDRESS": bus}
        self._bus, self._name = bus, f"tray of {bus}"
        self._watcher = _Watcher()
        connection = QDBusConnection.connectToBus(bus, self._name)
        exports = QDBusConnection.RegisterOption.ExportAllContents
        assert connection.registerObject("/StatusNotifierWatcher", self._watcher, exports)
        assert connection.registerService(WATCHER)

    def close(self) -> None:
        QDBusConnection.disconnectFromBus(self._name)

    def count(self) -> int:
        return len(self._watcher.items)

    def choose_quit(self) -> None:
        self.choose("Quit Cove")

    def menu(self) -> dict[str, int]:
        """Open the menu of the newest icon; its entries, submenus' too, with their numbers."""
        self._send("AboutToShow", "int32:0")
        answer = self._send("GetLayout", "int32:0", "int32:-1", "array:string:label")
        found: dict[str, int] = {}
        number = 0
        for entry in re.finditer(r'struct \{\s+int32 (\d+)|string "label"\s+variant\s+string "([^"]*)"', answer):
            if entry[1]:
                number = int(entry[1])
            else:
                found[entry[2].replace("_", "")] = number
        return found

    def choose(self, text: str) -> None:
        """Choose an entry of the newest icon's menu."""
        entries = self.menu()
        assert text in entries, f"{text!r} is not in the tray's menu: {list(entries)}"
        self._send("Event", f"int32:{entries[text]}", "string:clicked", "variant:string:", "uint32:0", wait=False)

    def _send(self, method: str, *arguments: str, wait: bool = True) -> str:
        reply = "--print-reply" if wait else "--type=method_call"
        command = ["dbus-send", f"--bus={self._bus}", reply, f"--dest={self._watcher.items[-1]}", "/MenuBar"]
        return subprocess.run(
            [*command, f"{MENU}.{method}", *arguments], check=True, capture_output=True, text=True, timeout=60
        ).stdout


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Start an X server for the test. Skips if Xvfb or the XTEST extension is missing."""
    if shutil.which("Xvfb") is None or ctypes.util.find_library("Xtst") is None:
        pytest.skip("Xvfb and libXtst are needed for keys in a real process")
    server = _server("Xvfb", "-displayfd", "{fd}", "-screen", "0", "1280x800x24")
    with server as number, closing(Screen(f":{number}")) as screen:
        yield screen


@contextmanager
def open_notifier_tray() -> Iterator[NotifierTray]:
    """Start a session bus with a tray. Skips if D-Bus is missing."""
    if shutil.which("dbus-daemon") is None or shutil.which("dbus-send") is None:
        pytest.skip("dbus-daemon and dbus-send are not installed here")
    server = _server("dbus-daemon", "--session", "--nofork", "--print-address={fd}")
    with server as bus, closing(NotifierTray(bus)) as tray:
        yield tray


@contextmanager
def _server(*command: str) -> Iterator[str]:
    """Start a server that writes its address to the descriptor `{fd}`; yields that line, then stops the server."""
    reading, writing = os.pipe()
    try:
        words = [word.format(fd=writing) for word in command]
        process = subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL)
    finally:
        os.close(writing)
    try:
        with os.fdopen(reading) as told:
            line = told.readline().strip()
        assert line, f"{command[0]} ended with {process.wait(10)}"
        yield line
    finally:
        process.terminate()
        process.wait(60)
