"""Short ways to a parsed and expanded Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from vmagent.dockerfile.expand import Scope, Step, global_scope, predefined_arguments, step
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.tree import Dockerfile, Instruction

T = TypeVar("T", bound=Instruction)


def instructions(text: str) -> tuple[Instruction, ...]:
    """The instructions of a stage, written without its FROM."""
    return parse("FROM scratch\n" + text).stages[0].instructions


def one(kind: type[T], text: str) -> T:
    (found,) = instructions(text)
    assert isinstance(found, kind)
    return found


def walk(
    dockerfile: Dockerfile | str,
    given: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    stage: int = -1,
) -> list[Step]:
    """All steps of one stage; `env` is its base's environment."""
    tree = parse(dockerfile) if isinstance(dockerfile, str) else dockerfile
    predefined = predefined_arguments("linux/amd64", "linux/arm64/v8", "", given or {})
    build = global_scope(tree, given or {}, predefined)
    scope = Scope(env or {})
    steps: list[Step] = []
    for instruction in tree.stages[stage].instructions:
        steps.append(step(instruction, scope, build, tree.escape))
        scope = steps[-1].scope
    return steps


def last(kind: type[T], text: str, given: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None) -> T:
    """The last instruction of a stage without its FROM, expanded."""
    found = walk("FROM scratch\n" + text, given, env)[-1].instruction
    assert isinstance(found, kind)
    return found
