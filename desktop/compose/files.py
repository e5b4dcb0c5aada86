"""From the text of compose files to one tree: variables, `extends`, `include`, merging, in the specification's order.

Everything stays a tree of nodes here, so that each error can name its file, line and column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from desktop.compose import dotenv
from desktop.compose.errors import ComposeError, Mark
from desktop.compose.interpolate import interpolate
from desktop.compose.model.file import FILE, INCLUDE
from desktop.compose.model.service import SERVICE
from desktop.compose.reading import Files
from desktop.compose.shapes.base import Base, overlay
from desktop.compose.shapes.objects import data_of
from desktop.compose.yamltree import RESET, Node, parse

_RESOURCES = ("services", "networks", "volumes", "secrets", "configs")
_REMOTE = ("https://", "http://", "git://", "ssh://", "git@", "oci://", "github.com/")


@dataclass(frozen=True, slots=True)
class Source:
    """A compose file: its name in messages, and its text once it was read."""

    path: str
    text: str | None = None

    def read(self, files: Files, referrer: Mark | None = None) -> str:
        """Raises ComposeError at `referrer`, the place that names this file."""
        if self.text is not None:
            return self.text
        try:
            return files.text(Path(self.path), "compose file")
        except ComposeError as e:
            raise ComposeError(e.message, referrer) from e


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a file is read: `folder` is the project's, `environment` the variables."""

    folder: str
    environment: Mapping[str, str]
    included: tuple[str, ...] = ()


@dataclass
class Loader:
    """Reads files for one project. `warn` gets sentences for the user."""

    warn: Callable[[str], None]
    files: Files = field(default_factory=Files)
    home: str = ""
    interpolates: bool = True
    resolves_paths: bool = True
    _unset: set[str] = field(default_factory=set)
    _parsed: dict[str, list[Node]] = field(default_factory=dict)

    def load(self, sources: Sequence[Source], scope: Scope, referrer: Mark | None = None) -> Node:
        """The merged tree of `sources`, each laid over those before it. Raises ComposeError."""
        merged: Node | None = None
        for source in sources:
            inner = replace(scope, included=(*scope.included, source.path))
            for document in self._documents(source, inner, referrer):
                extended = _Extender(self, source.path, inner).apply(document)
                whole = self._include(extended, inner)
                merged = overlay(FILE, merged, whole) if merged is not None else whole
        if merged is None or not merged.value:
            names = ", ".join(source.path for source in sources)
            raise ComposeError(f"empty compose file: {names}")
        return _complete(merged, scope, self._base(scope))

    def _base(self, scope: Scope) -> Base:
        return Base(scope.folder if self.resolves_paths else None, self.home, self.files.real_path)

    def documents(self, source: Source, referrer: Mark | None = None) -> list[Node]:
        """The documents of a file as they stand in it; each file is read once. Raises ComposeError."""
        if source.path not in self._parsed:
            self._parsed[source.path] = list(parse(source.read(self.files, referrer), source.path))
        return self._parsed[source.path]

    def _documents(self, source: Source, scope: Scope, referrer: Mark | None = None) -> list[Node]:
        found = []
        for document in self.documents(source, referrer):
            if document.value is None:
                continue
            if self.interpolates:
                document = interpolate(document, scope.environment.get, self.unset)
            node = FILE.canonical(document, self._base(scope), "")
            if "version" in node.value:
                self.warn(f"{source.path}: `version` is obsolete and ignored; remove it to avoid confusion")
                node = node.of({name: item for name, item in node.value.items() if name != "version"})
            found.append(node)
        return found

    def unset(self, name: str) -> None:
        """Warn once of a variable without a value."""
        if name not in self._unset:
            self._unset.add(name)
            self.warn(f"The {name!r} variable is not set. Defaulting to a blank string.")

    # --- include

    def _include(self, node: Node, scope: Scope) -> Node:
        entries = node.get("include")
        if entries is None:
            return node
        found = {name: item for name, item in node.value.items() if name != "include"}
        for entry in entries.value or ():
            imported = self._included(entry, scope)
            for kind in _RESOURCES:
                if (items := imported.get(kind)) is not None and items.value:
                    found[kind] = _imported(kind, found.get(kind), items, entry.where)
        return node.of(found)

    def _included(self, entry: Node, scope: Scope) -> Node:
        include = INCLUDE.value(entry)
        paths = [self._local(path, scope.folder, entry) for path in include.path]
        folder = str(Path(paths[0]).parent)
        if include.project_directory:
            folder = str(Path(scope.folder, include.project_directory))
        if paths[0] in scope.included:
            chain = "\n include ".join((*scope.included, paths[0]))
            raise ComposeError(f"include cycle detected:\n{chain}", entry.where)
        files = [Path(scope.folder, name) for name in include.env_file]
        if not files and self.files.is_file(Path(folder, ".env")):
            files = [Path(folder, ".env")]
        try:
            variables = dotenv.read(files, self.files, scope.environment, self.unset)
        except ComposeError as e:
            raise e if e.mark else ComposeError(e.message, entry.where) from e
        inner = Scope(folder, {**variables, **scope.environment}, scope.included)
        return self.load([Source(path) for path in paths], inner, entry.where)

    def _local(self, path: str, folder: str, node: Node) -> str:
        if path.startswith(_REMOTE):
            raise ComposeError(f"{path} is not on this machine; only local compose files are read", node.where)
        return str(Path(folder, path))

    # --- extends

    def services_of(self, path: str, scope: Scope, referrer: Mark) -> Mapping[str, Node]:
        """The services of a file that `extends` names; the file's own folder is the base of its paths."""
        found: dict[str, Node] = {}
        for document in self._documents(Source(path), scope, referrer):
            services = document.get("services")
            found.update(services.value or {} if services is not None else {})
        return found


