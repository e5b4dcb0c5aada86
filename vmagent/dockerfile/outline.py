"""What a Dockerfile offers to its users: its targets, and the arguments, secrets and ssh agents of one. Pure code."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vmagent.dockerfile import stages
from vmagent.dockerfile.errors import Lines
from vmagent.dockerfile.expand import BuildArguments, Scope, global_scope, step
from vmagent.dockerfile.tree import Arg, Dockerfile, Mount, Run


@dataclass(frozen=True, slots=True)
class OutlineArgument:
    """A build argument. `value`: its default, or what the build gives; "" without either."""

    name: str
    value: str
    description: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class OutlineMount:
    """A secret or an ssh agent, by its id."""

    name: str
    required: bool
    lines: Lines


@dataclass(frozen=True, slots=True)
class Outline:
    """The parameters of one target, in the file's order."""

    name: str
    description: str
    arguments: tuple[OutlineArgument, ...]
    secrets: tuple[OutlineMount, ...]
    ssh: tuple[OutlineMount, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A stage as a build's target."""

    name: str
    is_default: bool
    description: str
    base: str
    platform: str
    lines: Lines


def targets(dockerfile: Dockerfile) -> tuple[Target, ...]:
    """All stages, in the file's order."""
    last = len(dockerfile.stages) - 1
    return tuple(
        Target(stage.name, stage.index == last, stage.comment, stage.base, stage.platform, stage.lines)
        for stage in dockerfile.stages
    )


def outline(
    dockerfile: Dockerfile,
    target: str,
    given: Mapping[str, str],
    predefined: Mapping[str, str],
    contexts: Collection[str] = (),
) -> Outline:
    """The parameters of `target`, with those of the stages that it needs. Raises DockerfileError."""
    build = global_scope(dockerfile, given, predefined)
    found = stages.bases(dockerfile, build, contexts)
    index = stages.target_stage(dockerfile, target)
    needed = sorted(stages.needed_stages(dockerfile, found, index, contexts))
    stages.check_references(dockerfile, needed, contexts)
    in_from = set[str]()
    for number in needed:
        in_from |= found[number].name_words.matched | found[number].platform_words.matched
    arguments = {
        argument.name: _argument(argument.name, build.values.get(argument.name), argument.comment, one.lines)
        for one in dockerfile.arguments
        for argument in one.arguments
        if argument.name in in_from
    }
    secrets, ssh = dict[str, OutlineMount](), dict[str, OutlineMount]()
    for number in needed:
        of_stage, mounts = _parameters(dockerfile, number, build)
        for each in of_stage:
            arguments.setdefault(each.name, each)
        for mount, lines in mounts:
            if mount.type == "secret":
                name = mount.id or mount.source or posixpath.basename(mount.target)
                secrets.setdefault(name, OutlineMount(name, mount.required, lines))
            elif mount.type == "ssh":
                name = mount.id or "default"
                ssh.setdefault(name, OutlineMount(name, mount.required, lines))
    stage = dockerfile.stages[index]
    return Outline(stage.name, stage.comment, tuple(arguments.values()), tuple(secrets.values()), tuple(ssh.values()))


def _argument(name: str, value: str | None, description: str, lines: Lines) -> OutlineArgument:
    return OutlineArgument(name, value or "", description, lines)


def _parameters(
    dockerfile: Dockerfile, number: int, build: BuildArguments
) -> tuple[list[OutlineArgument], list[tuple[Mount, Lines]]]:
    """The arguments and mounts of one stage. What its base image sets is not known here."""
    scope = Scope()
    arguments, mounts = list[OutlineArgument](), list[tuple[Mount, Lines]]()
    for instruction in dockerfile.stages[number].instructions:
        expanded = step(instruction, scope, build, dockerfile.escape)
        scope = expanded.scope
        match expanded.instruction:
            case Arg() as found:
                arguments += [_argument(one.name, one.value, one.comment, found.lines) for one in found.arguments]
            case Run() as found:
                mounts += [(mount, found.lines) for mount in found.mounts]
    return arguments, mounts
