"""`cove`: finds the command, loads its module and no other, and says errors in one line with docker's exit codes.

Start-up is a feature (100 ms at most, the interpreter included): this module imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop.cli import flags

# Each module has `main(argv, app) -> int`, argv without the command's name.
COMMANDS = {
    "attach": ("desktop.cli.attach", "Attach this terminal to a running container"),
    "bin": ("desktop.cli.bin", "What was deleted and can be brought back: ls, restore, rm, empty"),
    "build": ("desktop.cli.build", "Build an image from a Dockerfile"),
    "builder": ("desktop.cli.builder", "The build cache: prune"),
    "commit": ("desktop.cli.commit", "Make an image from what a container has changed"),
    "compose": ("desktop.cli.compose.main", "Run projects of several containers, described by compose files"),
    "completion": ("desktop.cli.completion", "Print the script by which a shell completes commands and names"),
    "config": ("desktop.cli.config", "Show and change the settings: the VM's size, ports, proxies"),
    "container": ("desktop.cli.container", "Containers: ls, inspect, prune and the verbs above"),
    "context": ("desktop.cli.context", "Choose where containers run: in the VM or natively"),
    "cp": ("desktop.cli.cp", "Copy files between a container and here"),
    "create": ("desktop.cli.create", "Create a container without starting it"),
    "diagnose": ("desktop.cli.diagnose", "Check all that Cove needs; say what is wrong, and what helps"),
    "diff": ("desktop.cli.diff", "Show what a container has changed"),
    "events": ("desktop.cli.events", "Show what happens, as it happens"),
    "exec": ("desktop.cli.exec", "Run a command in a running container"),
    "export": ("desktop.cli.export", "Write a container's file system as a tar"),
    "history": ("desktop.cli.history", "Show the steps an image was made of"),
    "host": ("desktop.cli.host", "Run the host agent, which looks after the VM"),
    "image": ("desktop.cli.image", "Images: ls, inspect, prune and the verbs above"),
    "images": ("desktop.cli.images", "List images"),
    "import": ("desktop.cli.import_", "Make an image from a root file system's tar"),
    "info": ("desktop.cli.info", "Show facts about the engine"),
    "inspect": ("desktop.cli.inspect", "Show all there is to know about containers and images"),
    "kill": ("desktop.cli.kill", "Send containers a signal, SIGKILL if none is named"),
    "load": ("desktop.cli.load", "Load images from a tar"),
    "login": ("desktop.cli.login", "Log in to a registry"),
    "logout": ("desktop.cli.logout", "Log out from a registry"),
    "logs": ("desktop.cli.logs", "Show what a container has written"),
    "manifest": ("desktop.cli.manifest", "Manifest lists at a registry: create, annotate, inspect, push, rm"),
    "network": ("desktop.cli.network", "Networks: ls, create, rm, inspect, connect, disconnect, prune"),
    "pause": ("desktop.cli.pause", "Freeze all processes of containers"),
    "port": ("desktop.cli.port", "Show a container's published ports"),
    "ps": ("desktop.cli.ps", "List containers"),
    "pull": ("desktop.cli.pull", "Fetch an image from a registry"),
    "push": ("desktop.cli.push", "Send an image to its registry"),
    "rename": ("desktop.cli.rename", "Rename a container"),
    "restart": ("desktop.cli.restart", "Restart containers"),
    "rm": ("desktop.cli.rm", "Remove containers"),
    "rmi": ("desktop.cli.rmi", "Remove images"),
    "run": ("desktop.cli.run", "Create a container from an image and start it"),
    "save": ("desktop.cli.save", "Write images to a tar"),
    "search": ("desktop.cli.search", "Search Docker Hub or another registry for images"),
    "start": ("desktop.cli.start", "Start stopped containers"),
    "stats": ("desktop.cli.stats", "Show what containers use, live"),
    "stop": ("desktop.cli.stop", "Stop containers"),
    "system": ("desktop.cli.system", "The engine as a whole: check, df, info, events, prune"),
    "tag": ("desktop.cli.tag", "Give an image another name"),
    "top": ("desktop.cli.top", "Show a container's processes"),
    "unpause": ("desktop.cli.unpause", "Let the processes of containers go on"),
    "update": ("desktop.cli.update", "Change the limits of containers"),
    "version": ("desktop.cli.version", "Show the versions of client and engine"),
    "vm": ("desktop.cli.vm", "Start, stop, look after the VM"),
    "volume": ("desktop.cli.volume", "Volumes: ls, create, rm, inspect, export, import, clone, rename, prune"),
    "wait": ("desktop.cli.wait", "Wait for containers to end, print their exit statuses"),
    "xray": ("desktop.cli.xray", "Show a container as the kernel has it: namespaces, limits, layers, network path"),
}
COMMON = ("run", "ps", "exec", "logs", "pull", "images", "stop", "rm", "vm", "context")

GLOBAL_FLAGS = """Options:
  -H, --host string      The engine's address: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST
      --context string   Where containers run: vm, native, or one that was made
  -D, --debug            Show tracebacks
  -v, --version          Print the version and quit"""


def entry() -> int:
    """The console script: exit status of the command line in sys.argv."""
    _fill_closed_descriptors()
    try:
        status = main(sys.argv[1:])
        if sys.stdout is not None:  # None if the caller has closed it
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _die_of_broken_pipe()
    except OSError as e:  # a full disk behind our output, a file that cannot be read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the rest of the buffer cannot be written either
        print(f"cove: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _fill_closed_descriptors() -> None:
    """Open /dev/null as each of the descriptors 0, 1 and 2 that is closed. Otherwise the next socket would get its
    number, and a container's output would be written to that socket."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one


