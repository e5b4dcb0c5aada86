"""One check after another: what they find, what is repaired, and what that comes to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import structlog

from vmagent.builder.cache import Cache
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.background import Background
from vmagent.engine.checking.finding import Finding, Found, Progress
from vmagent.engine.checking.images import ImagesCheck
from vmagent.engine.checking.machine import MachineCheck
from vmagent.engine.checking.records import RecordsCheck
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.lifecycle import Lifecycle
from vmagent.engine.registry import Registry
from vmagent.errors import Conflict, EngineError
from vmagent.images.store import Store
from vmagent.linux.nft import NftError
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor.client import SupervisorClient

log = structlog.get_logger(__name__)


class Check:
    """Used on the event loop; one at a time."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        registry: Registry,
        background: Background,
        store: Store,
        lifecycle: Lifecycle,
        endpoints: Endpoints,
        cache: Cache,
        supervisor: SupervisorClient,
    ) -> None:
        self._registry, self._store = registry, store
        store.uses.add(self._layers_in_use)
        self._images = ImagesCheck(store)
        self._records = RecordsCheck(data_root, registry, background, store, lifecycle, cache)
        self._machine = MachineCheck(exec_root, registry, background, store, endpoints, supervisor)
        self._is_running = False

    def _layers_in_use(self) -> set[str]:
        """Those of containers that run, or are paused."""
        found: set[str] = set()
        for live in self._registry:
            image = self._store.images.get(live.record.image_id)
            if live.record.state.running and image is not None:
                found.update(image.layers)
        return found

    @asynccontextmanager
    async def run(self, *, repair: bool) -> AsyncIterator[AsyncGenerator[JsonObject, None]]:
        """The lines of `CheckLine` (openapi.yaml); the last one has the result. Raises Conflict if one runs already."""
        if self._is_running:
            raise Conflict("a check is already running")
        self._is_running = True
        try:
            async with aclosing(self._lines(repair=repair)) as lines:
                yield lines
        finally:
            self._is_running = False

    async def _lines(self, *, repair: bool) -> AsyncGenerator[JsonObject, None]:
        parts: list[tuple[str, Callable[[], Found]]] = [
            ("images", self._images.findings),
            ("build cache", self._records.build_cache),
            ("containers", self._records.containers),
            ("volumes", self._records.volumes),
            ("mounts", self._machine.mounts),
            ("cgroups", self._machine.cgroups),
            ("network", self._machine.network),
        ]
        counts = {"found": 0, "repaired": 0, "left": 0}
        for name, look in parts:
            yield _line(progress=Progress(name, 0, 0).to_json())
            async with aclosing(look()) as looking:
                async for one in looking:
                    if isinstance(one, Progress):
                        yield _line(progress=one.to_json())
                        continue
                    state, why = await self._end(one, repair=repair)
                    counts[state] += 1
                    told = one.to_json(state)
                    yield _line(finding={**told, "remedy": f"{one.remedy}; that failed: {why}"} if why else told)
        yield _line(result={"parts": [name for name, _ in parts], **counts})

    async def _end(self, finding: Finding, *, repair: bool) -> tuple[str, str]:
        """(what became of it, why a repair failed)."""
        if finding.mend is None:
            return "left", ""
        if not repair:
            return "found", ""
        try:
            await finding.mend()
        except Conflict as e:  # it must not be done now
            return "left", str(e)
        except (EngineError, OSError, NftError) as e:
            log.warning("check.not_repaired", subject=finding.subject, fault=finding.fault, error=str(e))
            return "left", str(e)
        log.info("check.repaired", subject=finding.subject, fault=finding.fault, remedy=finding.remedy)
        return "repaired", ""


def _line(
    *, progress: JsonObject | None = None, finding: JsonObject | None = None, result: JsonObject | None = None
) -> JsonObject:
    return {"progress": progress, "finding": finding, "result": result}
