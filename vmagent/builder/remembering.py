"""What builds came to, kept in memory: an equal build that finds everything in the cache need not go through its steps.

An answer is kept under all that decides a build: the request, with the Dockerfile, and what its main context holds. It
counts only while the rest of what it rests on is as it was: each image that the build used is still what its name means
here, and each step still has the same record in the build cache, with its layer in the store. Nothing of this is on a
disk: a new engine goes through the steps once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from vmagent.builder.bases import Bases, UsedImage
from vmagent.builder.cache import Cache, CacheRecord
from vmagent.builder.progress import Progress, Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.builder.reporting import at_once
from vmagent.builder.request import BuildRequest, ImageContext
from vmagent.builder.result import BuiltImage
from vmagent.images.store import Store

if TYPE_CHECKING:
    from vmagent.builder.definition import DefinedStep

KEPT = 64
LARGEST_BYTES = 64 << 10  # of a text, such as a Dockerfile: all that is kept stays below some megabytes
# Fields of a request that say where something comes from. Of the context, its digest counts; the others have no part in
# the key of a step either.
_SOURCES = frozenset(("context", "secrets", "ssh", "credentials"))
K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The `KEPT` values that were used last."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if (found := self._values.get(key)) is not None:
            self._values.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > KEPT:
            self._values.popitem(last=False)

    def drop(self, key: K) -> None:
        self._values.pop(key, None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a build came to, and what that rests on beside its key."""

    used: tuple[UsedImage, ...]
    records: tuple[CacheRecord, ...]
    images: tuple[BuiltImage, ...]
    definition: tuple[DefinedStep, ...]
    reports: tuple[Vertex | VertexWarning, ...]

    def report(self, progress: Progress) -> None:
        """Report the steps as those of a build that found all of them in the cache."""
        for one in self.reports:
            if isinstance(one, Vertex):
                progress.vertex(at_once(one, cached=True))
            else:
                progress.warning(one)


class Noting:
    """`Progress` that passes a build's reports on, and keeps what `Answer.reports` needs of them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._vertexes: dict[str, Vertex] = {}
        self._warnings: list[VertexWarning] = []

    def vertex(self, vertex: Vertex) -> None:
        self._vertexes[vertex.digest] = vertex
        self._progress.vertex(vertex)

    def status(self, status: VertexStatus) -> None:
        self._progress.status(status)

    def log(self, log: VertexLog) -> None:
        self._progress.log(log)

    def warning(self, warning: VertexWarning) -> None:
        self._warnings.append(warning)
        self._progress.warning(warning)

    @property
    def reports(self) -> tuple[Vertex | VertexWarning, ...]:
        vertexes = (replace(one, started_ns=None, completed_ns=None) for one in self._vertexes.values())
        return (*vertexes, *self._warnings)


class Memory:
    """The answers of an engine's builds. Used on the event loop."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store, self._cache = store, cache
        self._answers: Recent[tuple[str, str], Answer] = Recent()
        self._uses_context: Recent[str, bool] = Recent()  # by the request's key: what the last such build did

    @staticmethod
    def key(request: BuildRequest) -> str:
        """All of the request but its main context's files; "" if such a build may come to something else each time."""
        if request.no_cache or request.no_cache_stages or request.pull or request.cache_from or request.inline_cache:
            return ""
        if len(request.dockerfile) > LARGEST_BYTES:
            return ""
        if not all(isinstance(one, ImageContext) for one in request.contexts.values()):
            return ""
        parts = [(one.name, getattr(request, one.name)) for one in fields(request) if one.name not in _SOURCES]
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def uses_context(self, key: str) -> bool | None:
        """Whether such a build reads its main context; None if none is known."""
        return self._uses_context.get(key)

    def find(self, key: str, context: str, bases: Bases) -> tuple[Answer, tuple[CacheRecord, ...]] | None:
        """The answer, if it still counts, and the steps' records, which count as used now.

        `context`: the digest of the main context; "" for a build that does not read it. Nothing is awaited: what was
        found here may go with the caller's next wait, unless the caller keeps it.
        """
        answer = self._answers.get((key, context))
        if answer is None:
            return None
        if not (all(map(bases.take, answer.used)) and all(map(self._is_kept, answer.records))):
            self._answers.drop((key, context))
            return None
        found = (self._cache.get(record.key) for record in answer.records)
        return answer, tuple(record for record in found if record is not None)

    def _is_kept(self, record: CacheRecord) -> bool:
        now = self._cache.peek(record.key)
        if now is None or now.layer not in self._store.layers:
            return False
        return (now.layer, now.created_ns) == (record.layer, record.created_ns)  # its time is in the image

    def keep(self, key: str, context: str, answer: Answer) -> None:
        """`context`: as for `find`."""
        self._uses_context.put(key, bool(context))
        self._answers.put((key, context), answer)
