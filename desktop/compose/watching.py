"""`watch`: what changes on this computer is brought into the containers, as the services' develop.watch says."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchfiles._rust_notify import RustNotify

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, StreamFailed
from desktop.compose import hooks, order
from desktop.compose.errors import ComposeError
from desktop.compose.filetree import Changes, FileTree
from desktop.compose.ignore import EPHEMERAL, Patterns
from desktop.compose.model.develop import Hook, Trigger
from desktop.compose.model.service import Service
from desktop.compose.project import Project
from desktop.compose.resources import Report
from desktop.compose.state import Container, observe, of_services

_QUIET_MS = 20  # a burst has ended when so long nothing more has happened
_LONGEST_MS = 1000  # what changes for longer is taken in parts
_MANY = 1000  # so many events at once may be more than the kernel's queue holds: then everything is compared
_EMPTY_TAR = bytes(1024)
_MORE = {"more": True}  # Cove's engine keeps a process ready for the next files; others do not know the parameter
_REMOVED_AT_ONCE = 500  # paths in one command line


@dataclass
class Rule:
    """One entry of a service's develop.watch, and what was last seen of its path."""

    service: Service
    trigger: Trigger
    tree: FileTree

    @property
    def syncs(self) -> bool:
        return self.trigger.action.startswith("sync")


