"""How stages refer to each other: bases, COPY --from, RUN --mount from, the target. Also what a RUN's heredocs mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.expand import BuildArguments
from vmagent.dockerfile.instructions import heredoc_or_path
from vmagent.dockerfile.lexer import Expanded, Lexer
from vmagent.dockerfile.text import suggested
from vmagent.dockerfile.tree import Copy, Dockerfile, Instruction, Run, Stage


@dataclass(frozen=True, slots=True)
class Base:
    """FROM with its variables replaced. `stage` is the index of the earlier stage that the name means, else None.

    `platform` is "" where FROM says none. `name_words` and `platform_words` say which variables were used.
    """

    name: str
    platform: str
    stage: int | None
    name_words: Expanded
    platform_words: Expanded


def bases(dockerfile: Dockerfile, build: BuildArguments, contexts: Collection[str] = ()) -> tuple[Base, ...]:
    """The base of each stage. `contexts` are named contexts: their names mean no stage.

    Raises DockerfileError for a blank name or platform.
    """
    lexer = Lexer(dockerfile.escape)
    names: dict[str, int] = {}
    found: list[Base] = []
    for stage in dockerfile.stages:
        try:
            name = lexer.expand(stage.base, build.values)
            platform = lexer.expand(stage.platform, build.values)
        except DockerfileError as error:
            raise error.at(stage.lines) from error
        if not name.text:
            raise DockerfileError(f"base name ({stage.base}) should not be blank", stage.lines)
        if stage.platform and not platform.text:
            message = f"empty platform value from expression {stage.platform}"
            for word in sorted(platform.unmatched):
                message = suggested(message, word, tuple(build.values)) if "did you" not in message else message
            raise DockerfileError(message, stage.lines)
        earlier = None if name.text in contexts else names.get(name.text)
        found.append(Base(name.text, platform.text, earlier, name, platform))
        if stage.name:
            names[stage.name] = stage.index
    return tuple(found)


def find_stage(dockerfile: Dockerfile, name: str) -> int | None:
    """The stage of that name; of several the last one. Case does not count."""
    wanted = name.lower()
    return next((stage.index for stage in reversed(dockerfile.stages) if wanted and stage.name == wanted), None)


def target_stage(dockerfile: Dockerfile, target: str) -> int:
    """The stage to build: `target`, or the last one. Raises DockerfileError."""
    if not target:
        return len(dockerfile.stages) - 1
    found = find_stage(dockerfile, target)
    if found is None:
        names = tuple(stage.name or f"stage-{stage.index}" for stage in dockerfile.stages)
        raise DockerfileError(suggested(f'target stage "{target}" could not be found', target, names))
    return found


def sources(
    dockerfile: Dockerfile, instruction: Instruction, contexts: Collection[str] = ()
) -> Iterator[tuple[str, int | None]]:
    """What COPY --from or the mounts of a RUN name: the name and, where it is a stage, its index.

    COPY also takes a stage's number. Names in `contexts` mean no stage. Raises DockerfileError for a number that no
    stage has.
    """
    if isinstance(instruction, Copy) and instruction.from_:
        name = instruction.from_
        if name in contexts:
            yield name, None
        elif not _is_number(name):
            yield name, find_stage(dockerfile, name)
        elif 0 <= int(name[:9]) < len(dockerfile.stages) and len(name) < 9:
            yield name, int(name)
        else:
            raise DockerfileError(f"invalid stage index {name}", instruction.lines)
    elif isinstance(instruction, Run):
        for name in instruction.mounts_from:
            yield name, None if name in contexts else find_stage(dockerfile, name)


def _is_number(text: str) -> bool:
    digits = text[1:] if text[:1] in ("-", "+") else text
    return digits.isascii() and digits.isdigit()


def needed_stages(
    dockerfile: Dockerfile, found: Sequence[Base], target: int, contexts: Collection[str] = ()
) -> frozenset[int]:
    """The stages that a build of `target` needs: it and, in turn, their bases and what they copy or mount from."""
    needed: set[int] = set()
    pending = [target]
    while pending:
        index = pending.pop()
        if index in needed:
            continue
        needed.add(index)
        base = found[index].stage
        pending += [base] if base is not None else []
        pending += _edges(dockerfile, dockerfile.stages[index], contexts)
    return frozenset(needed)


def _edges(dockerfile: Dockerfile, stage: Stage, contexts: Collection[str]) -> dict[int, Instruction]:
    """The stages that one copies or mounts from, each with an instruction that does."""
    edges: dict[int, Instruction] = {}
    for instruction in stage.instructions:
        found = sources(dockerfile, instruction, contexts)
        edges |= {index: instruction for _, index in found if index is not None}
    return edges


def check_references(
    dockerfile: Dockerfile, stages: Collection[int] | None = None, contexts: Collection[str] = ()
) -> None:
    """Raises DockerfileError where stages depend on each other in a circle, or an instruction names a later stage.

    A circle is an error wherever it is; a later stage only in one of `stages` (None: any), those that are built.
    """
    _check_circles(dockerfile.stages, [_edges(dockerfile, stage, contexts) for stage in dockerfile.stages])
    for stage in dockerfile.stages:
        for instruction in stage.instructions if stages is None or stage.index in stages else ():
            for name, index in sources(dockerfile, instruction, contexts):
                if index is not None and index >= stage.index:
                    raise DockerfileError(_too_late(instruction, name, stage), instruction.lines)


def check_trigger(
    dockerfile: Dockerfile,
    found: Sequence[Base],
    stage: Stage,
    instruction: Instruction,
    contexts: Collection[str] = (),
) -> None:
    """Raises DockerfileError where an ONBUILD trigger of the stage's base names the stage itself or a later one.

    Also where what it names cannot be built: nothing else may need that stage.
    """
    for name, index in sources(dockerfile, instruction, contexts):
        if index is not None:
            if index >= stage.index:
                raise DockerfileError(_too_late(instruction, name, stage), instruction.lines)
            check_references(dockerfile, needed_stages(dockerfile, found, index, contexts), contexts)


def _too_late(instruction: Instruction, name: str, stage: Stage) -> str:
    if isinstance(instruction, Run):
        return f'cannot mount from stage "{name}", stage needs to be defined before current command'
    here = stage.name or f"stage-{stage.index}"
    return f'cannot copy from stage "{name}", it needs to be defined before current stage "{here}"'


def _check_circles(stages: Sequence[Stage], edges: Sequence[dict[int, Instruction]]) -> None:
    """A depth-first search without recursion: a file may have more stages than Python has frames."""
    done: set[int] = set()
    for start in range(len(stages)):
        path: list[tuple[int, Iterator[tuple[int, Instruction]]]] = []
        open_stages: set[int] = set()
        pending: int | None = start if start not in done else None
        while pending is not None or path:
            if pending is not None:
                path.append((pending, iter(edges[pending].items())))
                open_stages.add(pending)
                done.add(pending)
                pending = None
            index, left = path[-1]
            edge = next(left, None)
            if edge is None:
                path.pop()
                open_stages.discard(index)
                continue
            needed, instruction = edge
            if needed in open_stages:
                name = stages[start].name or f"stage-{start}"
                raise DockerfileError(f"circular dependency detected on stage: {name}", instruction.lines)
            if needed not in done:
                pending = needed


@dataclass(frozen=True, slots=True)
class Script:
    """What a RUN executes.

    `shell`: `text` is the shell's argument. `exec`: `words` are the command. `file`: `text` is a script with its own
    `#!` line, to be put read-only at /dev/pipes/`name` with mode 0755 and executed.
    """

    kind: Literal["shell", "exec", "file"]
    text: str = ""
    words: tuple[str, ...] = ()
    name: str = ""
    summary: str = ""  # " (first line...)" behind the instruction in progress output, for a RUN that is only a heredoc


def run_script(run: Run) -> Script:
    """A RUN that consists of one heredoc executes its body; one with more text leaves heredocs to the shell."""
    if not run.command.shell:
        return Script("exec", words=run.command.words)
    (text,) = run.command.words
    if not run.heredocs:
        return Script("shell", text)
    first = run.heredocs[0]
    if heredoc_or_path(text) is None:
        return Script("shell", text + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in run.heredocs))
    line, *more = first.content.strip().replace("\r\n", "\n").split("\n")
    summary = f" ({line}{'...' if more else ''})"
    if first.content.startswith("#!"):
        return Script("file", first.text, name=first.name, summary=summary)
    return Script("shell", first.text, summary=summary)
