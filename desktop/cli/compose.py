"""`cove compose`: projects of several containers, with docker compose's commands and flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Parsed, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App
    from desktop.compose.project import Options, Project

# Each verb: its module, its function `(argv, Call) -> int`, and its line in the help.
VERBS = {
    "build": ("desktop.cli.composeverbs", "build", "Build the services' images"),
    "config": ("desktop.cli.composeconfig", "config", "Print the project as it was read, or parts of it"),
    "down": ("desktop.cli.composeup", "down", "Stop and remove containers and networks"),
    "exec": ("desktop.cli.composeverbs", "exec", "Run a command in a service's container"),
    "kill": ("desktop.cli.composeverbs", "kill", "Send containers a signal"),
    "logs": ("desktop.cli.composeverbs", "logs", "Show what the containers have written"),
    "ps": ("desktop.cli.composeverbs", "ps", "List the project's containers"),
    "pull": ("desktop.cli.composeverbs", "pull", "Fetch the services' images"),
    "restart": ("desktop.cli.composeverbs", "restart", "Restart containers"),
    "rm": ("desktop.cli.composeverbs", "rm", "Remove stopped containers"),
    "run": ("desktop.cli.composeverbs", "run", "Run one command in a new container of a service"),
    "start": ("desktop.cli.composeverbs", "start", "Start containers that exist"),
    "stop": ("desktop.cli.composeverbs", "stop", "Stop containers"),
    "up": ("desktop.cli.composeup", "up", "Create and start the project's containers"),
}
SPEC = Spec(
    name="compose",
    usage="[OPTIONS] COMMAND",
    summary="Run projects of several containers, described by compose files",
    least=1,
    mixed=False,
    flags=(
        Flag("env-file", kind="list", many=True, help="A file with variables, instead of .env"),
        Flag("file", "f", "list", "A compose file; later ones are laid over earlier ones", many=True),
        Flag("profile", kind="list", many=True, help="Also the services of this profile"),
        Flag("project-directory", kind="string", help="The project's folder, if not that of the first file"),
        Flag("project-name", "p", "string", "The project's name"),
    ),
    more="Commands:\n" + "\n".join(f"  {name:<9} {verb[2]}" for name, verb in VERBS.items()),
)


class Call(NamedTuple):
    """One call of `cove compose`: the flags before its verb."""

    app: App
    flags: Parsed

    def options(self) -> Options:
        """The project's options, for `project.load` or to be changed first."""
        from desktop.compose.project import Options

        return Options(
            folder=os.getcwd(),
            environ=self.app.environ,
            files=tuple(self.flags.many("file")),
            name=self.flags.text("project-name") or "",
            profiles=tuple(self.flags.many("profile")),
            env_files=tuple(self.flags.many("env-file")),
            project_directory=self.flags.text("project-directory") or "",
            stdin=sys.stdin.read,
            warn=_warn,
        )

    def project(self, services: Sequence[str] = (), *, dependencies: bool = True) -> Project:
        """The project, restricted to `services` and their dependencies. Raises ComposeError."""
        from desktop.compose.project import load

        return load(self.options()).select(services, dependencies=dependencies)

    def name_and_project(self) -> tuple[str, Project | None]:
        """The project's name, and the project if there is a file; with -p none is needed. Raises ComposeError."""
        from desktop.compose.errors import NoFile
        from desktop.compose.project import load

        name = self.flags.text("project-name") or self.app.environ.get("COMPOSE_PROJECT_NAME")
        try:
            project = load(self.options())
        except NoFile:
            if not name:
                raise
            return name, None
        return project.name, project


Verb = Callable[[Sequence[str], Call], int]


def _warn(sentence: str) -> None:
    print(f"WARNING: {sentence}", file=sys.stderr)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    verb, *rest = flags.args
    if verb not in VERBS:
        raise Failure(
            f"cove: unknown command: cove compose {verb}", hint="\nRun 'cove compose --help' for more information"
        )
    from desktop.compose.errors import ComposeError

    module, function, _ = VERBS[verb]
    run: Verb = getattr(import_module(module), function)
    try:
        return run(rest, Call(app, flags))
    except ComposeError as e:
        raise Failure(str(e)) from e