class Watcher:
    """Follows the files of some services. `rebuild` builds a service's image and replaces its containers; `say` gets
    sentences on what happens, `warn` on what fails: a failure ends no watch."""

    def __init__(
        self,
        client: EngineClient,
        project: Project,
        names: Iterable[str],
        rebuild: Callable[[Service], None],
        report: Report,
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        """Raises ComposeError if none of the services is to be watched. From now on no change is missed."""
        self._client = client
        self._project = project
        self._rebuild = rebuild
        self._report = report
        self._say = say
        self._warn = warn
        services = [project.services[name] for name in names]
        found = [(one, trigger) for one in services if one.develop for trigger in one.develop.watch]
        if not found:
            raise ComposeError(
                "none of the selected services is configured for watch, consider setting an 'develop' section"
            )
        roots = _roots(trigger.path for _, trigger in found)
        self._notify = RustNotify(roots, False, False, 0, True, True)
        self._rules = [Rule(service, trigger, _tree(service, trigger)) for service, trigger in found]

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Raises KeyboardInterrupt in the main thread."""
        for rule in self._rules:
            if rule.trigger.initial_sync and rule.syncs:
                self._work(rule.service, [(rule, rule.tree.all())])
        self._say("Watch enabled")
        self._announce()
        try:
            while isinstance(found := self._notify.watch(_LONGEST_MS, _QUIET_MS, 0, stop), set):
                paths = {path for _, path in found}
                is_uncertain = len(paths) >= _MANY or any(os.path.isdir(path) for path in paths)
                self._burst(paths if len(paths) < _MANY else None)
                if is_uncertain:
                    # What came into a new folder before the kernel watched it, or did not fit into the queue.
                    self._burst(None)
        finally:
            self._notify.close()
        if found == "signal":
            raise KeyboardInterrupt

    def _announce(self) -> None:
        """Send nothing to a container that will get files: so the engine is ready for the first of them."""
        syncing = {rule.service.name for rule in self._rules if rule.syncs}
        try:
            present = of_services(observe(self._client, self._project.name), syncing)
            for one in [one for one in present if one.state == "running"][:1]:
                self._client.put_archive(one.id, "/", _EMPTY_TAR, _MORE)
        except (ApiError, ConnectionFailed) as e:
            self._warn(f"watch: {e}")

    def _burst(self, paths: set[str] | None) -> None:
        found: dict[str, list[tuple[Rule, Changes]]] = {}
        for rule in self._rules:
            if changes := rule.tree.update(paths):
                found.setdefault(rule.service.name, []).append((rule, changes))
        for todo in found.values():
            self._work(todo[0][0].service, todo)

    def _work(self, service: Service, todo: Sequence[tuple[Rule, Changes]]) -> None:
        """One service: a rebuild does for all the rest; otherwise files first, then commands, then a restart."""
        try:
            if any(rule.trigger.action == "rebuild" for rule, _ in todo):
                self._say(f'Rebuilding service "{service.name}" after changes were detected...')
                self._rebuild(service)
                self._say(f'service "{service.name}" successfully built')
                return
            present = of_services(observe(self._client, self._project.name), [service.name])
            containers = [one for one in present if one.state == "running"]
            for rule, changes in todo:
                if rule.syncs:
                    self._say(f'Syncing service "{service.name}" after {_count(changes)} changes were detected')
                    self._sync(containers, rule, changes)
            for rule, _ in todo:
                if rule.trigger.action == "sync+exec":
                    order.together(containers, lambda one, hook=rule.trigger.exec: self._run(one, hook))  # type: ignore[misc]
            if any(rule.trigger.action in ("restart", "sync+restart") for rule, _ in todo):
                order.together(containers, self._restart)
        except (ComposeError, ApiError, StreamFailed, ConnectionFailed, OSError) as e:
            self._warn(f"service {service.name!r}: {e}")

    def _sync(self, containers: Sequence[Container], rule: Rule, changes: Changes) -> None:
        target = rule.trigger.target
        archive = _archive(rule.tree, target, changes.changed) if changes.changed else b""
        removed = [posixpath.join(target, path) if path else target for path in changes.removed]

        def sync(one: Container) -> None:
            for at in range(0, len(removed), _REMOVED_AT_ONCE):
                self._run(one, Hook(command=("rm", "-rf", *removed[at : at + _REMOVED_AT_ONCE])))
            if archive:
                self._client.put_archive(one.id, "/", archive, _MORE)

        order.together(containers, sync)

    def _run(self, one: Container, hook: Hook) -> None:
        hooks.run(self._client, one, [hook], "watch")

    def _restart(self, one: Container) -> None:
        self._report(f"Container {one.name}", "Restarting")
        self._client.restart(one.id)
        self._report(f"Container {one.name}", "Started")


def _count(changes: Changes) -> int:
    return len(changes.changed) + len(changes.removed)


def _roots(paths: Iterable[str]) -> list[str]:
    """The folders to watch: a file's or missing path's folder; none that is in another one."""
    found = set()
    for path in paths:
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        found.add(path)
    return sorted(one for one in found if not any(other != one and Path(one).is_relative_to(other) for other in found))


def _tree(service: Service, trigger: Trigger) -> FileTree:
    """The trigger's files: those of `include`, without `ignore`, the build's .dockerignore and what editors leave."""
    own, included, ephemeral = Patterns(trigger.ignore), Patterns(trigger.include), Patterns(EPHEMERAL)
    context = Path(service.build.context) if service.build is not None else None
    file = context / ".dockerignore" if context is not None else None
    build = Patterns(file.read_text().splitlines() if file is not None and file.is_file() else ())

    def is_ignored(path: str) -> bool:
        if own.match(path) or ephemeral.match(path):
            return True
        if context is None or not build:
            return False
        whole = Path(trigger.path, path)
        return whole.is_relative_to(context) and build.match(whole.relative_to(context).as_posix())

    def is_wanted(path: str) -> bool:
        return not is_ignored(path) and (not included or included.match(path))

    def is_closed(path: str) -> bool:
        return bool(path) and not own.has_exceptions and not build.has_exceptions and is_ignored(path)

    return FileTree(trigger.path, is_wanted, is_closed)


def _archive(tree: FileTree, target: str, paths: Iterable[str]) -> bytes:
    """A tar of `paths` at their places below `target`, all of root. What is gone meanwhile is left out."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path in paths:
            source = tree.absolute(path)
            try:
                entry = tar.gettarinfo(source, posixpath.join(target, path) if path else target)
                data = Path(source).read_bytes() if entry.isreg() else b""
            except FileNotFoundError:
                continue
            if entry.islnk():  # tarfile writes a second name of a file that it has as a link to the first
                entry.type, data = tarfile.REGTYPE, Path(source).read_bytes()
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()
