"""`cove-runtime`: its commands and flags, which are those of runc, as OCI engines use them.

Exit status: that of the process for `run` and `exec` in the foreground; 1 for a failure, 255 for a failure of `exec`.
Only the module of the given command is imported: the start of this program is most of a short container's time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from vmagent.runtime.failure import MOUNT, NOT_FOUND, PERMISSION, SPEC, USER, LaunchError
from vmagent.runtime.log import Log
from vmagent.runtime.updateflags import FLAGS
from vmagent.runtime.version import SPEC_VERSION

_VERSION = f"cove-runtime version 0.1.0\nspec: {SPEC_VERSION}"
_DURATIONS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

_COMMANDS = frozenset(
    [
        "create",
        "run",
        "start",
        "state",
        "pause",
        "resume",
        "kill",
        "delete",
        "ps",
        "list",
        "events",
        "spec",
        "features",
        "checkpoint",
        "restore",
        "update",
        "exec",
    ]
)
_REFUSED = ("checkpoint", "restore")
_WITH_VALUE = frozenset(("--root", "--log", "--log-format", "--rootless", "--criu"))

Command = Callable[[argparse.Namespace, Log], int]


def main(argv: list[str]) -> int:
    at = _position_of_command(argv)
    wanted = argv[at] if at < len(argv) else ""
    # The flags of refused commands are not defined here; an error about a flag would hide the real reason.
    options = _parser(wanted).parse_args(argv[: at + 1] if wanted in _REFUSED else argv)
    log = Log(options.log, options.log_format)
    try:
        if options.systemd_cgroup:
            raise LaunchError(SPEC, "--systemd-cgroup: systemd's own cgroups are not supported, only cgroupfs")
        module, _, function = options.command.rpartition(".")
        command: Command = getattr(import_module(f"vmagent.runtime.{module}"), function)
        return command(options, log)
    except LaunchError as e:
        text = str(e)
        if e.kind in (NOT_FOUND, PERMISSION, USER, MOUNT):
            text = f"unable to start container process: {text}"  # the text of runc, which engines search for
    except OSError as e:
        text = f"{e.strerror or e}" + (f": {e.filename}" if e.filename else "")
    log.fail(text)
    return 255 if options.name == "exec" else 1


def _position_of_command(argv: list[str]) -> int:
    """The index of the command in `argv`; len(argv) if there is none."""
    before = ""
    for position, word in enumerate(argv):
        if word in _COMMANDS and before not in _WITH_VALUE:
            return position
        before = word
    return len(argv)


def refuse(options: argparse.Namespace, log: Log) -> int:
    raise LaunchError(SPEC, f"{options.name}: checkpoint and restore are not supported")


def _seconds(text: str) -> float:
    """A duration as Go writes it: "5s", "500ms". Raises ValueError, which argparse reports."""
    for unit, factor in _DURATIONS.items():
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    return float(text)


class _NotWanted:
    """A placeholder for the parser of a command that was not given."""

    def add_argument(self, *_: object, **__: object) -> None:
        """Ignore the flag."""


_Flags = argparse.ArgumentParser | _NotWanted


def _add_process_flags(sub: _Flags) -> None:
    sub.add_argument("--console-socket", default="", help="where the terminal's master is sent")
    sub.add_argument("--pid-file", default="", help="where the pid is written")
    sub.add_argument("--preserve-fds", type=int, default=0, help="how many descriptors after stdio are kept")


def _parser(wanted: str) -> argparse.ArgumentParser:
    """The parser of the command line. `wanted`: the only command to define (this saves time), "" for all."""
    parser = argparse.ArgumentParser(prog="cove-runtime", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", "-v", action="version", version=_VERSION)
    parser.add_argument("--root", type=Path, default=Path("/run/cove-runtime"), help="where states are kept")
    parser.add_argument("--log", default="", help="append warnings and errors to this file")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--debug", action="store_true", help="accepted; there are no further messages")
    parser.add_argument("--rootless", default="auto", help="accepted: this runtime needs root")
    parser.add_argument("--criu", default="", help=argparse.SUPPRESS)
    parser.add_argument("--systemd-cgroup", action="store_true", help="refused: cgroups are made without systemd")
    commands = parser.add_subparsers(dest="name", required=True)

    def command(name: str, function: str, help_text: str, *, has_id: bool = True) -> _Flags:
        if wanted not in ("", name):
            return _NotWanted()
        sub = commands.add_parser(name, help=help_text, allow_abbrev=False)
        sub.set_defaults(command=function)
        if has_id:
            sub.add_argument("id", metavar="container-id")
        return sub

    for name, function, text in (
        ("create", "lifecycle.create", "make a container that waits for `start`"),
        ("run", "lifecycle.run", "make a container, start it, wait for it"),
    ):
        sub = command(name, function, text)
        sub.add_argument("--bundle", "-b", default=".")
        _add_process_flags(sub)
        sub.add_argument("--no-new-keyring", action="store_true", help="stay in the caller's session keyring")
        sub.add_argument("--no-pivot", action="store_true", help="refused: there is no safe root without pivot_root")
        if name == "run":
            sub.add_argument("--detach", "-d", action="store_true")
            sub.add_argument("--keep", action="store_true", help="do not delete the container after it ended")
            sub.add_argument("--no-subreaper", action="store_true", help="accepted: this runtime never is one")
    command("start", "lifecycle.start", "run the command of a created container")
    command("state", "inspection.state", "print the OCI state")
    command("pause", "updating.pause", "freeze all processes")
    command("resume", "updating.resume", "let them go on")
    sub = command("kill", "lifecycle.kill", "send a signal (default TERM)")
    sub.add_argument("--all", "-a", action="store_true")
    sub.add_argument("signal", nargs="?", default="TERM")
    sub = command("delete", "lifecycle.delete", "remove what is left of a stopped container")
    sub.add_argument("--force", "-f", action="store_true")
    sub = command("ps", "inspection.ps", "the container's processes, on the host")
    sub.add_argument("--format", "-f", choices=("table", "json"), default="table")
    sub.add_argument("args", nargs=argparse.REMAINDER, help="for ps(1)")
    sub = command("list", "inspection.list_all", "the containers below --root", has_id=False)
    sub.add_argument("--quiet", "-q", action="store_true")
    sub.add_argument("--format", "-f", choices=("table", "json"), default="table")
    sub = command("events", "inspection.events", "statistics, and kills for want of memory")
    sub.add_argument("--interval", type=_seconds, default=5.0)
    sub.add_argument("--stats", action="store_true", help="the statistics now, and no more")
    sub = command("spec", "inspection.spec", "write an example config.json", has_id=False)
    sub.add_argument("--bundle", "-b", default=".")
    sub.add_argument("--rootless", action="store_true", dest="rootless")
    command("features", "inspection.features", "what this runtime knows, as JSON", has_id=False)
    for name in _REFUSED:
        command(name, "commandline.refuse", "not supported", has_id=False)
    sub = command("update", "updating.update", "change limits while the container runs")
    sub.add_argument("--resources", "-r", default="", help="a JSON file, or - for stdin")
    for flag in (*FLAGS, "l3_cache_schema", "mem_bw_schema"):
        sub.add_argument("--" + flag.replace("_", "-"), default="")
    _add_exec(command)
    return parser


def _add_exec(command: Callable[[str, str, str], _Flags]) -> None:
    sub = command("exec", "execution.execute", "run another process in a container")
    sub.add_argument("--process", "-p", default="", help="an OCI process object, as a file")
    sub.add_argument("--tty", "-t", action="store_true")
    sub.add_argument("--user", "-u", default=None)
    sub.add_argument("--additional-gids", "-g", type=int, action="append", default=[])
    sub.add_argument("--cwd", default="")
    sub.add_argument("--env", "-e", action="append", default=[])
    sub.add_argument("--cap", "-c", action="append", default=[])
    sub.add_argument("--no-new-privs", action="store_true")
    sub.add_argument("--detach", "-d", action="store_true")
    sub.add_argument("--ignore-paused", action="store_true")
    sub.add_argument("--cgroup", action="append", default=[])
    sub.add_argument("--apparmor", default="")
    sub.add_argument("--process-label", default="")
    _add_process_flags(sub)
    sub.add_argument("args", nargs=argparse.REMAINDER)
