"""From a logical line to a typed instruction."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.flags import Flags, Kind, read_flags
from vmagent.dockerfile.lines import LogicalLine, heredoc_of
from vmagent.dockerfile.mounts import mount_source, parse_device
from vmagent.dockerfile.text import SPACES, go_quote, suggested
from vmagent.dockerfile.tree import (
    Add,
    Arg,
    Argument,
    Cmd,
    CommandLine,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Health,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Network,
    Onbuild,
    Pair,
    Run,
    Security,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from vmagent.dockerfile.values import duration_ns
from vmagent.dockerfile.words import KEYWORDS

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_MILLISECOND_NS = 1_000_000
_COPY_FLAGS: Mapping[str, Kind] = {
    "chown": "text", "from": "text", "chmod": "text", "link": "switch", "parents": "switch", "exclude": "list",
}  # fmt: skip
_ADD_FLAGS: Mapping[str, Kind] = {
    "chown": "text", "chmod": "text", "link": "switch", "keep-git-dir": "switch", "checksum": "text",
    "unpack": "switch", "exclude": "list",
}  # fmt: skip
_RUN_FLAGS: Mapping[str, Kind] = {"mount": "list", "network": "text", "security": "text", "device": "list"}
_HEALTH_FLAGS: Mapping[str, Kind] = dict.fromkeys(
    ("interval", "timeout", "start-period", "start-interval", "retries"), "text"
)
_NETWORKS: Mapping[str, Network] = {"default": "default", "none": "none", "host": "host"}
_SECURITIES: Mapping[str, Security] = {"sandbox": "sandbox", "insecure": "insecure"}


class _Common(TypedDict):
    lines: Lines
    text: str
    keyword: str
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Request:
    """A logical line on its way to an instruction."""

    line: LogicalLine
    name: str  # in upper case
    index: int  # of the next stage

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.line.words.arguments

    @property
    def common(self) -> _Common:
        line = self.line
        return _Common(
            lines=line.lines, text=line.text.strip(SPACES), keyword=line.words.keyword, comments=line.comments
        )

    def flags(self, known: Mapping[str, Kind] | None = None) -> Flags:
        return read_flags(self.line.words.flags, known or {})

    def only(self) -> str:
        if len(self.arguments) != 1:
            raise DockerfileError(f"{self.name} requires exactly one argument")
        return self.arguments[0]

    def some(self) -> tuple[str, ...]:
        if not self.arguments:
            raise DockerfileError(f"{self.name} requires at least one argument")
        return self.arguments

    def command(self) -> CommandLine:
        if self.line.words.json:
            return CommandLine(self.arguments, False)
        return CommandLine((" ".join(self.arguments),), True)

    def comment(self, name: str) -> str:
        """The description of `name` among the comments above: `# NAME text`."""
        if not name:
            return ""
        prefix = name + " "
        return next((line.removeprefix(prefix) for line in self.line.comments if line.startswith(prefix)), "")


def instruction(line: LogicalLine, index: int) -> Instruction:
    """The instruction of a line; FROM becomes a Stage without instructions, the `index`-th. Raises DockerfileError."""
    try:
        return bare_instruction(line, index)
    except DockerfileError as error:
        raise DockerfileError(f"dockerfile parse error on line {line.lines.first}: {error}", line.lines) from error


def bare_instruction(line: LogicalLine, index: int) -> Instruction:
    """As `instruction`; its errors do not name the line."""
    words = line.words
    make = _INSTRUCTIONS.get(words.name)
    if make is None:
        message = suggested(f"unknown instruction: {words.keyword}", words.keyword, KEYWORDS, case_sensitive=False)
        raise DockerfileError(message)
    return make(_Request(line, words.keyword.upper(), index))


def _from(request: _Request) -> Stage:
    base, *named = request.arguments or ("",)
    as_word, written = named if len(named) == 2 else ("", "")
    name = written.lower()
    if not request.arguments or (named and as_word.lower() != "as"):
        raise DockerfileError("FROM requires either one or three arguments")
    if named and not _STAGE_NAME.fullmatch(name):
        raise DockerfileError(
            f"invalid name for build stage: {go_quote(written)}, name can't start with a number or contain symbols"
        )
    flags = request.flags({"platform": "text"})
    return Stage(
        **request.common,
        index=request.index,
        base=base,
        name=name,
        platform=flags.text("platform"),
        comment=request.comment(name),
        as_word=as_word,
        name_as_written=written,
    )


def _arg(request: _Request) -> Arg:
    arguments: list[Argument] = []
    for word in request.some():
        name, sign, value = word.partition("=")
        if sign and not name:
            raise DockerfileError("ARG names can not be blank")
        arguments.append(Argument(name, value if sign else None, request.comment(name)))
    return Arg(**request.common, arguments=tuple(arguments))


def _pairs(request: _Request) -> tuple[Pair, ...]:
    request.flags()
    words = request.some()
    pairs = tuple(Pair(key, value, not sign) for key, value, sign in zip(*[iter(words)] * 3, strict=True))
    if not all(pair.key for pair in pairs):
        raise DockerfileError(f"{request.name} names can not be blank")
    return pairs


def _maintainer(request: _Request) -> Maintainer:
    name = request.only()
    request.flags()
    return Maintainer(**request.common, name=name)


class _Files(_Common):
    sources: tuple[str, ...]
    contents: tuple[Heredoc, ...]
    destination: str
    chown: str
    chmod: str
    link: bool
    exclude: tuple[str, ...]


def _files(request: _Request, known: Mapping[str, Kind]) -> tuple[_Files, Flags]:
    """What COPY and ADD have, and their flags: those in `known`."""
    if len(request.arguments) < 2:
        raise DockerfileError(
            f"{request.name} requires at least two arguments, but only one was provided. Destination could not be"
            " determined"
        )
    flags = request.flags(known)
    *sources, destination = request.arguments
    if heredoc_or_path(destination):
        raise DockerfileError(f"{request.name} cannot accept a heredoc as a destination")
    bodies = {heredoc.name: heredoc.content for heredoc in request.line.heredocs}
    paths: list[str] = []
    contents: list[Heredoc] = []
    for source in sources:
        if found := heredoc_or_path(source):
            contents.append(dataclasses.replace(found, content=bodies.get(found.name, "")))
        else:
            paths.append(source)
    files = _Files(
        **request.common,
        sources=tuple(paths),
        contents=tuple(contents),
        destination=destination,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=bool(flags.switch("link")),
        exclude=flags.all("exclude"),
    )
    return files, flags


def heredoc_or_path(word: str) -> Heredoc | None:
    """The heredoc that a word of COPY announces, None for a path."""
    try:
        return heredoc_of(word)
    except DockerfileError:  # an open quote: then it is a path
        return None


def _copy(request: _Request) -> Copy:
    files, flags = _files(request, _COPY_FLAGS)
    return Copy(**files, from_=flags.text("from"), parents=bool(flags.switch("parents")))


def _add(request: _Request) -> Add:
    files, flags = _files(request, _ADD_FLAGS)
    return Add(
        **files,
        checksum=flags.text("checksum"),
        keep_git_dir=bool(flags.switch("keep-git-dir")),
        unpack=flags.switch("unpack"),
    )


def _run(request: _Request) -> Run:
    flags = request.flags(_RUN_FLAGS)
    network, security = flags.text("network", "default"), flags.text("security", "sandbox")
    mounts_from = tuple(mount_source(text) for text in flags.all("mount"))
    if network not in _NETWORKS:
        raise DockerfileError(f"invalid network mode {go_quote(network)}")
    if security not in _SECURITIES:
        raise DockerfileError(f"security {go_quote(security)} is not valid")
    return Run(
        **request.common,
        command=request.command(),
        heredocs=request.line.heredocs,
        mount_flags=flags.all("mount"),
        mounts_from=tuple(name for name in mounts_from if name),
        network=_NETWORKS[network],
        security=_SECURITIES[security],
        devices=tuple(parse_device(text) for text in flags.all("device")),
    )


def _command(request: _Request) -> CommandLine:
    request.flags()
    return request.command() if request.arguments or request.line.words.json else CommandLine(("",), True)


def _shell(request: _Request) -> Shell:
    request.flags()
    words = request.some()
    if not request.line.words.json:
        raise DockerfileError(f"{request.name} requires the arguments to be in JSON form")
    return Shell(**request.common, words=words)


def _healthcheck(request: _Request) -> Healthcheck:
    kind, *rest = request.some()
    if kind.upper() == "NONE":
        if rest:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(**request.common, health=Health(("NONE",)))
    flags = request.flags(_HEALTH_FLAGS)
    if kind.upper() != "CMD":
        raise DockerfileError(f"Unknown type {go_quote(kind.upper())} in HEALTHCHECK (try CMD)")
    if not rest:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    health = Health(
        ("CMD", *rest) if request.line.words.json else ("CMD-SHELL", " ".join(rest)),
        _interval_ns(flags, "interval"),
        _interval_ns(flags, "timeout"),
        _interval_ns(flags, "start-period"),
        _interval_ns(flags, "start-interval"),
        _retries(flags.text("retries")),
    )
    return Healthcheck(**request.common, health=health)


def _interval_ns(flags: Flags, name: str) -> int:
    text = flags.text(name)
    value = duration_ns(text) if text else 0
    if value and value < _MILLISECOND_NS:
        raise DockerfileError(f"Interval {go_quote(name)} cannot be less than 1ms")
    return value


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise DockerfileError(f"strconv.ParseInt: parsing {go_quote(text)}: invalid syntax")
    value = int(text) if len(text) < 12 else 1 << 31
    if not -(1 << 31) <= value < 1 << 31:
        raise DockerfileError(f"strconv.ParseInt: parsing {go_quote(text)}: value out of range")
    if value < 0:
        raise DockerfileError(f"--retries cannot be negative ({value})")
    return value


def _expose(request: _Request) -> Expose:
    ports = request.some()
    request.flags()
    return Expose(**request.common, ports=tuple(sorted(ports)))


def _user(request: _Request) -> User:
    user = request.only()
    request.flags()
    return User(**request.common, user=user)


def _workdir(request: _Request) -> Workdir:
    path = request.only()
    request.flags()
    return Workdir(**request.common, path=path)


def _volume(request: _Request) -> Volume:
    paths = tuple(path.strip(SPACES) for path in request.some())
    request.flags()
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return Volume(**request.common, paths=paths)


def _onbuild(request: _Request) -> Onbuild:
    trigger = request.some()[0].strip(SPACES).upper()
    request.flags()
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", request.line.text, count=1)
    bodies = ("\n" + heredoc.content + heredoc.name for heredoc in request.line.heredocs)
    return Onbuild(**request.common, trigger="".join((text, *bodies)))


_INSTRUCTIONS: Mapping[str, Callable[[_Request], Instruction]] = {
    "add": _add,
    "arg": _arg,
    "cmd": lambda request: Cmd(**request.common, command=_command(request)),
    "copy": _copy,
    "entrypoint": lambda request: Entrypoint(**request.common, command=_command(request)),
    "env": lambda request: Env(**request.common, pairs=_pairs(request)),
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": lambda request: Label(**request.common, pairs=_pairs(request)),
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": lambda request: StopSignal(**request.common, signal=request.only()),
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