def _die_of_broken_pipe() -> int:
    """Our output has no reader: end by SIGPIPE without a message, as Unix filters do."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the interpreter flushes stdout when it exits
    if sys.platform != "win32":
        import signal

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    return 141


def main(argv: Sequence[str]) -> int:
    """Returns the command's own status; for `run`, `create`, `exec` also 125: Cove failed, 126: can't execute, 127: not
    found."""
    from desktop.cli import flags

    try:
        top, rest = _global_flags(list(argv))
    except flags.UsageError as e:
        print(f"{e}\n\nRun 'cove --help' for more information", file=sys.stderr)
        return e.status
    if top.on("version"):
        from desktop.cli.version import VERSION

        print(f"cove version {VERSION}")
        return 0
    if not rest or top.on("help") or rest[0] == "help":
        named = rest[1] if len(rest) > 1 and rest[0] == "help" else ""
        if named not in COMMANDS:
            print(_overview())
            return 0
        rest = [named, "--help"]
    name, *arguments = rest
    if name not in COMMANDS:
        return _unknown(name)
    return _run(name, arguments, top)


def _global_flags(argv: list[str]) -> tuple[flags.Parsed, list[str]]:
    from desktop.cli import flags

    spec = flags.Spec(
        name="",
        usage="[OPTIONS] COMMAND",
        summary="",
        mixed=False,
        flags=(
            flags.Flag("host", "H", "string"),
            flags.Flag("context", "c", "string"),
            flags.Flag("debug", "D"),
            flags.Flag("version", "v"),
            flags.Flag("help", "h"),
        ),
    )
    parsed = flags.parse(spec, argv)
    return parsed, parsed.args


def _run(name: str, arguments: list[str], top: flags.Parsed) -> int:
    from desktop.cli import flags
    from desktop.cli.app import FAILURES, App, Failure, message_of
    from desktop.paths import host_paths

    paths = host_paths(os.environ, sys.platform)
    app = App(paths, os.environ, host=top.text("host"), context_name=top.text("context"), debug=top.on("debug"))
    try:
        status: int = import_module(COMMANDS[name][0]).main(arguments, app)
        return status
    except flags.HelpWanted as e:
        print(flags.help_text(e.spec))
        return 0
    except flags.UsageError as e:
        usage = f"{flags.usage_line(e.spec)}\n\n" if e.spec else ""
        _say(f"{e}\n\n{usage}{e.pointer} 'cove {name} --help' for more information")
        return e.status
    except Failure as e:
        if str(e):
            _say(str(e))
        if e.hint:
            _say(e.hint)
        return e.status
    except FAILURES as e:
        if app.debug:
            raise
        _say(message_of(e))
        return 1
    finally:
        app.close()


def _say(text: str) -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    print(text, file=sys.stderr)


def _unknown(name: str) -> int:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"\n\nDid you mean: cove {near[0]}" if near else "\n\nRun 'cove --help' for more information"
    print(f"cove: unknown command: cove {name}{hint}", file=sys.stderr)
    return 1


def _overview() -> str:
    lines = ["Usage:  cove [OPTIONS] COMMAND", "", "Linux containers on any desktop", "", "Common commands:"]
    lines += [f"  {name:<10} {COMMANDS[name][1]}" for name in COMMON]
    lines += ["", "Commands:"]
    lines += [f"  {name:<10} {COMMANDS[name][1]}" for name in COMMANDS if name not in COMMON]
    lines += ["", GLOBAL_FLAGS, "", "Run 'cove COMMAND --help' for the flags and exit codes of a command."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(entry())
