"""`up`: from what the engine has to what the project says, touching only what differs."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from desktop.client.api import path_part
from desktop.client.engine import ApiError, EngineClient
from desktop.compose import hooks, labels, order, resources, stopping
from desktop.compose.body import Place, body_of
from desktop.compose.buildorder import build_order, with_contexts
from desktop.compose.errors import ComposeError
from desktop.compose.model.service import Service
from desktop.compose.output import hash_of, service_hash
from desktop.compose.project import Project
from desktop.compose.resources import Report
from desktop.compose.state import (
    Container,
    Plan,
    Recreate,
    image_id,
    look,
    named_services,
    observe,
    of_services,
    orphans,
    plan,
    resolved,
    restarts,
    shared_one,
)
from desktop.compose.waiting import wait_for


class Images(Protocol):
    """Where images come from."""

    def pull(self, service: Service, image: str) -> None: ...

    def build(self, service: Service, image: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """`up`'s flags. `services` are those named on the command line; `dependencies` tells how others are treated."""

    services: tuple[str, ...] = ()
    recreate: Recreate = Recreate.CHANGED
    recreate_dependencies: Recreate = Recreate.CHANGED
    renew_volumes: bool = False
    remove_orphans: bool = False
    ignore_orphans: bool = False
    pull: str = ""
    build: bool = False
    no_build: bool = False
    start: bool = True
    timeout_s: int | None = None


