"""The structure of the code: the map names what exists, functions stay short, modules do not import in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.project.tree import ROOT, python_files

FUNCTION_LINES = 80


def test_the_map_names_every_package_and_no_other() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:desktop|vmagent)/[a-z]+)`", text))
    real = {f"{path.parent.parent.name}/{path.parent.name}" for path in ROOT.glob("*/*/__init__.py")}
    assert named == {name for name in real if name.startswith(("desktop/", "vmagent/"))}


def test_no_function_is_longer_than_a_reader_can_hold() -> None:
    long = {
        f"{path}:{node.name}": node.end_lineno - node.lineno + 1
        for path in python_files("desktop", "vmagent", "tests", "guest", "packaging")
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
        if node.end_lineno - node.lineno >= FUNCTION_LINES
    }
    assert not long


def _imports(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules of this project that the file at `path` imports: at its top, in functions, and for types alone."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield str(node.module)


def _circles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """The strongly connected components of more than one module (by what is reachable from each)."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        pending = [start]
        while pending:
            for name in graph[pending.pop()] - found:
                found.add(name)
                pending.append(name)
        reached[start] = found
    groups = {
        frozenset(other for other in graph if other in reached[name] and name in reached[other]) for name in graph
    }
    return {group for group in groups if len(group) > 1}


@pytest.mark.parametrize("package", ["desktop", "vmagent"])
def test_no_modules_import_in_a_circle(package: str) -> None:
    """Imports for types count: two modules that need each other's types cannot be understood one at a time."""
    modules = {
        ".".join((path.parent if path.name == "__init__.py" else path.with_suffix("")).parts): path
        for path in python_files(package)
    }
    graph = {name: set(_imports(path, modules)) - {name} for name, path in modules.items()}
    assert [sorted(circle) for circle in _circles(graph)] == []
