"""A Compose project: finding its files, its name and its variables, and the selection of its services."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from desktop.compose import dotenv
from desktop.compose.errors import ComposeError, NoFile
from desktop.compose.files import Loader, Scope, Source
from desktop.compose.interpolate import BadTemplate, substitute
from desktop.compose.model.deploy import Deploy
from desktop.compose.model.file import FILE, File
from desktop.compose.model.resources import FileObject, Network, Volume
from desktop.compose.model.service import Service
from desktop.compose.normal import Checks, normalise
from desktop.compose.reading import Files
from desktop.compose.values import parse_bool
from desktop.compose.yamltree import Node

DEFAULT_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says of a project. `stdin` is the text of the file `-`; `folder` is where the user is.

    `texts`: by path, what is read instead of a compose file.
    """

    folder: str
    environ: Mapping[str, str]
    files: tuple[str, ...] = ()
    name: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    project_directory: str = ""
    compatibility: bool = False
    all_resources: bool = False
    stdin: Callable[[], str] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda _: None
    interpolates: bool = True
    normalises: bool = True
    resolves_paths: bool = True
    checks: bool = True
    resolves_environment: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A loaded project. `disabled` are the services that no active profile or selection includes.

    `separator` stands between the parts of the names of containers and images; with `all_resources`, networks and the
    like that no service uses belong to it as well.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    env_files: tuple[str, ...]
    environment: Mapping[str, str]
    profiles: tuple[str, ...]
    services: Mapping[str, Service]
    disabled: Mapping[str, Service]
    networks: Mapping[str, Network]
    volumes: Mapping[str, Volume]
    secrets: Mapping[str, FileObject]
    configs: Mapping[str, FileObject]
    extensions: Mapping[str, Any]
    tree: Node = field(repr=False, compare=False)
    separator: str = "-"
    all_resources: bool = False
    hashes: dict[str, tuple[Service, str]] = field(default_factory=dict, repr=False, compare=False)  # see `hash_of`

    @property
    def every(self) -> dict[str, Service]:
        """All services of the files, also those that are disabled."""
        return {**self.services, **self.disabled}

    def select(self, names: Sequence[str], *, dependencies: bool = True) -> Project:
        """The project with these services, and those they depend on; all of them if `names` is empty.

        A named service is active whatever its profiles are. Raises ComposeError for an unknown name.
        """
        if not names:
            return self._only_needed(self.services)
        found = self._enabled(names)
        chosen: dict[str, Service] = {}
        queue = list(names)
        while queue:
            name = queue.pop()
            if name in chosen:
                continue
            if name not in found:
                if name in names or name not in self.disabled:
                    raise ComposeError(f"no such service: {name}")
                continue
            chosen[name] = found[name]
            if dependencies:
                queue += found[name].depends_on
        kept = {
            name: replace(item, depends_on={key: dep for key, dep in item.depends_on.items() if key in chosen})
            for name, item in found.items()
            if name in chosen
        }
        return self._only_needed(kept)

    def file_object(self, kind: str, key: str) -> FileObject:
        """A config or secret; `kind`: configs or secrets."""
        items: Mapping[str, FileObject] = getattr(self, kind)
        return items[key]

    def own_name(self, *parts: str) -> str:
        """A name that begins with the project's."""
        return self.separator.join((self.name, *parts))

    def image_of(self, service: Service) -> str:
        """The image of its containers: the one that it names, or the one that is built for it."""
        return service.image or self.own_name(service.name)

    def content(self, kind: str, key: str) -> bytes:
        """The content of a config or secret (`kind`: configs or secrets): its file's, or what is in the project or a
        variable.

        Raises ComposeError if the file cannot be read or the variable is not set.
        """
        item = self.file_object(kind, key)
        if item.file:
            try:
                return Path(item.file).read_bytes()
            except OSError as e:
                raise ComposeError(f"{kind[:-1]} {key!r}: {item.file} cannot be read: {e.strerror}") from e
        if item.environment and item.environment not in self.environment:
            raise ComposeError(f"environment variable {item.environment!r} required by {kind[:-1]} {key!r} is not set")
        return item.content.encode()

    def check_runnable(self) -> None:
        """What contradicts itself only when it is run: one container name or host port for two services.

        Raises ComposeError.
        """
        file = File(networks=self.networks, volumes=self.volumes, secrets=self.secrets, configs=self.configs)
        Checks(file, self.services, self.tree).runnable()

    def _enabled(self, names: Iterable[str]) -> dict[str, Service]:
        profiles = set(self.profiles)
        for name in names:
            if name in self.disabled:
                profiles.update(self.disabled[name].profiles)
        return {name: item for name, item in self.every.items() if is_active(item, profiles)}

    def _only_needed(self, services: Mapping[str, Service]) -> Project:
        """Without the networks, volumes, secrets and configs that no service uses."""
        every = self.every
        disabled = {name: item for name, item in every.items() if name not in services}
        if self.all_resources:
            return replace(self, services=services, disabled=disabled)
        networks = {key for item in services.values() for key in item.networks}
        volumes = {mount.source for item in services.values() for mount in item.volumes if mount.type == "volume"}
        secrets = {one.source for item in services.values() for one in item.secrets}
        secrets |= {one.source for item in services.values() if item.build for one in item.build.secrets}
        configs = {one.source for item in services.values() for one in item.configs}
        return replace(
            self,
            services=services,
            disabled=disabled,
            networks={key: item for key, item in self.networks.items() if key in networks},
            volumes={key: item for key, item in self.volumes.items() if key in volumes},
            secrets={key: item for key, item in self.secrets.items() if key in secrets},
            configs={key: item for key, item in self.configs.items() if key in configs},
        )