@dataclass
class Up:
    """One `up`. `created` and `started` are the IDs of containers that it has made and started."""

    client: EngineClient
    project: Project
    options: UpOptions
    images: Images
    report: Report
    warn: Callable[[str], None]
    report_all: Callable[[Sequence[tuple[str, str]]], None] | None = None  # several reports at once
    created: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    _containers: dict[str, list[Container]] = field(default_factory=dict)
    _image_ids: dict[str, str] = field(default_factory=dict)
    _decided: dict[str, tuple[str, Plan]] = field(default_factory=dict)  # of those that are worked on next
    _recreated: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def _depends(self) -> Mapping[str, Collection[str]]:
        return {name: item.depends_on for name, item in self.project.services.items()}

    def run(self, only: Collection[str] | None = None) -> None:
        """Raises ComposeError, ApiError, StreamFailed, ConnectionFailed. `only`: the other services are left alone."""
        self.project.check_runnable()
        self._apply(self.project.services if only is None else only)

    def prepare(self, name: str) -> None:
        """For `run`: all that the service `name` needs, with its dependencies started; the service itself is not."""
        self._apply([other for other in self.project.services if other != name])
        self._wait_for(self.project.services[name])

    def _apply(self, names: Collection[str]) -> None:
        present = look(self.client, self.project)
        containers = present.containers
        if self._ensure_images(present.images):  # which may take minutes
            containers = observe(self.client, self.project.name)
        resources.ensure(self.client, self.project, present, self.report, self.warn)
        self._orphans(containers)
        self._containers = {name: [] for name in self.project.services}
        for one in containers:
            if one.service in self._containers and not one.is_oneoff:
                self._containers[one.service].append(one)
        needs_work = self._unsettled(name for name in self.project.services if name in names)
        order.each(order.among(self._creation_order(), needs_work), self._converge)
        if self.options.start:
            to_start = [name for name in self._depends if name in names and self._is_to_start(name)]
            order.each(order.among(self._depends, to_start), self._start)

    def _unsettled(self, names: Iterable[str]) -> set[str]:
        """The services of which a container has to be made or removed, or may have to be. Of the others it is reported
        what runs."""
        creation, found, running = self._creation_order(), set[str](), list[str]()
        for name in order.sequence({name: creation[name] for name in names}):
            service = self.project.services[name]
            if not found.isdisjoint(named_services(service)):  # its hash has the IDs of their containers
                found.add(name)
                continue
            decided = self._decide(service)
            if decided[1].changes:
                found.add(name)
                self._decided[name] = decided
            else:
                running += [one.name for one in self._containers[name] if one.state == "running"]
        reports = [(f"Container {name}", "Running") for name in running]
        if self.report_all is not None:
            self.report_all(reports)
        else:
            for what, status in reports:
                self.report(what, status)
        return found

    def containers(self) -> list[Container]:
        """The containers of the project's services after the run."""
        return of_services(observe(self.client, self.project.name), self.project.services)

    # --- images

    def _ensure_images(self, present: Mapping[str, str]) -> bool:
        """True if one was pulled or built. `present`: the IDs of those that the engine has."""
        wanted: dict[str, Service] = {}
        for item in self.project.services.values():
            image = self.project.image_of(item)
            if image not in wanted or (wanted[image].build is None and item.build is not None):
                wanted[image] = item
        self._image_ids = dict(present)
        fetched = {image: item for image, item in wanted.items() if self._is_fetched(image, item)}
        if not self.options.no_build:
            for image, item in with_contexts(self.project, fetched).items():
                if image not in self._image_ids and image_id(self.client, image) is None:
                    fetched.setdefault(image, item)
        order.each(build_order(self.project, fetched), lambda image: self._fetch(image, fetched[image]))
        for image, item in wanted.items():
            if image not in self._image_ids:
                raise ComposeError(f"service {item.name!r}: no such image: {image}")
        return bool(fetched)

    def _is_fetched(self, image: str, service: Service) -> bool:
        policy = self.options.pull or service.pull_policy or "missing"
        is_missing = image not in self._image_ids
        if service.build is not None and not self.options.no_build:
            return self.options.build or policy == "build" or is_missing
        return policy == "always" or (is_missing and policy != "never")

    def _fetch(self, image: str, service: Service) -> None:
        """Pull or build it."""
        if service.build is not None and not self.options.no_build:
            self.images.build(service, image)
        else:
            self.images.pull(service, image)
        present = image_id(self.client, image)
        if present is None:
            raise ComposeError(f"service {service.name!r}: no such image: {image}")
        with self._lock:
            self._image_ids[image] = present

    def _orphans(self, present: Sequence[Container]) -> None:
        found = orphans(present, self.project.every)
        if not found or self.options.ignore_orphans:
            return
        if not self.options.remove_orphans:
            names = " ".join(one.name for one in found)
            self.warn(
                f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in your "
                "compose file, you can run this command with the --remove-orphans flag to clean it up."
            )
            return
        order.together(found, self._stop_and_remove)

    # --- containers

    def _creation_order(self) -> Mapping[str, Collection[str]]:
        """Only a service that shares another one's namespaces or volumes has to be created after it."""
        return {
            name: named_services(item) | {link.split(":")[0] for link in item.links}
            for name, item in self.project.services.items()
        }

    def _converge(self, name: str) -> None:
        service = self.project.services[name]
        found, todo = self._decided.get(name) or self._decide(service)
        references = self.references(service)
        image = self._image_ids[self.project.image_of(service)]
        made = {**_labels(self.project, service), labels.HASH: found, labels.IMAGE: image}
        kept = list(todo.keep)

        def create(number: int, replaced: Container | None = None) -> None:
            one = self._create(service, number, made, references, replaced)
            with self._lock:
                kept.append(one)

        calls = [partial(self._stop_and_remove, one) for one in todo.remove]
        calls += [partial(create, one.number, one) for one in todo.recreate]
        calls += [partial(create, number) for number in todo.create]
        order.together(calls, lambda call: call())
        for one in todo.keep:
            if one.state == "running":
                self.report(f"Container {one.name}", "Running")
        with self._lock:
            self._containers[name] = sorted(kept, key=lambda one: one.number)
            if todo.recreate:
                self._recreated.add(name)

    def _decide(self, service: Service) -> tuple[str, Plan]:
        """The hash of its containers, and what becomes of those that are there."""
        recreate = self.options.recreate
        if self.options.services and service.name not in self.options.services:
            recreate = self.options.recreate_dependencies
        image = self._image_ids[self.project.image_of(service)]
        found = hash_of(self.project, resolved(service, self.references(service)))
        return found, plan(service, found, image, self._containers[service.name], recreate)

    def references(self, service: Service) -> dict[str, str]:
        """The containers of the services whose namespaces or volumes this one shares."""
        return {other: self._reference(other) for other in named_services(service)}

    def _reference(self, name: str) -> str:
        one = shared_one(self._containers.get(name) or of_services(observe(self.client, self.project.name), [name]))
        if one is None:
            raise ComposeError(f"service {name!r} has no container to share")
        return one.id

    def _create(
        self,
        service: Service,
        number: int,
        made: Mapping[str, str],
        references: Mapping[str, str],
        replaced: Container | None,
    ) -> Container:
        name = service.container_name or self.project.own_name(service.name, str(number))
        what = f"Container {replaced.name if replaced else name}"
        self.report(what, "Recreate" if replaced else "Creating")
        marks = {**made, labels.NUMBER: str(number)}
        inherited: tuple[dict[str, Any], ...] = ()
        if replaced is not None:
            marks[labels.REPLACE] = replaced.id
            if not self.options.renew_volumes:
                inherited = tuple(self.client.inspect(replaced.id).get("Mounts") or ())
        id = create_container(
            self.client,
            self.project,
            service,
            Place(
                name=name,
                labels=marks,
                api_version=version_of(self.client),
                image_volumes=self._image_volumes(service) if inherited else frozenset(),
                inherited=inherited,
                references=references,
                links=self._links(service),
            ),
            f"{replaced.id[:12]}_{name}" if replaced else name,
            self.warn,
        )
        if replaced is not None:
            stopping.before_stop(self.client, replaced, self.project.every)
            self.client.stop(replaced.id, self.options.timeout_s)
            self.client.remove(replaced.id, force=True)
            self.client.rename(id, name)
        self.report(what, "Recreated" if replaced else "Created")
        with self._lock:
            self.created.add(id)
        return Container(id, name, service.name, number, "created", marks, {})

    def _image_volumes(self, service: Service) -> frozenset[str]:
        config = self.client.image_inspect(self.project.image_of(service)).get("Config") or {}
        return frozenset(path.rstrip("/") or "/" for path in config.get("Volumes") or ())

    def _links(self, service: Service) -> tuple[str, ...]:
        found = []
        for link in service.links:
            name, _, alias = link.partition(":")
            for one in self._containers.get(name, ()):
                found += [f"{one.name}:{alias or name}", f"{one.name}:{name}-{one.number}", f"{one.name}:{one.name}"]
        found += [link if ":" in link else f"{link}:{link}" for link in service.external_links]
        return tuple(found)

    def _stop_and_remove(self, one: Container) -> None:
        stopping.stop_and_remove(self.client, [one], self.project.every, self.options.timeout_s, self.report)

    # --- start

    def _wait_for(self, service: Service) -> None:
        for other, dependency in service.depends_on.items():
            if other in self._containers:
                wait_for(self.client, other, self._containers[other], dependency, self.report, self.warn)

    def _is_to_start(self, name: str) -> bool:
        """Whether a container has to be started or restarted, or something to be waited for."""
        service = self.project.services[name]
        return (
            any(one.state != "running" for one in self._containers[name])
            or any(item.condition != "service_started" for item in service.depends_on.values())
            or bool(restarts(service, self._recreated))
        )

    def _start(self, name: str) -> None:
        service = self.project.services[name]
        self._wait_for(service)
        is_restarted = bool(restarts(service, self._recreated))

        def start(one: Container) -> None:
            if one.state == "running":
                if is_restarted:
                    self.report(f"Container {one.name}", "Restarting")
                    self.client.restart(one.id, self.options.timeout_s)
                    self.report(f"Container {one.name}", "Started")
                return
            if one.state == "paused":
                self.client.unpause(one.id)
                return
            start_container(self.client, one, service, self.report)
            with self._lock:
                self.started.add(one.id)

        order.together(self._containers[name], start)


