"""The window's texts, and the catalogues of Qt Linguist that translate them.

`python -m tests.project.languages`, or `make languages`, brings `desktop/ui/kit/languages/*.ts` up to date: texts that
are new come in as unfinished, texts that the window no longer has go, translations stay.
"""

from __future__ import annotations

import ast
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from desktop.settings.table import SETTINGS
from desktop.ui.feed.container import Doing
from desktop.ui.kit.words import COUNTED
from desktop.ui.settings.page import ICONS
from desktop.ui.shell.pages import PAGES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "desktop/ui/kit/languages"
CONTEXT = "cove"  # that of `words.tr`
FORMS = 2  # of a noun by its number: German has as many as English


@dataclass(frozen=True, slots=True, order=True)
class Text:
    """A text of the window. `is_plural`: it counts something, and has a form for one and a form for more."""

    words: str
    is_plural: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A text's translation: one form, or `FORMS` for a plural. `is_finished`: a person has seen it."""

    forms: tuple[str, ...]
    is_finished: bool


def window_texts() -> dict[Text, str]:
    """All texts of the window, with the file where each is first. Raises ValueError for one that cannot be known."""
    found: dict[Text, str] = {}
    for file in sorted((ROOT / "desktop").rglob("*.py")):
        place = str(file.relative_to(ROOT))
        for text in texts_in(file.read_text(), place):
            found.setdefault(text, place)
    tables = [
        *(doing.value for doing in Doing),
        *(title for _, title in ICONS.values()),
        *(page.title for page in PAGES),
        *(words for setting in SETTINGS.values() for words in (setting.title, setting.about) if words),
    ]
    for words in tables:
        found.setdefault(Text(words), "tables")
    return found


def texts_in(source: str, place: str) -> Iterator[Text]:
    """The texts of all calls of `tr` and `counted`. Raises ValueError for one that cannot be known."""
    tree = ast.parse(source)
    named = _named(tree)
    called: set[ast.expr] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or (function := _translates(node.func)) is None:
            continue
        called.add(node.func)
        numbers = {"tr": ((0, False),), "counted": ((1, False), (2, True))}[function]
        for number, is_plural in numbers:
            if number >= len(node.args) or any(isinstance(each, ast.Starred) for each in node.args[: number + 1]):
                raise ValueError(f"{place}:{node.lineno}: the text of this call is not known: {ast.unparse(node)}")
            for words in _texts_of(node.args[number], named, f"{place}:{node.lineno}"):
                yield Text(words, is_plural)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and _translates(node) and node not in called:
            raise ValueError(
                f"{place}:{node.lineno}: the texts of {ast.unparse(node)} are not known unless it is called"
            )


def _translates(function: ast.expr) -> str | None:
    """`tr` or `counted`, if that is what the expression names, by itself or in its module."""
    match function:
        case ast.Name(id=name, ctx=ast.Load()) | ast.Attribute(value=ast.Name(id="words"), attr=name):
            return name if name in ("tr", "counted") else None
    return None


def _named(tree: ast.AST) -> dict[str, set[str]]:
    """All texts that each name stands for in the file: two functions may use one name for two."""
    named: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            for target, value in _pairs(node):
                if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    named.setdefault(target.id, set()).add(value.value)
    return named


def _texts_of(argument: ast.expr, named: dict[str, set[str]], place: str) -> Iterator[str]:
    match argument:
        case ast.Constant(value=str(words)):
            yield words
        case ast.Name(id=name) if name in named:
            yield from sorted(named[name])
        case ast.IfExp(body=one, orelse=other):
            yield from _texts_of(one, named, place)
            yield from _texts_of(other, named, place)
        case _ if ast.unparse(argument) not in _IN_TABLES:
            raise ValueError(f"{place}: the text of this call is not known: {ast.unparse(argument)}")


_IN_TABLES = {  # whose texts `window_texts` takes from the tables themselves
    "self.doing.value", "ICONS[group][1]", "SETTINGS[name].title", "self.setting.title", "self.setting.about",
    "spec.title", "page.title",
}  # fmt: skip


def _pairs(node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def read(catalogue: Path) -> dict[Text, Message]:
    """What a file of Qt Linguist says. Obsolete texts are left out."""
    found = {}
    for message in ET.parse(catalogue).getroot().iter("message"):
        translation = message.find("translation")
        assert translation is not None
        if translation.get("type") in ("obsolete", "vanished"):
            continue
        text = Text(message.findtext("source", ""), message.get("numerus") == "yes")
        forms = [form.text or "" for form in translation.iter("numerusform")] or [translation.text or ""]
        found[text] = Message(tuple(forms), translation.get("type") != "unfinished")
    return found


def write(catalogue: Path, messages: dict[Text, Message]) -> None:
    """Write the file as Qt Linguist does, the texts in the order of the alphabet."""
    root = ET.Element("TS", version="2.1", language=catalogue.stem, sourcelanguage="en")
    context = ET.SubElement(root, "context")
    ET.SubElement(context, "name").text = CONTEXT
    for text, message in sorted(messages.items(), key=lambda item: item[0]):
        element = ET.SubElement(context, "message", {"numerus": "yes"} if text.is_plural else {})
        ET.SubElement(element, "source").text = text.words
        if text.is_plural:
            ET.SubElement(element, "comment").text = COUNTED
        kind = {} if message.is_finished else {"type": "unfinished"}
        translation = ET.SubElement(element, "translation", kind)
        if text.is_plural:
            for form in message.forms:
                ET.SubElement(translation, "numerusform").text = form
        else:
            [translation.text] = message.forms
    ET.indent(root, "    ")
    body = ET.tostring(root, encoding="unicode")
    catalogue.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{body}\n', encoding="utf-8")


def main() -> int:
    """Bring all catalogues up to date; returns the exit status: 1 if something is to be translated."""
    texts, is_whole = window_texts(), True
    for catalogue in sorted(FOLDER.glob("*.ts")):
        known = read(catalogue)
        new = Message(("",), is_finished=False)
        messages = {
            text: known.get(text) or (Message(("",) * FORMS, is_finished=False) if text.is_plural else new)
            for text in texts
        }
        write(catalogue, messages)
        missing = [text.words for text, message in messages.items() if not message.is_finished]
        is_whole &= not missing
        sys.stdout.write(f"{catalogue.relative_to(ROOT)}: {len(messages)} texts, {len(missing)} to be translated\n")
        sys.stdout.writelines(f"  {words}\n" for words in missing)
    return 0 if is_whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
