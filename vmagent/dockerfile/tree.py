"""The syntax tree of a Dockerfile. Values are immutable and hold what is written: no variable is replaced yet.

`vmagent.dockerfile.parser` makes the tree; `vmagent.dockerfile.expand` makes copies of instructions with their
variables replaced. Text that is not UTF-8 is kept as surrogate escapes (PEP 383). Durations are in nanoseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmagent.dockerfile.errors import Lines

Escape: TypeAlias = Literal["\\", "`"]
MountType: TypeAlias = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing: TypeAlias = Literal["shared", "private", "locked"]
Network: TypeAlias = Literal["default", "none", "host"]
Security: TypeAlias = Literal["sandbox", "insecure"]
_FETCHED = ("http://", "https://", "git@", "git://", "ssh://")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Directive:
    """A parser directive: `# name=value`, the name in lower case."""

    name: str
    value: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`<<NAME` with its body. `descriptor` is the number before `<<` (0 without one)."""

    name: str
    content: str  # as written, each line with its end; tabs are not removed
    expand: bool  # False where any part of the name was quoted
    chomp: bool  # `<<-`: leading tabs do not count
    descriptor: int = 0

    @property
    def text(self) -> str:
        """The body without leading tabs where `<<-` was written. Only a newline ends a line."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What RUN, CMD and ENTRYPOINT execute: one string for the shell, or the words of the exec (JSON) form."""

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """`key=value` of ENV or LABEL; `legacy` for `ENV key value`."""

    key: str
    value: str
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """One name of ARG. `value` is None where no default is given; `comment` describes it (`# NAME text` above it)."""

    name: str
    value: str | None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """`RUN --mount=…`, after its variables were replaced."""

    type: MountType
    source: str = ""
    target: str = ""
    from_: str = ""
    id: str = ""
    readonly: bool = False
    required: bool = False
    sharing: Sharing | None = None  # of a cache; BuildKit takes shared where nothing is said
    size_bytes: int = 0  # of a tmpfs; 0 is the kernel's default
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None  # of a secret: the variable that gets it. Without a target it is not a file

    @property
    def shows_files(self) -> bool:
        """Whether it shows files of a context, a stage or an image."""
        return self.type == "bind" or (self.type == "cache" and bool(self.from_))


@dataclass(frozen=True, slots=True)
class Device:
    """`RUN --device=name[,required]`: a CDI device."""

    name: str
    required: bool


@dataclass(frozen=True, slots=True)
class Health:
    """HEALTHCHECK as it stands in the image configuration; 0 means "inherit"."""

    test: tuple[str, ...]  # ("NONE",), ("CMD", word, …) or ("CMD-SHELL", text)
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all instructions have.

    `text` is the whole instruction with its continuation lines joined and comments removed, as it stands in the image's
    history; bodies of heredocs are not in it. `keyword` is as written. `comments` are the comment lines right above.
    """

    lines: Lines
    text: str
    keyword: str
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Files(Instruction):
    """What COPY and ADD have. `sources` are paths (or globs), `contents` are heredocs, which become files of their
    name."""

    sources: tuple[str, ...]
    contents: tuple[Heredoc, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Files):
    from_: str = ""
    parents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Files):
    """ADD. Sources may also be URLs and git repositories. `unpack` is None where the flag is not given."""

    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None

    @property
    def fetched(self) -> tuple[str, ...]:
        """The sources that are URLs and repositories, once they are expanded."""
        return tuple(source for source in self.sources if source.startswith(_FETCHED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """RUN. `mounts` is empty until the instruction is expanded, because every option may hold variables.

    `mount_flags` are the values of --mount as written, `mounts_from` what their `from` options name, in order: `from`
    holds no variables, so the stages that a RUN needs are known before expansion.
    """

    command: CommandLine
    heredocs: tuple[Heredoc, ...] = ()
    mount_flags: tuple[str, ...] = ()
    mounts_from: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: Network = "default"
    security: Security = "sandbox"
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    health: Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """EXPOSE: `8080`, `8080/udp`, `8000-8010/tcp`, sorted as words."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """ONBUILD. `trigger` is the text that the image keeps, bodies of heredocs included."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Instruction):
    """FROM and the instructions up to the next one. The instruction's own fields are those of FROM."""

    index: int
    base: str
    name: str = ""  # in lower case; empty without AS
    platform: str = ""
    comment: str = ""  # `# NAME text` above it
    as_word: str = ""  # AS as written
    name_as_written: str = ""
    instructions: tuple[Instruction, ...] = ()


@dataclass(frozen=True, slots=True)
class EmptyContinuation:
    """An empty line inside an instruction: ignored, but deprecated. `text` is the instruction."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file. `arguments` are the ARG instructions before the first FROM."""

    source: str
    escape: Escape
    syntax: Directive | None
    check: Directive | None
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    empty_continuations: tuple[EmptyContinuation, ...] = ()