@dataclass
class _Extender:
    """Resolves `extends` in the services of one document."""

    loader: Loader
    file: str
    scope: Scope

    def apply(self, node: Node) -> Node:
        services = node.get("services")
        if services is None or not services.value:
            return node
        found = {name: self._service(name, services.value, ()) for name in services.value}
        return node.of({**node.value, "services": services.of(found)})

    def _service(self, name: str, services: Mapping[str, Node], stack: tuple[tuple[str, str], ...]) -> Node:
        node = services[name]
        extends = node.get("extends")
        if extends is None or extends.tag == RESET or extends.value is None:
            return node
        here = (self.file, name)
        if here in stack:
            chain = "\n".join(f"  extends {service} in {file}" for file, service in (*stack[1:], here))
            raise ComposeError(f"circular reference:\n  {stack[0][1]} in {stack[0][0]}\n{chain}", extends.where)
        target, file = extends.get("service"), extends.get("file")
        if target is None:
            raise ComposeError(f"services.{name}.extends lacks its 'service'", extends.where)
        base = self._base(name, str(target.value), file, extends, services, (*stack, here))
        merged = overlay(SERVICE, base, node) if base.value is not None else node
        return merged.of({key: item for key, item in merged.value.items() if key != "extends"})

    def _base(
        self,
        name: str,
        target: str,
        file: Node | None,
        extends: Node,
        services: Mapping[str, Node],
        stack: tuple[tuple[str, str], ...],
    ) -> Node:
        extender, where = self, self.file
        if file is not None and file.value:
            where = str(Path(self.scope.folder, str(file.value)))
            scope = replace(self.scope, folder=str(Path(where).parent))
            services = self.loader.services_of(where, scope, file.where)
            extender = _Extender(self.loader, where, scope)
        if target not in services:
            raise ComposeError(f"cannot extend service {name!r}: {where} has no service {target!r}", extends.where)
        return extender._service(target, services, stack)


def _imported(kind: str, own: Node | None, items: Node, where: Mark) -> Node:
    found = dict(own.value or {}) if own is not None else {}
    for name, item in items.value.items():
        if name in found and data_of(found[name]) != data_of(item):
            raise ComposeError(f"{kind}.{name} conflicts with the one of an included file", found[name].where or where)
        found[name] = item
    return (own or items).of(found)


def _complete(node: Node, scope: Scope, base: Base) -> Node:
    """Defaults that depend on this model's folder and variables."""
    found = dict(node.value)
    services = node.get("services")
    if services is not None and services.value:
        found["services"] = services.of(
            {name: _complete_service(item, scope, base) for name, item in services.value.items()}
        )
    for kind in ("secrets", "configs"):
        items = node.get(kind)
        if items is not None and items.value:
            found[kind] = items.of({name: _with_content(item, scope) for name, item in items.value.items()})
    return node.of(found)


def _with_content(item: Node, scope: Scope) -> Node:
    variable = item.get("environment")
    if variable is None or (value := scope.environment.get(str(variable.value))) is None:
        return item
    return item.of({**item.value, "content": variable.of(value)})


def _complete_service(service: Node, scope: Scope, base: Base) -> Node:
    if not service.is_mapping:
        return service
    found = dict(service.value)
    build = service.get("build")
    if build is not None and build.is_mapping and build.get("context") is None:
        found["build"] = build.of({**build.value, "context": Node(base.path("."), build.mark)})
    environment = service.get("environment")
    if environment is not None and environment.is_mapping:
        values = {
            name: item.of(scope.environment.get(name)) if item.value is None and not item.tag else item
            for name, item in environment.value.items()
        }
        found["environment"] = environment.of(values)
    secrets = service.get("secrets")
    if secrets is not None and secrets.is_list:
        found["secrets"] = secrets.of(tuple(_secret_target(item) for item in secrets.value))
    return service.of(found)


def _secret_target(item: Node) -> Node:
    source = item.get("source")
    if item.get("target") is not None or source is None:
        return item
    return item.of({**item.value, "target": Node(f"/run/secrets/{source.value}", item.mark)})
