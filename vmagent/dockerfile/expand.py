"""Variables: which instructions replace them, and what a variable means where.

Three scopes: the global one (ARG before the first FROM, and the predefined arguments), a stage (its base's
environment, then ENV and ARG in their order), and --build-arg, which gives values to what ARG declares. A stage whose
base is another stage goes on with that stage's scope. RUN, CMD, ENTRYPOINT and HEALTHCHECK are left to the shell, but
for the options of `RUN --mount`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.lexer import Lexer
from vmagent.dockerfile.mounts import parse_mount
from vmagent.dockerfile.ports import exposed_ports
from vmagent.dockerfile.tree import (
    Add,
    Arg,
    Argument,
    Copy,
    Dockerfile,
    Env,
    Escape,
    Expose,
    Heredoc,
    Instruction,
    Label,
    Pair,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from vmagent.errors import BadRequest
from vmagent.signals import signal_number

_EMPTY: Mapping[str, str] = MappingProxyType({})
# Arguments that steer BuildKit's scanners: they never become part of the environment.
NOT_ENVIRONMENT = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class BuildArguments:
    """The arguments of one build.

    `given` is --build-arg. `values` is the global scope: predefined arguments, then what ARG before the first FROM
    makes of them. `declared` names those ARGs, with a value or without.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """What variables mean at one place of a stage.

    `env` is what they expand to and what RUN gets as its environment: the base image's, ENV's and ARG's values.
    `arguments` are the ARGs so far, in order, with their values; a name may be there more than once.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction with its variables replaced, the scope behind it, and the names that nothing defined."""

    instruction: Instruction
    scope: Scope
    undefined: tuple[str, ...] = ()


def predefined_arguments(
    build_platform: str, target_platform: str, stage: str, given: Mapping[str, str]
) -> Mapping[str, str]:
    """TARGETPLATFORM and its kin. Platforms are `os/arch[/variant]`; `stage` is the target's name, "" for the last one.

    --build-arg changes them as any other argument.
    """
    values: dict[str, str] = {}
    for prefix, platform in (("BUILD", build_platform), ("TARGET", target_platform)):
        os, arch, variant = (*platform.split("/", 2), "", "")[:3]
        values |= {
            f"{prefix}PLATFORM": platform,
            f"{prefix}OS": os,
            f"{prefix}OSVERSION": "",
            f"{prefix}ARCH": arch,
            f"{prefix}VARIANT": variant,
        }
    values["TARGETSTAGE"] = stage or "default"
    return values | {name: given[name] for name in values if name in given}


def global_scope(
    dockerfile: Dockerfile, given: Mapping[str, str] = _EMPTY, predefined: Mapping[str, str] = _EMPTY
) -> BuildArguments:
    """The build's arguments: what FROM lines and ARG without a default see. Raises DockerfileError."""
    lexer = Lexer(dockerfile.escape)
    values = dict(predefined)
    declared: set[str] = set()
    for instruction in dockerfile.arguments:
        for argument in instruction.arguments:
            declared.add(argument.name)
            if argument.name in given:
                values[argument.name] = given[argument.name]
            elif argument.value is not None:
                try:
                    values[argument.name] = lexer.expand(argument.value, values).text
                except DockerfileError as error:
                    raise error.at(instruction.lines) from error
    return BuildArguments(given, values, frozenset(declared))


def proxy_environment(given: Mapping[str, str], defaults: Mapping[str, str] = _EMPTY) -> Mapping[str, str]:
    """The variables that the predefined proxy arguments add to RUN, in both spellings. `defaults`: in upper case, for
    arguments that are not given; an empty one that is given counts.

    They are part of neither the history nor the cache's key, and stand behind every other variable.
    """
    values: dict[str, str] = {}
    names = {name.upper() for name in given}
    for name, value in [*((name, value) for name, value in defaults.items() if name not in names), *given.items()]:
        if name.upper() in _PROXIES and value:
            values |= {name.upper(): value, name.lower(): value}
    return values


def history_arguments(scope: Scope) -> tuple[str, ...]:
    """`|2`, `a=1`, `b=2`: what stands before RUN's command in the history where the scope has arguments."""
    values = {argument.name: scope.env.get(argument.name, argument.value or "") for argument in scope.arguments}
    return (f"|{len(values)}", *(f"{name}={value}" for name, value in values.items())) if values else ()


