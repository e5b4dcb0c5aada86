"""The list of the reference's statements agrees with the tests and with the generated document."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.dockerfile.statements import SECTIONS, document

_TESTS = Path(__file__).parents[1]
_FOLDERS = ("dockerfile", "builder", "buildkit")  # where a statement may have its test


def _tests() -> set[str]:
    return {
        node.name
        for folder in _FOLDERS
        for path in sorted((_TESTS / folder).glob("**/test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_statement_has_its_test_a_reason_or_an_owner() -> None:
    names = _tests()
    for section, statements in SECTIONS.items():
        for one in statements:
            assert [bool(one.test), bool(one.reason), bool(one.open)].count(True) == 1, f"{section}: {one.text}"
            assert not one.test or one.test in names, f"{section}: {one.text}: no test {one.test}"


def test_the_document_is_what_the_list_makes() -> None:
    path = _TESTS.parent / "docs" / "dockerfile-statements.md"
    assert path.read_text() == document(), "python -m tests.dockerfile.statements >docs/dockerfile-statements.md"