def _labels(project: Project, service: Service) -> dict[str, str]:
    """All labels but those that differ between the service's containers."""
    found = {
        **service.labels,
        labels.PROJECT: project.name,
        labels.SERVICE: service.name,
        labels.VERSION: labels.COMPATIBLE_VERSION,
        labels.FOLDER: project.folder,
        labels.FILES: ",".join(project.files),
        labels.ONEOFF: "False",
        labels.DEPENDS_ON: ",".join(
            f"{name}:{item.condition}:{'true' if item.restart else 'false'}"
            for name, item in service.depends_on.items()
        ),
    }
    return found | ({labels.ENV_FILES: ",".join(project.env_files)} if project.env_files else {})


def oneoff_labels(project: Project, service: Service, slug: str) -> dict[str, str]:
    """The labels of a container of `run`."""
    return {**_labels(project, service), labels.ONEOFF: "True", labels.SLUG: slug, labels.HASH: service_hash(service)}


def version_of(client: EngineClient) -> tuple[int, ...]:
    return tuple(int(part) for part in client.api_version.split("."))


def create_container(
    client: EngineClient,
    project: Project,
    service: Service,
    place: Place,
    name: str,
    warn: Callable[[str], None],
    change: Callable[[dict[str, Any]], None] = lambda _: None,
) -> str:
    """Create a container, connect it to its networks and copy its configs and secrets in; its ID.

    `change` may alter the body first. A container that cannot be completed is removed. Raises ApiError, ComposeError.
    """
    body = body_of(project, service, place)
    change(body.config)
    reply = client.create(body.config, name=name, platform=service.platform or None)
    for warning in reply.get("Warnings") or ():
        warn(f"{service.name}: {warning}")
    id = str(reply["Id"])
    try:
        for network, endpoint in body.networks.items():
            request = {"Container": id, "EndpointConfig": endpoint}
            client.request("POST", f"/networks/{path_part(network)}/connect", None, request, limited=False)
        if body.files:
            client.put_archive(id, "/", _archive(body.files))
    except BaseException:
        with contextlib.suppress(ApiError):  # the first error counts
            client.remove(id, force=True)
        raise
    return id


def _archive(files: Sequence[tuple[str, int, int, int, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, owner, group, mode, data in files:
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.uid, info.gid, info.mode = len(data), owner, group, mode
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def start_container(client: EngineClient, one: Container, service: Service | None, report: Report) -> None:
    """Start it and run its `post_start` hooks. Raises ComposeError that names who holds a port that is taken."""
    report(f"Container {one.name}", "Starting")
    try:
        client.start(one.id)
    except ApiError as e:
        text = str(e)
        if "already allocated" in text or "address already in use" in text:
            raise ComposeError(f"{one.name}: {text}{_holder(client, one)}") from e
        raise
    report(f"Container {one.name}", "Started")
    if service is not None:
        hooks.run(client, one, service.post_start, "post_start")


def _holder(client: EngineClient, one: Container) -> str:
    """The other container that publishes one of its ports."""
    bindings = client.inspect(one.id)["HostConfig"].get("PortBindings") or {}
    wanted = {(item["HostPort"], port.partition("/")[2]) for port, items in bindings.items() for item in items or ()}
    for other in client.containers():
        for port in other.get("Ports") or ():
            if (str(port.get("PublicPort")), port["Type"]) in wanted and other["Id"] != one.id:
                return f"; the container {other['Names'][0].lstrip('/')} publishes it"
    return "; a program outside the engine has it"
