"""The build checks themselves: a syntax tree in, findings out, in BuildKit's order."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from vmagent.dockerfile import rules
from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.expand import BuildArguments, Scope, Step, global_scope, step
from vmagent.dockerfile.ignore import Ignore
from vmagent.dockerfile.lexer import Lexer
from vmagent.dockerfile.ports import split_port
from vmagent.dockerfile.rules import CheckOptions, Finding
from vmagent.dockerfile.stages import Base, bases, check_references
from vmagent.dockerfile.text import go_quote, nearest
from vmagent.dockerfile.tree import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Shell,
    Stage,
    Workdir,
)

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_PUBLIC = re.compile(r"(?:_|^)public(?:_|$)", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@|github\.com/")
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_NAME = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_NAME}(?:/{_NAME})*(?::\w[\w.-]{{0,127}})?(?:@{_DIGEST})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What the checks need to know of a base image. `platform` is "" where it was not looked up."""

    env: Mapping[str, str] = field(default_factory=dict)
    shell: bool = False  # the image sets SHELL
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """`error` is what stops the build where it is; the checks up to there have run."""

    findings: tuple[Finding, ...]
    error: DockerfileError | None = None


@dataclass(frozen=True, slots=True)
class CheckInput:
    """`stages` are the indices to check, None for all. `images` are the base images by the stage's index.

    `predefined` is the global scope before ARG; `target_platform` is what stages without --platform are built for.
    """

    dockerfile: Dockerfile
    given: Mapping[str, str] = field(default_factory=dict)
    predefined: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[int, BaseImage] = field(default_factory=dict)
    stages: Collection[int] | None = None
    ignore: Ignore | None = None
    target_platform: str = ""


def check_options(dockerfile: Dockerfile, given: Mapping[str, str]) -> CheckOptions:
    """The file's check directive; --build-arg BUILDKIT_DOCKERFILE_CHECK replaces it. Raises DockerfileError."""
    directive = dockerfile.check.value if dockerfile.check else ""
    return rules.parse_check_options(given.get("BUILDKIT_DOCKERFILE_CHECK", directive))


def check(what: CheckInput, options: CheckOptions) -> Checked:
    """Run the wanted checks."""
    findings: list[Finding] = []
    error: DockerfileError | None = None
    try:
        findings.extend(finding for finding in _findings(what) if options.wants(finding.rule))
    except DockerfileError as caught:
        error = caught
    return Checked(tuple(findings), error)


def _findings(what: CheckInput) -> Iterator[Finding]:
    tree = what.dockerfile
    for empty in tree.empty_continuations:
        yield Finding(rules.NO_EMPTY_CONTINUATION, "Empty continuation line", Lines(empty.line, empty.line))
    yield from _written(tree)
    yield from _stage_names(tree)
    yield from _casing(tree)
    yield from _default_bases(tree, what.predefined)
    build = global_scope(tree, what.given, what.predefined)
    found = bases(tree, build)
    for stage, base in zip(tree.stages, found, strict=True):
        yield from _from(stage, base, build)
    check_references(tree, what.stages)
    yield from _base_platforms(what, found)
    yield from _StageChecks(what, build, found).run()


def _written(tree: Dockerfile) -> Iterator[Finding]:
    """Checks of single instructions as they are written, in the file's order."""
    everything: list[Instruction] = [*tree.arguments]
    for stage in tree.stages:
        everything += (stage, *stage.instructions)
    for found in everything:
        if isinstance(found, Maintainer):
            message = "Maintainer instruction is deprecated in favor of using label"
            yield Finding(rules.MAINTAINER_DEPRECATED, message, found.lines)
        elif isinstance(found, Stage):
            if found.name_as_written != found.name:
                message = f"Stage name '{found.name_as_written}' should be lowercase"
                yield Finding(rules.STAGE_NAME_CASING, message, found.lines)
            if found.as_word and not _same_case(found.keyword, found.as_word):
                message = f"'{found.as_word}' and '{found.keyword}' keywords' casing do not match"
                yield Finding(rules.FROM_AS_CASING, message, found.lines)
            yield from _description("FROM", [found.name] if found.name else [], found)
        elif isinstance(found, Arg):
            yield from _description("ARG", [argument.name for argument in found.arguments], found)


def _same_case(keyword: str, other: str) -> bool:
    """True also for a keyword of mixed case: another check names that."""
    if keyword == keyword.lower():
        return other == other.lower()
    return keyword != keyword.upper() or other == other.upper()


