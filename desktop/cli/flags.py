"""Command lines as docker reads them: a small parser with the rules of Go's pflag, which docker's command line uses.

Long flags take `--flag value` and `--flag=value`, booleans `--flag` and `--flag=false`; short ones may be joined
(`-it`, `-eA=1`, `-e=A=1`); `--` ends the flags. `run`, `create` and `exec` end them at their first argument, so that
the command's own flags stay its own; elsewhere flags and arguments may be mixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_ONE_LINE_AT_MOST = 1_000_000  # "any number" of arguments


class UsageError(Exception):
    """The command line is wrong. `status` is docker's: 125 for flags, 1 for the number of arguments."""

    def __init__(self, message: str, status: int = 125) -> None:
        super().__init__(message)
        self.status = status
        self.spec: Spec | None = None
        self.pointer = "Run"  # docker refers to the help with "See" if arguments are missing, else with "Run"


class HelpWanted(Exception):
    """The command line has `--help`."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec.name)
        self.spec = spec


class Flag(NamedTuple):
    """One flag. `kind` names a row of KINDS; `many`: it may be repeated and its value is a list."""

    name: str
    short: str = ""
    kind: str = "bool"
    help: str = ""
    many: bool = False
    default: object = None
    also: tuple[str, ...] = ()  # other names, not shown in the help

    @property
    def shown(self) -> str:
        """The flag as docker's messages write it: `-m, --memory`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Spec(NamedTuple):
    """A command: its usage, flags and how many arguments it takes; `statuses` are its exit codes, for the help."""

    name: str
    usage: str
    summary: str
    flags: Sequence[Flag] = ()
    least: int = 0
    most: int = _ONE_LINE_AT_MOST
    mixed: bool = True
    statuses: Sequence[tuple[str, str]] = (("0", "done"), ("1", "it failed"), ("125", "a flag is wrong"))
    more: str = ""


class Parsed:
    """The flags' values and the arguments. Each getter is for one kind of flag."""

    def __init__(self, values: Mapping[str, Any], given: frozenset[str], args: list[str]) -> None:
        self._values = values
        self._given = given
        self.args = args

    def given(self, name: str) -> bool:
        """The flag was on the command line."""
        return name in self._given

    def knows(self, name: str) -> bool:
        """The command has this flag."""
        return name in self._values

    def on(self, name: str) -> bool:
        return bool(self._values[name])

    def text(self, name: str) -> str | None:
        value = self._values[name]
        return None if value is None else str(value)

    def number(self, name: str) -> int | None:
        value = self._values[name]
        return None if value is None else int(value)

    def many(self, name: str) -> list[str]:
        return list(self._values[name])


# --- values


def parse_bool(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def parse_bytes(text: str) -> int:
    """docker's sizes: `512`, `64m`, `1.5g`, `2GiB` (all of base 1024); -1 stays (unlimited swap)."""
    if text == "-1":
        return -1
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?([kKmMgGtTpP])?[iI]?[bB]?", text)
    if found is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(found[1]) * 1024 ** ("kmgtp".index(found[2].lower()) + 1 if found[2] else 0))


def parse_cpus(text: str) -> int:
    """CPUs as nano-CPUs."""
    from fractions import Fraction

    try:
        nanos = Fraction(text) * 1_000_000_000
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if nanos.denominator != 1:
        raise ValueError("value is too precise")
    return int(nanos)


_UNIT_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def parse_duration(text: str) -> int:
    """Go's durations (`1m30s`, `500ms`, `0`) in nanoseconds."""
    if text == "0":
        return 0
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+"):
        raise ValueError(f'time: invalid duration "{text}"')
    return round(sum(float(number) * _UNIT_NS[unit] for number, unit in parts))