def is_active(service: Service, profiles: Iterable[str]) -> bool:
    """The service has no profile, or one of `profiles`; `*` is all."""
    active = set(profiles)
    return not service.profiles or "*" in active or bool(active & set(service.profiles))


def is_on(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable that switches something says yes. Raises ComposeError if it says neither yes nor no."""
    text = environ.get(name, "")
    try:
        return bool(text) and parse_bool(text)
    except ValueError as e:
        raise ComposeError(f"{name}: {e}") from e


def normal_name(text: str) -> str:
    """The project name that a folder's name or a `name:` gives."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")


def load(options: Options, files: Files | None = None) -> Project:
    """`files` reads what is needed. Raises ComposeError."""
    return _Opener(options, files or Files()).open()


class _Opener:
    def __init__(self, options: Options, files: Files) -> None:
        self._options = options
        self._files = files
        self._loader = Loader(
            options.warn,
            files,
            home=options.environ.get("HOME") or options.environ.get("USERPROFILE") or "",
            interpolates=options.interpolates,
            resolves_paths=options.resolves_paths,
        )

    def open(self) -> Project:
        options = self._options
        start = self._start_folder()
        early = {**self._dot_env(start, options.environ), **options.environ}
        sources = self._sources(start, early)
        folder = str(Path(options.folder, options.project_directory)) if options.project_directory else ""
        folder = os.path.normpath(folder or next((str(Path(s.path).parent) for s in sources if s.path != "-"), start))
        env_files = options.env_files or tuple(filter(None, early.get("COMPOSE_ENV_FILES", "").split(",")))
        environment = {**self._dot_env(folder, options.environ, env_files), **options.environ}
        profiles = options.profiles or tuple(
            one.strip() for one in environment.get("COMPOSE_PROFILES", "").split(",") if one.strip()
        )
        name = self._name(sources, folder, environment)
        environment["COMPOSE_PROJECT_NAME"] = name
        tree = self._loader.load(sources, Scope(folder, environment))
        return self._project(tree, name, folder, sources, env_files, environment, profiles)

    # --- files

    def _start_folder(self) -> str:
        options = self._options
        if options.project_directory:
            return os.path.normpath(Path(options.folder, options.project_directory))
        for file in options.files:
            if file != "-":
                return os.path.normpath(Path(options.folder, file).parent)
        return options.folder

    def _dot_env(self, folder: str, environ: Mapping[str, str], files: Sequence[str] = ()) -> dict[str, str]:
        paths = [Path(self._options.folder, file) for file in files]
        if not paths:
            if is_on(environ, "COMPOSE_DISABLE_ENV_FILE"):
                return {}
            paths = [Path(folder, ".env")] if self._files.is_file(Path(folder, ".env")) else []
        return dotenv.read(paths, self._files, environ, self._loader.unset)

    def _sources(self, folder: str, environment: Mapping[str, str]) -> list[Source]:
        options = self._options
        names = list(options.files)
        if not names and (variable := environment.get("COMPOSE_FILE")):
            names = variable.split(environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
        if not names:
            names = self._default_files(folder)
        if not names:
            raise NoFile(
                f"no configuration file provided: {folder} and the folders above it have none of "
                f"{', '.join(DEFAULT_NAMES)}"
            )
        found = []
        for name in names:
            if name == "-":
                found.append(Source("-", options.stdin() if options.stdin else ""))
            else:
                path = os.path.normpath(Path(options.folder, name))
                text = options.texts.get(path)
                found.append(Source(path, self._files.text(Path(path), "compose file") if text is None else text))
        return found

    def _default_files(self, folder: str) -> list[str]:
        for place in (Path(folder), *Path(folder).parents):
            found = [place / name for name in DEFAULT_NAMES if self._files.is_file(place / name)]
            if not found:
                continue
            over = [place / name for name in OVERRIDE_NAMES if self._files.is_file(place / name)]
            for several, what in ((found, "config"), (over, "override")):
                if len(several) > 1:
                    self._options.warn(
                        f"Found multiple {what} files with supported names: {', '.join(map(str, several))}. "
                        f"Using {several[0]}"
                    )
            return [str(path) for path in (*found[:1], *over[:1])]
        return []

    # --- name

    def _name(self, sources: Sequence[Source], folder: str, environment: Mapping[str, str]) -> str:
        for name, origin in ((self._options.name, ""), (environment.get("COMPOSE_PROJECT_NAME", ""), "")):
            if name:
                if normal_name(name) != name:
                    raise ComposeError(_bad_name(name) + origin)
                return name
        named: Node | None = None
        for source in sources:
            for document in self._loader.documents(source):
                node = document.get("name")
                if node is not None and isinstance(node.value, str) and node.value:
                    named = node
        if named is None:
            name = normal_name(Path(folder).name)
            if not name:
                raise ComposeError(f"the folder {folder} gives no project name; use --project-name to set one")
            return name
        try:
            text = (
                substitute(named.value, environment.get, self._loader.unset)
                if self._options.interpolates
                else named.value
            )
        except BadTemplate as e:
            raise ComposeError(str(e), named.mark) from e
        name = normal_name(text)
        if not name:
            raise ComposeError(_bad_name(text), named.where)
        if name != text and self._options.interpolates:
            self._options.warn(f"{named.where}: the project name {text!r} is not allowed; {name!r} is used")
        return name

    # --- the project

    def _project(
        self,
        tree: Node,
        name: str,
        folder: str,
        sources: Sequence[Source],
        env_files: Sequence[str],
        environment: Mapping[str, str],
        profiles: tuple[str, ...],
    ) -> Project:
        options = self._options
        file: File = FILE.value(tree)
        if options.normalises:
            file = normalise(file, name, environment)
        else:
            file = replace(file, services={key: replace(item, name=key) for key, item in file.services.items()})
        active = {key: item for key, item in file.services.items() if is_active(item, profiles)}
        if options.checks:
            Checks(file, active, tree).run()
            active = {key: _scaled(item) for key, item in active.items()}
        if options.resolves_environment:
            active = {key: self._with_environment(item, environment, tree) for key, item in active.items()}
        active = {key: self._with_labels(item) for key, item in active.items()}
        return Project(
            name=name,
            folder=folder,
            files=tuple(source.path for source in sources),
            env_files=tuple(str(Path(options.folder, one)) for one in env_files),
            environment=environment,
            profiles=profiles,
            services=active,
            disabled={key: item for key, item in file.services.items() if key not in active},
            networks={key: item or Network() for key, item in file.networks.items()},
            volumes={key: item or Volume() for key, item in file.volumes.items()},
            secrets=file.secrets,
            configs=file.configs,
            extensions=file.extensions,
            tree=tree,
            separator="_" if options.compatibility or is_on(environment, "COMPOSE_COMPATIBILITY") else "-",
            all_resources=options.all_resources,
        )

    def _with_environment(self, service: Service, environment: Mapping[str, str], tree: Node) -> Service:
        if not service.env_file:
            return service
        found: dict[str, str] = {}

        def lookup(key: str) -> str | None:
            return found.get(key, environment.get(key))

        for at, file in enumerate(service.env_file):
            path = Path(file.path)
            if not file.required and not self._files.exists(path):
                continue
            try:
                text = self._files.text(path, "env file")
            except ComposeError as e:
                node = tree.get("services", service.name, "env_file")
                place = node.value[at].mark if node is not None and node.is_list else None
                raise ComposeError(e.message, place) from e
            if file.format == "raw":
                found.update(dotenv.parse_raw(text))
            elif file.format:
                raise ComposeError(
                    f"service {service.name!r}: the env file format {file.format!r} is not known; raw is"
                )
            else:
                found.update(dotenv.parse(text, str(path), lookup, self._loader.unset))
        return replace(service, environment={**found, **service.environment}, env_file=())

    def _with_labels(self, service: Service) -> Service:
        if not service.label_file:
            return service
        found: dict[str, str] = {}
        for name in service.label_file:
            found |= dotenv.parse(self._files.text(Path(name), "label file"), name, found.get, self._loader.unset)
        return replace(service, labels={**found, **service.labels}, label_file=())


def _scaled(service: Service) -> Service:
    if service.scale is None or service.deploy is None:
        return service
    deploy: Deploy = replace(service.deploy, replicas=service.scale)
    return replace(service, deploy=deploy)


def _bad_name(name: str) -> str:
    return (
        f"invalid project name {name!r}: must consist only of lowercase alphanumeric characters, hyphens, and "
        "underscores as well as start with a letter or number"
    )
