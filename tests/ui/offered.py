"""What the window offers, read from its code: pages, entries of menus and bars, commands, shortcuts, the tray."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from desktop.ui.shell.pages import PAGES

UI = Path(__file__).parents[2] / "desktop" / "ui"


def offered() -> set[str]:
    """Each as `AREA: ACTION`: `page: volumes`, `containers: pause` (the key of an `Act`), `palette: Quit Cove`,
    `key: Ctrl+K`, `tray: Quick run…`, `engine: Copy its address`."""
    found = {f"page: {spec.key}" for spec in PAGES}
    for path in sorted(UI.rglob("*.py")):
        area = path.parent.name if path.parent != UI else path.stem
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            found |= {f"{area}: {name}" for name in _acts(call)}
    found |= {f"palette: {text}" for name in ("pages", "app") for text in _commands(UI / "shell" / f"{name}.py")}
    found |= {f"tray: {text}" for text in _added(UI / "shell" / "tray.py", "_add", 2)}
    found |= {f"engine: {text}" for text in _added(UI / "shell" / "engine_control.py", "add", 1)}
    found |= {f"engine: {text}" for text in _added(UI / "shell" / "engine_control.py", "addAction", 1)}
    found |= {f"key: {key}" for key in _keys(UI / "shell" / "window.py")}
    return found


def _acts(call: ast.Call) -> Iterator[str]:
    """The key of an `Act`; of one that is made per thing, what its key begins with."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "Act" and call.args):
        return
    match call.args[0]:
        case ast.Constant(value=str(key)):
            yield key
        case ast.JoinedStr(values=[ast.Constant(value=str(begins)), *_]):
            yield begins


def _said(node: ast.expr) -> str:
    """The text of `tr("…")`; empty for anything else."""
    match node:
        case ast.Call(func=ast.Name(id="tr"), args=[ast.Constant(value=str(text)), *_]):
            return text
    return ""


def _commands(path: Path) -> Iterator[str]:
    """The palette's commands: of pages (`Command`), and of the window (a tuple: text, empty, icon, call)."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Command"), args=[title, *_]):
                yield _said(title)
            case ast.Tuple(elts=[title, ast.Constant(value=""), _, _]) if _said(title):
                yield _said(title)


def _added(path: Path, function: str, place: int) -> Iterator[str]:
    """The texts given to `function` in that place."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and len(node.args) > place:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name == function and (text := _said(node.args[place])):
                yield text


def _keys(path: Path) -> Iterator[str]:
    """The shortcuts of the window; those of its pages are those of their acts."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name == "_add_keys":
            for each in ast.walk(node):
                if isinstance(each, ast.Dict):
                    yield from (str(key.value) for key in each.keys if isinstance(key, ast.Constant))