def step(instruction: Instruction, scope: Scope, build: BuildArguments, escape: Escape = "\\") -> Step:
    """Replace the variables of one instruction; all of it sees the scope before it. Raises DockerfileError."""
    expander = _Expander(scope.env, Lexer(escape))
    expanded: Instruction
    try:
        if isinstance(instruction, Arg):
            expanded, after = _declare(instruction, scope, build, expander)
        else:
            replace = _REPLACED.get(type(instruction))
            expanded = replace(expander, instruction) if replace else instruction
            after = scope
            if isinstance(expanded, Env):
                values = {pair.key: pair.value for pair in expanded.pairs}
                after = dataclasses.replace(scope, env={**scope.env, **values})
    except DockerfileError as error:
        raise error.at(instruction.lines) from error
    known = {argument.name for argument in scope.arguments} | NOT_ENVIRONMENT
    return Step(expanded, after, tuple(sorted(expander.unmatched - known)))


def _declare(instruction: Arg, scope: Scope, build: BuildArguments, expander: _Expander) -> tuple[Arg, Scope]:
    """ARG: each name sees the ones before it on its line. Without default and --build-arg the global value counts."""
    env = dict(scope.env)
    arguments: list[Argument] = []
    for argument in instruction.arguments:
        value = build.given.get(argument.name)
        if value is None and argument.value is None:
            value = build.values.get(argument.name)
        elif value is None and argument.value is not None:
            expander.env = env
            value = expander.word(argument.value)
        if value is not None and argument.name not in NOT_ENVIRONMENT:
            env[argument.name] = value
        arguments.append(dataclasses.replace(argument, value=value))
    after = Scope(env, (*scope.arguments, *arguments))
    return dataclasses.replace(instruction, arguments=tuple(arguments)), after


@dataclass(slots=True)
class _Expander:
    env: Mapping[str, str]
    lexer: Lexer
    unmatched: set[str] = field(default_factory=set)

    def word(self, text: str) -> str:
        found = self.lexer.expand(text, self.env)
        self.unmatched |= found.unmatched
        return found.text

    def all(self, texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self.word, texts))

    def pairs(self, pairs: Iterable[Pair]) -> tuple[Pair, ...]:
        return tuple(Pair(self.word(pair.key), self.word(pair.value), pair.legacy) for pair in pairs)

    def heredoc(self, heredoc: Heredoc) -> Heredoc:
        """Quotes mean nothing in a body, and its escape character is the backslash whatever the file's is."""
        text = heredoc.text
        if heredoc.expand:
            found = Lexer(skip_quotes=True).expand(text, self.env)
            self.unmatched |= found.unmatched
            text = found.text
        return dataclasses.replace(heredoc, content=text, chomp=False)


def _copy(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, Copy | Add)
    changed = dataclasses.replace(
        found,
        chown=expander.word(found.chown),
        chmod=expander.word(found.chmod),
        sources=expander.all(found.sources),
        destination=expander.word(found.destination),
        exclude=expander.all(found.exclude),
        contents=tuple(map(expander.heredoc, found.contents)),
    )
    if isinstance(changed, Add):
        return dataclasses.replace(changed, checksum=expander.word(changed.checksum))
    return changed


def _run(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, Run)
    mounts = tuple(parse_mount(text, expander.word) for text in found.mount_flags)
    return dataclasses.replace(found, mounts=mounts)


def _expose(expander: _Expander, found: Instruction) -> Instruction:
    """A variable may hold several ports."""
    assert isinstance(found, Expose)
    words: list[str] = []
    for port in found.ports:
        expanded = expander.lexer.expand(port, expander.env)
        expander.unmatched |= expanded.unmatched
        words += expanded.words
    exposed_ports(words)  # raises for a wrong one
    return dataclasses.replace(found, ports=tuple(words))


def _pairs(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, Env | Label)
    return dataclasses.replace(found, pairs=expander.pairs(found.pairs))


def _volume(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, Volume)
    paths = expander.all(found.paths)
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return dataclasses.replace(found, paths=paths)


def _signal(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, StopSignal)
    name = expander.word(found.signal)
    try:
        signal_number(name)
    except BadRequest as error:
        raise DockerfileError(str(error)) from error
    return dataclasses.replace(found, signal=name)


def _user(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, User)
    return dataclasses.replace(found, user=expander.word(found.user))


def _workdir(expander: _Expander, found: Instruction) -> Instruction:
    assert isinstance(found, Workdir)
    return dataclasses.replace(found, path=expander.word(found.path))


_REPLACED: Mapping[type[Instruction], Callable[[_Expander, Instruction], Instruction]] = {
    Add: _copy,
    Copy: _copy,
    Env: _pairs,
    Expose: _expose,
    Label: _pairs,
    Run: _run,
    StopSignal: _signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