def parse_filter(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


KINDS: Mapping[str, Callable[[str], object]] = {
    "bool": parse_bool,
    "string": str,
    "list": str,
    "int": parse_int,
    "bytes": parse_bytes,
    "decimal": parse_cpus,
    "duration": parse_duration,
    "filter": parse_filter,
}


# --- parsing


def parse(spec: Spec, argv: Sequence[str]) -> Parsed:
    """Raises UsageError, HelpWanted."""
    try:
        return _Parser(spec).parse(argv)
    except UsageError as e:
        e.spec = spec
        raise


class _Parser:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._long = {name: flag for flag in spec.flags for name in (flag.name, *flag.also)}
        self._short = {flag.short: flag for flag in spec.flags if flag.short}
        self._values: dict[str, Any] = {
            flag.name: [] if flag.many else flag.default if flag.default is not None or flag.kind != "bool" else False
            for flag in spec.flags
        }
        self._given: set[str] = set()

    def parse(self, argv: Sequence[str]) -> Parsed:
        args: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                args += rest
                break
            if word.startswith("--"):
                self._take_long(word[2:], rest)
            elif word.startswith("-") and len(word) > 1:
                self._take_short(word[1:], rest)
            else:
                args.append(word)
                if not self._spec.mixed:
                    args += rest
                    break
        self._check_count(len(args))
        return Parsed(self._values, frozenset(self._given), args)

    def _take_long(self, word: str, rest: list[str]) -> None:
        name, has_value, value = word.partition("=")
        flag = self._long.get(name)
        if flag is None:
            if name == "help":
                raise HelpWanted(self._spec)
            raise UsageError(f"unknown flag: --{name}")
        if has_value:
            self._set(flag, value)
        elif flag.kind == "bool":
            self._set(flag, "true")
        elif rest:
            self._set(flag, rest.pop(0))
        else:
            raise UsageError(f"flag needs an argument: --{name}")

    def _take_short(self, letters: str, rest: list[str]) -> None:
        whole = letters
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self._short.get(letter)
            if flag is None:
                if letter == "h":
                    raise HelpWanted(self._spec)
                raise UsageError(f"unknown shorthand flag: '{letter}' in -{whole}")
            if letters.startswith("="):
                self._set(flag, letters[1:])
                return
            if flag.kind == "bool":
                self._set(flag, "true")
                continue
            if letters:
                self._set(flag, letters)
            elif rest:
                self._set(flag, rest.pop(0))
            else:
                raise UsageError(f"flag needs an argument: '{letter}' in -{whole}")
            return

    def _set(self, flag: Flag, text: str) -> None:
        try:
            value = KINDS[flag.kind](text)
        except ValueError as e:
            raise UsageError(f'invalid argument "{text}" for "{flag.shown}" flag: {e}') from None
        self._given.add(flag.name)
        if flag.many:
            self._values[flag.name].append(value)
        else:
            self._values[flag.name] = value

    def _check_count(self, count: int) -> None:
        spec = self._spec
        if spec.least <= count <= spec.most:
            return
        if spec.most == 0:
            problem = "accepts no arguments"
        elif spec.least == spec.most:
            problem = f"requires {spec.least} argument{'s' if spec.least != 1 else ''}"
        elif count < spec.least:
            problem = f"requires at least {spec.least} argument{'s' if spec.least != 1 else ''}"
        else:
            problem = f"requires at most {spec.most} argument{'s' if spec.most != 1 else ''}"
        error = UsageError(f"cove: 'cove {spec.name}' {problem}", status=1)
        error.pointer = "See" if "at least" in problem else "Run"
        raise error


# --- help


def usage_line(spec: Spec) -> str:
    return f"Usage:  cove {spec.name} {spec.usage}".rstrip()


def help_text(spec: Spec) -> str:
    """What `--help` prints: usage, flags, exit codes."""
    import shutil
    import textwrap

    width = max(60, min(100, shutil.get_terminal_size().columns))
    lines = [usage_line(spec), "", *textwrap.wrap(spec.summary, width)]
    if spec.more:
        lines += ["", spec.more.rstrip()]
    if spec.flags:
        names = {
            flag: f"  {f'-{flag.short},' if flag.short else '   '} --{flag.name}"
            f"{'' if flag.kind == 'bool' else f' {flag.kind}'}"
            for flag in spec.flags
        }
        column = min(30, max(map(len, names.values()))) + 3
        lines += ["", "Options:"]
        for flag in sorted(spec.flags, key=lambda flag: flag.name):
            default = f" (default {_shown(flag.default)})" if flag.default not in (None, False, "") else ""
            told = textwrap.wrap(flag.help + default, width - column)
            head = names[flag]
            if len(head) > column - 1:
                lines.append(head)
                head = ""
            for part in told or [""]:
                lines.append(f"{head:<{column}}{part}".rstrip())
                head = ""
    lines += ["", "Exit codes:"]
    lines += [f"  {code:<4} {meaning}" for code, meaning in spec.statuses]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