def _description(what: str, names: list[str], found: Instruction) -> Iterator[Finding]:
    if names and found.comments and found.comments[-1].split(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        message = f"Comment for {what} should follow the format: `# {example} <description>`"
        yield Finding(rules.INVALID_DEFINITION_DESCRIPTION, message, found.lines)


def _stage_names(tree: Dockerfile) -> Iterator[Finding]:
    seen: set[str] = set()
    for stage in tree.stages:
        if stage.name in ("context", "scratch"):
            message = f"Stage name should not use the same name as reserved stage {go_quote(stage.name)}"
            yield Finding(rules.RESERVED_STAGE_NAME, message, stage.lines)
        if stage.name and stage.name in seen:
            message = f"Duplicate stage name {go_quote(stage.name)}, stage names should be unique"
            yield Finding(rules.DUPLICATE_STAGE_NAME, message, stage.lines)
        seen.add(stage.name)


def _casing(tree: Dockerfile) -> Iterator[Finding]:
    """All keywords in the case of the majority; upper case where there is none."""
    everything = [found for stage in tree.stages for found in (stage, *stage.instructions)]
    lower = sum(found.keyword == found.keyword.lower() for found in everything)
    upper = sum(found.keyword == found.keyword.upper() for found in everything)
    change: Callable[[str], str] = str.lower if lower > upper else str.upper
    for found in everything:
        if change(found.keyword) != found.keyword:
            majority = "lowercase" if lower > upper else "uppercase"
            message = f"Command '{found.keyword}' should match the case of the command majority ({majority})"
            yield Finding(rules.CONSISTENT_INSTRUCTION_CASING, message, found.lines)


def _default_bases(tree: Dockerfile, predefined: Mapping[str, str]) -> Iterator[Finding]:
    """Every FROM names an image also without --build-arg. What can't be expanded is an error later anyway."""
    try:
        values = global_scope(tree, {}, predefined).values
        names = [Lexer(tree.escape).expand(stage.base, values).text for stage in tree.stages]
    except DockerfileError:
        return
    for stage, name in zip(tree.stages, names, strict=True):
        if not _IMAGE.fullmatch(name):
            message = f"Default value for ARG {stage.base} results in empty or invalid base image name"
            yield Finding(rules.INVALID_DEFAULT_ARG_IN_FROM, message, stage.lines)


def _from(stage: Stage, base: Base, build: BuildArguments) -> Iterator[Finding]:
    known = build.declared | build.values.keys()
    for words in (base.name_words, base.platform_words):
        for name in sorted(words.unmatched - known):
            near = nearest(name, sorted(known))
            message = f"FROM argument '{name}' is not declared" + (f" (did you mean {near}?)" if near else "")
            yield Finding(rules.UNDEFINED_ARG_IN_FROM, message, stage.lines)
    words = base.platform_words
    target = build.values.get("TARGETPLATFORM")
    if words.matched == {"TARGETPLATFORM"} and not words.unmatched and base.platform == target:
        message = f"Setting platform to predefined {stage.platform} in FROM is redundant"
        yield Finding(rules.REDUNDANT_TARGET_PLATFORM, f"{message} as this is the default behavior", stage.lines)
    constant = base.platform and not words.matched and not words.unmatched
    if constant and not any(part in stage.name for part in base.platform.split("/")[:2]):
        message = f"FROM --platform flag should not use constant value {go_quote(base.platform)}"
        yield Finding(rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED, message, stage.lines)


def _base_platforms(what: CheckInput, found: tuple[Base, ...]) -> Iterator[Finding]:
    for index, image in sorted(what.images.items()):
        base, stage = found[index], what.dockerfile.stages[index]
        expected = base.platform or what.target_platform
        if image.platform and expected and image.platform.split("/")[:2] != expected.split("/")[:2]:
            message = (
                f"Base image {base.name} was pulled with platform {go_quote(image.platform)},"
                f" expected {go_quote(expected)} for current build"
            )
            yield Finding(rules.INVALID_BASE_IMAGE_PLATFORM, message, stage.lines)


@dataclass(slots=True)
class _State:
    """What a stage hands to the stages on top of it."""

    scope: Scope
    shell: bool
    workdir: bool = False


class _StageChecks:
    """Checks that need the variables' values: stage by stage, instruction by instruction."""

    def __init__(self, what: CheckInput, build: BuildArguments, found: tuple[Base, ...]) -> None:
        self._what = what
        self._build = build
        self._bases = found

    def run(self) -> Iterator[Finding]:
        states: list[_State] = []
        for stage, base in zip(self._what.dockerfile.stages, self._bases, strict=True):
            if base.stage is not None:
                below = states[base.stage]
                state = _State(below.scope, below.shell, below.workdir)
            else:
                image = self._what.images.get(stage.index, BaseImage())
                state = _State(Scope(image.env), image.shell)
            states.append(state)
            if self._what.stages is None or stage.index in self._what.stages:
                yield from self._stage(stage, state)

    def _stage(self, stage: Stage, state: _State) -> Iterator[Finding]:
        last: dict[type[Instruction], Lines] = {}
        for written in stage.instructions:
            found = step(written, state.scope, self._build, self._what.dockerfile.escape)
            yield from self._undefined(written, found, state)
            kind = type(written)
            if isinstance(written, Cmd | Entrypoint | Healthcheck):
                if kind in last:
                    message = f"Multiple {written.keyword} instructions should not be used in the same stage"
                    message += " because only the last one will be used"
                    yield Finding(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, message, last[kind])
                last[kind] = written.lines
            yield from self._instruction(found.instruction, state)
            state.scope = found.scope

    def _undefined(self, written: Instruction, found: Step, state: _State) -> Iterator[Finding]:
        for name in found.undefined:
            near = nearest(name, state.scope.env)
            message = f"Usage of undefined variable '${name}'" + (f" (did you mean ${near}?)" if near else "")
            yield Finding(rules.UNDEFINED_VAR, message, written.lines)

    def _instruction(self, found: Instruction, state: _State) -> Iterator[Finding]:
        if isinstance(found, Env | Label):
            yield from _pairs(found)
        elif isinstance(found, Arg):
            for argument in found.arguments:
                yield from _secret("ARG", argument.name, found.lines)
        elif isinstance(found, Cmd | Entrypoint):
            if found.command.shell and not state.shell:
                message = f"JSON arguments recommended for {found.keyword} to prevent unintended behavior"
                yield Finding(rules.JSON_ARGS_RECOMMENDED, f"{message} related to OS signals", found.lines)
        elif isinstance(found, Shell):
            state.shell = True
        elif isinstance(found, Workdir):
            if not state.workdir and not found.path.startswith("/"):
                message = f"Relative workdir {go_quote(found.path)} can have unexpected results"
                yield Finding(rules.WORKDIR_RELATIVE_PATH, f"{message} if the base image changes", found.lines)
            state.workdir = True
        elif isinstance(found, Expose):
            yield from _ports(found)
        elif isinstance(found, Copy | Add):
            yield from self._ignored(found)

    def _ignored(self, found: Copy | Add) -> Iterator[Finding]:
        ignore = self._what.ignore
        if ignore is None or (isinstance(found, Copy) and found.from_):
            return
        verb = "Add" if isinstance(found, Add) else "Copy"
        for source in found.sources:
            path = posixpath.normpath(source).lstrip("/") or "."
            if not _REMOTE.match(source) and ignore.ignores(path):
                message = f"Attempting to {verb} file {go_quote(source)} that is excluded by .dockerignore"
                yield Finding(rules.COPY_IGNORED_FILE, message, found.lines)


def _pairs(found: Env | Label) -> Iterator[Finding]:
    for pair in found.pairs:
        if pair.legacy:
            message = f'"{found.keyword} key=value" should be used instead of legacy "{found.keyword} key value" format'
            yield Finding(rules.LEGACY_KEY_VALUE_FORMAT, message, found.lines)
        if isinstance(found, Env):
            yield from _secret("ENV", pair.key, found.lines)


def _secret(what: str, name: str, lines: Lines) -> Iterator[Finding]:
    if _SECRET.search(name) and not _PUBLIC.search(name):
        message = f"Do not use ARG or ENV instructions for sensitive data ({what} {go_quote(name)})"
        yield Finding(rules.SECRETS_USED_IN_ARG_OR_ENV, message, lines)


def _ports(found: Expose) -> Iterator[Finding]:
    for port in found.ports:
        address, host, container = split_port(port)
        if container.partition("/")[2] != container.partition("/")[2].lower():
            message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
            yield Finding(rules.EXPOSE_PROTO_CASING, message, found.lines)
        if address or host:
            message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
            yield Finding(rules.EXPOSE_INVALID_FORMAT, message, found.lines)
