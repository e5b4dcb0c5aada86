"""`cove compose`: finds the verb and loads its module and no other; the flags before the verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.compose.progress import Look, Progress
from desktop.cli.flags import Flag, Parsed, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App
    from desktop.client.engine import EngineClient
    from desktop.compose.project import Options, Project
    from desktop.compose.rehearsal import Rehearsal

# Each verb: its module here, its function `(argv, Call) -> int`, and its line in the help.
VERBS = {
    "attach": ("sessions", "attach", "Attach this terminal to a service's running container"),
    "build": ("images", "build", "Build the services' images"),
    "commit": ("files", "commit", "Make an image from what a service's container has changed"),
    "config": ("config", "config", "Print the project as it was read, or parts of it"),
    "cp": ("files", "cp", "Copy files between a service's containers and here"),
    "create": ("up", "create", "Create containers without starting them"),
    "down": ("down", "down", "Stop and remove containers and networks"),
    "events": ("logs", "events", "Show what happens to the containers, as it happens"),
    "exec": ("sessions", "exec", "Run a command in a service's container"),
    "export": ("files", "export", "Write the file system of a service's container as a tar"),
    "images": ("lists", "images", "List the images of the containers"),
    "kill": ("life", "kill", "Send containers a signal"),
    "kube": ("kube", "kube", "Print the project as manifests for a Kubernetes cluster"),
    "logs": ("logs", "logs", "Show what the containers have written"),
    "ls": ("lists", "ls", "List the projects that the engine has"),
    "pause": ("life", "pause", "Freeze all processes of containers"),
    "port": ("lists", "port", "Show the address at which a service's port is published"),
    "ps": ("lists", "ps", "List the project's containers"),
    "pull": ("images", "pull", "Fetch the services' images"),
    "push": ("images", "push", "Send the images that services build to their registries"),
    "restart": ("life", "restart", "Restart containers"),
    "rm": ("life", "rm", "Remove stopped containers"),
    "run": ("sessions", "run", "Run one command in a new container of a service"),
    "scale": ("up", "scale", "Run so many containers of services"),
    "start": ("life", "start", "Start containers that exist"),
    "stats": ("logs", "stats", "Show what the containers use, live"),
    "stop": ("life", "stop", "Stop containers"),
    "top": ("lists", "top", "Show the processes of the containers"),
    "unpause": ("life", "unpause", "Let the processes of containers go on"),
    "up": ("up", "up", "Create and start the project's containers"),
    "version": ("lists", "version", "Show the version of cove compose"),
    "volumes": ("lists", "volumes", "List the project's volumes"),
    "wait": ("life", "wait", "Wait until the first of the services' containers ends"),
    "watch": ("watch", "watch", "Bring changed files into the containers"),
}
_OTHERS_FLAGS = ("exec", "run")  # what follows their service is for the program inside
SPEC = Spec(
    name="compose",
    usage="[OPTIONS] COMMAND",
    summary="Run projects of several containers, described by compose files",
    least=1,
    mixed=False,
    flags=(
        Flag("all-resources", help="Also networks, volumes, configs and secrets that no service uses"),
        Flag("ansi", kind="string", help="Colours and redrawn lines: never, always, auto", default="auto"),
        Flag("compatibility", help="Names of containers with _ instead of -, as docker-compose 1 has them"),
        Flag("dry-run", help="Say what would be done, and change nothing; also after the command"),
        Flag("env-file", kind="list", many=True, help="A file with variables, instead of .env"),
        Flag("file", "f", "list", "A compose file; later ones are laid over earlier ones", many=True),
        Flag("parallel", kind="int", help="Work on so many containers and images at once; -1: on all", default=-1),
        Flag("profile", kind="list", many=True, help="Also the services of this profile"),
        Flag("progress", kind="string", help="Progress: auto, tty, plain, quiet", default="auto"),
        Flag("project-directory", kind="string", help="The project's folder, if not that of the first file"),
        Flag("project-name", "p", "string", "The project's name"),
    ),
    more="Commands:\n" + "\n".join(f"  {name:<9} {verb[2]}" for name, verb in VERBS.items()),
)


@dataclass
class Call:
    """One call of `cove compose`: the flags before its verb."""

    app: App
    flags: Parsed
    look: Look
    is_dry: bool = False
    _rehearsal: Rehearsal | None = None

    def client(self) -> EngineClient:
        """In a dry run one that changes nothing. Raises Failure, ConnectionFailed."""
        from desktop.compose import order

        client = self.app.client()
        client.kept_connections = order.AT_ONCE
        if not self.is_dry:
            return client
        if self._rehearsal is None:
            from desktop.compose.rehearsal import Rehearsal

            self._rehearsal = Rehearsal(client.endpoint, client.timeout_s)
        return self._rehearsal

    def close(self) -> None:
        if self._rehearsal is not None:
            self._rehearsal.close()

    def refuse_dry_run(self, what: str) -> None:
        """Raises Failure in a dry run."""
        if self.is_dry:
            raise Failure(f"{what} is not supported in dry-run mode")

    def progress(self, *, quiet: bool = False) -> Progress:
        """Progress on stderr; without a line if `quiet`."""
        return Progress(sys.stderr, self.look, quiet=quiet, prefix=" DRY-RUN MODE - " if self.is_dry else "")

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
            compatibility=self.flags.on("compatibility"),
            all_resources=self.flags.on("all-resources"),
            stdin=sys.stdin.read,
            warn=_warn,
        )

    def project(self, services: Sequence[str] = (), *, dependencies: bool = True) -> Project:
        """The project, restricted to `services` and their dependencies. Raises ComposeError."""
        from desktop.compose.memory import load

        return load(self.options()).select(services, dependencies=dependencies)

    def name_and_project(self, services: Sequence[str] = ()) -> tuple[str, Project | None]:
        """The project's name, and the project if there is a file; with -p none is needed.

        `services` are names that the user gives. Raises ComposeError, also if the file has no such service.
        """
        from desktop.compose.errors import NoFile
        from desktop.compose.memory import load
        from desktop.compose.state import check_services

        name = self.flags.text("project-name") or self.app.environ.get("COMPOSE_PROJECT_NAME")
        try:
            project = load(self.options())
        except NoFile:
            if not name:
                raise
            return name, None
        check_services(services, project.every)
        return project.name, project


Verb = Callable[[Sequence[str], Call], int]


def _warn(sentence: str) -> None:
    print(f"WARNING: {sentence}", file=sys.stderr)


def _given(flags: Parsed, name: str) -> str:
    return (flags.text(name) or "") if flags.given(name) else ""


def _limit(flags: Parsed, app: App) -> None:
    """Raises Failure."""
    count = flags.number("parallel") or -1
    if not flags.given("parallel") and (text := app.environ.get("COMPOSE_PARALLEL_LIMIT")):
        try:
            count = int(text)
        except ValueError as e:
            raise Failure(f'COMPOSE_PARALLEL_LIMIT must be an integer (found: "{text}")') from e
    if count > 0:
        from desktop.compose import order

        order.limit(count)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    verb, *rest = flags.args
    if verb not in VERBS:
        raise Failure(
            f"cove: unknown command: cove compose {verb}", hint="\nRun 'cove compose --help' for more information"
        )
    from desktop.compose.errors import ComposeError

    module, function, _ = VERBS[verb]
    run: Verb = getattr(import_module(f"desktop.cli.compose.{module}"), function)
    is_dry = flags.on("dry-run")
    if verb not in _OTHERS_FLAGS and "--dry-run" in rest:
        rest.remove("--dry-run")
        is_dry = True
    look = Look.of(_given(flags, "ansi"), _given(flags, "progress"), app.environ)
    _limit(flags, app)
    call = Call(app, flags, look, is_dry)
    try:
        return run(rest, call)
    except ComposeError as e:
        raise Failure(str(e)) from e
    finally:
        call.close()
