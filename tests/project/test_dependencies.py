"""Each third-party package that the code imports is declared in the extra that installs that code, and locked."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project.tree import ROOT, python_files

# Path, and the extra that has to bring what the code below it imports. The first that fits counts.
_EXTRAS = (
    ("vmagent", "agent"),
    ("desktop/ui", "desktop"),
    ("desktop", "host"),
    ("tests", "dev"),
    ("guest", "dev"),
    ("packaging", "dev"),
)
_OWN = {"desktop", "vmagent", "tests"}
# What an interpreter of its own runs (`tests.support.tools.python_with`).
_ELSEWHERE = {"tests/bench/described_requests.py"}


def _normal(name: str) -> str:
    """PEP 503's form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(extra: str) -> set[str]:
    """The distributions that `extra` names itself or by another extra of this project."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names: set[str] = set()
    for requirement in extras[extra]:
        found = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert found, requirement
        if found[1] == "cove":
            names.update(*(_declared(other) for other in found[2].split(",")))
        else:
            names.add(_normal(found[1]))
    return names


def _imported(path: Path) -> Iterator[str]:
    """The top-level names that the file at `path` imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


@pytest.mark.parametrize(("folder", "extra"), _EXTRAS)
def test_every_imported_package_is_declared(folder: str, extra: str) -> None:
    declared = _declared(extra)
    distributions = importlib.metadata.packages_distributions()
    missing = set()
    for path in python_files(folder.partition("/")[0]):
        if next(prefix for prefix, _ in _EXTRAS if path.is_relative_to(prefix)) != folder:
            continue
        if str(path) in _ELSEWHERE:
            continue
        for module in _imported(path):
            name = module.partition(".")[0]
            if name in sys.stdlib_module_names or name in _OWN or (ROOT / path.with_name(f"{name}.py")).exists():
                continue
            if not declared & {_normal(one) for one in distributions.get(name, [])}:
                missing.add(f"{path} imports {name}, which the extra `{extra}` does not declare")
    assert not missing, "\n".join(sorted(missing))


def test_the_lock_file_holds_every_dependency_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    missing = {name for name in _declared("dev") if f"\n{name}==" not in lock}
    assert not missing
    assert lock.count("--hash=sha256:") > lock.count("\n") // 2
