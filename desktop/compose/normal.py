"""What compose adds to the merged files (names, the default network, implied dependencies), and what it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from desktop.compose.errors import ComposeError, Mark
from desktop.compose.model.file import File
from desktop.compose.model.resources import FileObject, Network, Volume
from desktop.compose.model.service import Dependency, Service
from desktop.compose.yamltree import Node

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
_Item = TypeVar("_Item", Network, Volume, FileObject)


def normalise(file: File, name: str, environment: Mapping[str, str]) -> File:
    """The file with everything spelled out that it implies."""
    services = {key: _service(key, item, environment) for key, item in file.services.items()}
    networks = dict(file.networks)
    if any("default" in service.networks for service in services.values()):
        networks.setdefault("default", None)
    return replace(
        file,
        services=services,
        networks=_named(networks, name, Network()),
        volumes=_named(file.volumes, name, Volume()),
        secrets=_named(file.secrets, name, FileObject()),
        configs=_named(file.configs, name, FileObject()),
    )


def _named(items: Mapping[str, _Item | None], project: str, empty: _Item) -> dict[str, _Item]:
    found: dict[str, _Item] = {}
    for key, item in items.items():
        item = item if item is not None else empty
        found[key] = item if item.name else replace(item, name=key if item.external else f"{project}_{key}")
    return found


def _service(name: str, service: Service, environment: Mapping[str, str]) -> Service:
    changes: dict[str, Any] = {"name": name}
    if not service.network_mode and not service.networks:
        changes["networks"] = {"default": None}
    if service.pull_policy == "if_not_present":
        changes["pull_policy"] = "missing"
    if (build := service.build) is not None:
        arguments = {key: environment.get(key) if item is None else item for key, item in build.args.items()}
        dockerfile = build.dockerfile
        if dockerfile is None and not build.dockerfile_inline:
            dockerfile = "Dockerfile"
        kept = {key: item for key, item in arguments.items() if item is not None}
        changes["build"] = replace(build, dockerfile=dockerfile, args=kept)
    if any(item is None for item in service.environment.values()):
        changes["environment"] = {
            key: environment.get(key) if item is None else item for key, item in service.environment.items()
        }
    changes["depends_on"] = dict(_implied(service)) | dict(service.depends_on)
    return replace(service, **changes)


def _implied(service: Service) -> Iterator[tuple[str, Dependency]]:
    """The dependencies that other keys imply."""
    for source in service.volumes_from:
        if not source.startswith("container:"):
            yield source.split(":")[0], Dependency(restart=False)
    for namespace in _NAMESPACES:
        mode: str = getattr(service, namespace)
        if mode.startswith("service:"):
            yield mode.removeprefix("service:"), Dependency(restart=True)
    for link in service.links:
        parts = link.split(":")
        yield (parts[0] if len(parts) == 2 else link), Dependency(restart=True)


class Checks:
    """The consistency of a project; each error names the place in `tree`, the merged files."""

    def __init__(self, file: File, services: Mapping[str, Service], tree: Node) -> None:
        """`services` are the active ones."""
        self._file = file
        self._services = services
        self._tree = tree

    def run(self) -> None:
        """Raises ComposeError for the first contradiction."""
        for service in self._services.values():
            self._image(service)
            self._references(service)
            self._health(service)
            self._limits(service)
            self._watch(service)
        for kind, keys in (("secrets", ("file", "environment")), ("configs", ("file", "environment", "content"))):
            self._contents(kind, keys)
        self._external()
        self._cycle()

    def runnable(self) -> None:
        """What only counts once containers are made. Raises ComposeError."""
        names: dict[str, str] = {}
        ports: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for service in self._services.values():
            here = ("services", service.name)
            other = names.setdefault(service.container_name, service.name) if service.container_name else service.name
            if other != service.name:
                raise self._fail(
                    f"services {other!r} and {service.name!r} have the same container_name {service.container_name!r}",
                    *(*here, "container_name"),
                )
            for at, port in enumerate(service.ports):
                if not port.published.isdecimal():
                    continue
                taken = ports.setdefault((port.published, port.protocol), [])
                for address, owner in taken:
                    if owner != service.name and (
                        {address, port.host_ip} & {"", "0.0.0.0", "::"} or address == port.host_ip
                    ):
                        raise self._fail(
                            f"services {owner!r} and {service.name!r} both publish the host's port "
                            f"{port.published}/{port.protocol}",
                            *(*here, "ports", at),
                        )
                taken.append((port.host_ip, service.name))

    def _mark(self, *path: str | int) -> Mark | None:
        """The place of a value, or of the nearest one above it that stands in the file."""
        node, mark = self._tree, None
        for name in path:
            found: Node | None = None
            if isinstance(name, int):
                found = node.value[name] if node.is_list and name < len(node.value) else None
            elif node.is_mapping:
                found = node.value.get(name)
            if found is None:
                break
            node, mark = found, found.where
        return mark

    def _fail(self, message: str, *path: str | int) -> ComposeError:
        return ComposeError(message, self._mark(*path))

    def _image(self, service: Service) -> None:
        here = ("services", service.name)
        build = service.build
        if build is None:
            if not service.image:
                raise self._fail(f"service {service.name!r} has neither an image nor a build context", *here)
            return
        if build.dockerfile and build.dockerfile_inline:
            raise self._fail(
                f"service {service.name!r} has both dockerfile and dockerfile_inline", *here, "build", "dockerfile"
            )
        if build.platforms and service.platform and service.platform not in build.platforms:
            raise self._fail(
                f"service {service.name!r}: build.platforms lacks its platform {service.platform!r}",
                *(*here, "build", "platforms"),
            )
        for name, context in build.additional_contexts.items():
            target = context.removeprefix("service:")
            if target != context and (target not in self._services or self._services[target].build is None):
                raise self._fail(
                    f"service {service.name!r}: its additional context {name} is {target!r}, which is not built",
                    *(*here, "build", "additional_contexts"),
                )

    def _references(self, service: Service) -> None:
        name, here, file = service.name, ("services", service.name), self._file
        if service.network_mode and service.networks:
            raise self._fail(f"service {name!r} has both network_mode and networks", *here, "network_mode")
        for key in service.networks:
            if key not in file.networks:
                raise self._undefined(name, "network", key, file.networks, *here, "networks", key)
        for at, mount in enumerate(service.volumes):
            if mount.type == "volume" and mount.source and mount.source not in file.volumes:
                raise self._undefined(name, "volume", mount.source, file.volumes, *here, "volumes", at)
        for at, secret in enumerate(service.secrets):
            if secret.source not in file.secrets:
                raise self._undefined(name, "secret", secret.source, file.secrets, *here, "secrets", at)
        for at, secret in enumerate(service.build.secrets if service.build else ()):
            if secret.source not in file.secrets:
                raise self._undefined(name, "build secret", secret.source, file.secrets, *here, "build", "secrets", at)
        for at, config in enumerate(service.configs):
            if config.source not in file.configs:
                raise self._undefined(name, "config", config.source, file.configs, *here, "configs", at)
        for key, dependency in service.depends_on.items():
            if key not in self._services and (dependency.required or key not in file.services):
                raise self._dependency(service, key)

    def _dependency(self, service: Service, key: str) -> ComposeError:
        place = ("services", service.name, "depends_on", key)
        if key in self._file.services:
            profiles = ", ".join(self._file.services[key].profiles)
            return self._fail(
                f"service {service.name!r} depends on {key!r}, whose profile is not active ({profiles})", *place
            )
        return self._undefined(service.name, "service", key, self._file.services, *place, verb="depends on")

    def _undefined(
        self, service: str, what: str, name: str, known: Iterable[str], *path: str | int, verb: str = "refers to"
    ) -> ComposeError:
        import difflib

        near = difflib.get_close_matches(name, list(known), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return self._fail(f"service {service!r} {verb} undefined {what} {name!r}{hint}", *path)

    def _health(self, service: Service) -> None:
        check = service.healthcheck
        if check is not None and check.test and check.test[0] not in ("CMD", "CMD-SHELL", "NONE"):
            raise self._fail(
                f"service {service.name!r}: healthcheck.test must begin with CMD, CMD-SHELL or NONE",
                *("services", service.name, "healthcheck", "test"),
            )

    def _limits(self, service: Service) -> None:
        here = ("services", service.name)
        if service.replicas > 1 and service.container_name:
            raise self._fail(
                f"service {service.name!r} has a container_name, so it cannot have {service.replicas} containers",
                *(*here, "container_name"),
            )
        deploy = service.deploy
        if deploy is None:
            return
        limits, reserved = deploy.resources.limits, deploy.resources.reservations
        pairs = [
            ("scale", service.scale, "deploy.replicas", deploy.replicas),
            ("cpus", service.cpus or None, "deploy.resources.limits.cpus", limits.cpus if limits else None),
            ("mem_limit", service.mem_limit or None, "deploy.resources.limits.memory", limits and limits.memory),
            ("pids_limit", service.pids_limit or None, "deploy.resources.limits.pids", limits and limits.pids),
            (
                "mem_reservation", service.mem_reservation or None,
                "deploy.resources.reservations.memory", reserved and reserved.memory,
            ),
        ]  # fmt: skip
        for one, mine, other, theirs in pairs:
            if mine is not None and theirs is not None and mine != theirs:
                raise self._fail(f"service {service.name!r}: {one} and {other} have distinct values", *here, one)

    def _watch(self, service: Service) -> None:
        for at, trigger in enumerate(service.develop.watch if service.develop else ()):
            place = ("services", service.name, "develop", "watch", at)
            if not trigger.path:
                raise self._fail(f"service {service.name!r}: a path of develop.watch is empty", *place)
            if not trigger.target and trigger.action not in ("rebuild", "restart"):
                raise self._fail(
                    f"service {service.name!r}: the action {trigger.action} of develop.watch needs a target", *place
                )

    def _contents(self, kind: str, keys: tuple[str, ...]) -> None:
        tree = self._tree.get(kind)
        items: Mapping[str, FileObject] = getattr(self._file, kind)
        for name, item in items.items():
            node = tree.get(name) if tree is not None else None
            if node is None:
                continue
            given = [key for key in keys if node.get(key) is not None]
            if "environment" in given and "content" in given:
                given.remove("content")  # it is the variable's value
            if len(given) > 1:
                raise self._fail(f"{kind}.{name} has {' and '.join(given)}; they exclude each other", kind, name)
            if not given and not item.external and not item.driver:
                raise self._fail(f"{kind}.{name} needs one of {', '.join(keys)}", kind, name)

    def _external(self) -> None:
        for kind in ("networks", "volumes", "secrets", "configs"):
            tree = self._tree.get(kind)
            for name, node in (tree.value or {}).items() if tree is not None else ():
                external = node.get("external")
                if external is None or external.value is not True:
                    continue
                for key, item in node.value.items():
                    if key not in ("name", "external") and not key.startswith("x-") and kind in ("volumes",):
                        raise ComposeError(f"{kind}.{name} is external, so it cannot have {key!r}", item.where)

    def _cycle(self) -> None:
        done: set[str] = set()
        for start in self._services:
            path = {start: iter(self._services[start].depends_on)} if start not in done else {}
            while path:
                name = next(reversed(path))
                following = next((key for key in path[name] if key in self._services and key not in done), None)
                if following is None:
                    done.add(name)
                    del path[name]
                elif following in path:
                    names = [*path, following]
                    chain = " -> ".join(names[names.index(following) :])
                    raise self._fail(f"dependency cycle detected: {chain}", "services", name, "depends_on", following)
                else:
                    path[following] = iter(self._services[following].depends_on)
