"""The parser: a Dockerfile's bytes in, its syntax tree out."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.instructions import bare_instruction, instruction
from vmagent.dockerfile.lines import split
from vmagent.dockerfile.tree import Arg, Dockerfile, Instruction, Stage


def parse(text: bytes | str) -> Dockerfile:
    """The syntax tree of a Dockerfile. Raises DockerfileError, never another error, whatever the bytes are."""
    if not text:
        raise DockerfileError("the Dockerfile cannot be empty")
    lines = split(text)
    arguments: list[Arg] = []
    stages: list[Stage] = []
    bodies: list[list[Instruction]] = []
    for line in lines.lines:
        found = instruction(line, len(stages))
        if isinstance(found, Stage):
            stages.append(found)
            bodies.append([])
        elif stages:
            bodies[-1].append(found)
        elif isinstance(found, Arg):
            arguments.append(found)
        else:
            raise DockerfileError("no build stage in current context", line.lines)
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build")
    return Dockerfile(
        source=lines.source,
        escape=lines.escape,
        syntax=lines.syntax,
        check=lines.check,
        arguments=tuple(arguments),
        stages=tuple(
            dataclasses.replace(stage, instructions=tuple(body)) for stage, body in zip(stages, bodies, strict=True)
        ),
        empty_continuations=lines.empty_continuations,
    )


def parse_trigger(text: str, lines: Lines) -> Instruction:
    """The instruction of an ONBUILD trigger, at the lines of the FROM that brings it. Raises DockerfileError."""
    try:
        found = split(text).lines
        if len(found) != 1:
            raise DockerfileError("onbuild trigger should be a single expression")
        inner = instruction(dataclasses.replace(found[0], lines=lines), 0)
    except DockerfileError as error:
        raise DockerfileError(str(error), lines) from error
    if isinstance(inner, Stage):
        raise DockerfileError("FROM isn't allowed as an ONBUILD trigger", lines)
    return inner


def parse_changes(changes: Iterable[str], allowed: Collection[str]) -> tuple[Instruction, ...]:
    """The instructions of `docker commit --change`, each one of `allowed` (lower case). Raises DockerfileError.

    The messages are docker's: without the line that a file's errors name.
    """
    lines = split("\n".join(changes)).lines
    for line in lines:
        if line.words.name not in allowed:
            raise DockerfileError(f"{line.words.keyword} is not a valid change command")
    return tuple(bare_instruction(line, 0) for line in lines)
