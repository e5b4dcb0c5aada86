"""ARCHITECTURE.md is a map of what exists: each package it names is there, and each package is on it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_map_names_every_package_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:desktop|vmagent)/[a-z]+)`", text))
    real = {f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("*/*/__init__.py")}
    assert named == {name for name in real if name.startswith(("desktop/", "vmagent/"))}


def test_no_module_has_grown_past_what_one_reads_at_once() -> None:
    """About 500 lines; a longer one says at its top why (the word `length` in its docstring)."""
    for folder in ("desktop", "vmagent"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert text.count("\n") <= 520 or "length" in text[:1500], f"{path} has {text.count(chr(10))} lines"
