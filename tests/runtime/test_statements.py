"""The list of the specification's statements agrees with the tests and with the generated document."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.runtime.conftest import Bundle
from tests.runtime.statements import SECTIONS, document
from vmagent.runtime.plan import compile_plan

_HERE = Path(__file__).parent


def _marked() -> dict[str, str]:
    """The tests of this folder that cite the specification, each with its file."""
    found = {}
    for path in sorted(_HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for decorator in node.decorator_list:
                    text = ast.unparse(decorator)
                    if text.startswith("pytest.mark.spec(") and ".md" in text:
                        found[node.name] = path.name
    return found


def test_every_statement_has_its_test_or_a_reason() -> None:
    marked = _marked()
    for section, statements in SECTIONS.items():
        for one in statements:
            assert bool(one.test) != bool(one.reason), f"{section}: {one.text}"
            assert not one.test or one.test in marked, f"{section}: {one.text}: no test {one.test} with a mark"


def test_every_test_of_the_specification_is_in_the_list() -> None:
    listed = {one.test for statements in SECTIONS.values() for one in statements}
    missing = [name for name, file in _marked().items() if file.startswith("test_spec_") and name not in listed]
    assert not missing


def test_the_document_is_what_the_list_makes() -> None:
    path = _HERE.parents[1] / "docs" / "runtime-statements.md"
    assert path.read_text() == document(), "python -m tests.runtime.statements >docs/runtime-statements.md"


@pytest.mark.spec("config-linux.md, Cgroup ownership")
def test_the_cgroups_owner_is_known_from_the_document(bundle: Bundle) -> None:
    """Only with a new cgroup namespace and a writable mount; then it is the user's id on the host."""
    bundle.process.update(args=["x"], user={"uid": 7, "gid": 7})
    mount = next(mount for mount in bundle.spec["mounts"] if mount["destination"] == "/sys/fs/cgroup")

    def owner() -> int | None:
        extra = compile_plan(bundle.spec, container_id="x", cgroup_path="/x").extra
        return extra.cgroup_owner if extra else None

    assert owner() is None, "a read-only mount"
    mount["options"].remove("ro")
    assert owner() == 7
    bundle.linux["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    assert owner() == 1007
    bundle.drop_namespace("cgroup")
    assert owner() is None
