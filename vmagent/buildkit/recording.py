"""Builds of the classic wire in the history: `DOCKER_BUILDKIT=0 docker build`, `cove build`, docker-py."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from grpclib.const import Status as Code

from vmagent.builder.request import BuildError
from vmagent.buildkit import messages as pb
from vmagent.buildkit.builds import CANCELED, source_detail
from vmagent.buildkit.history import History
from vmagent.buildkit.protobuf import timestamp
from vmagent.buildkit.status import StatusLog
from vmagent.dockerfile.errors import DockerfileError, Lines

DOCKERFILE = "dockerfile.v0"


class Recording(StatusLog):
    """Receives the reports of one such build (`builder.progress.Progress`)."""

    def __init__(self, history: History, options: Mapping[str, str], names: Sequence[str], dockerfile: bytes) -> None:
        super().__init__()
        self._history, self._dockerfile = history, dockerfile
        self._filename = options.get("filename", "") or "Dockerfile"
        self._record = pb.BuildHistoryRecord(
            Ref=secrets.token_hex(16),
            Frontend=DOCKERFILE,
            FrontendAttrs=options,
            Exporters=[pb.Exporter(Type="moby", Attrs={"name": ",".join(names)})],
            CreatedAt=timestamp(time.time_ns()),
        )
        self.source = pb.SourceInfo(filename=self._filename, data=dockerfile, language="Dockerfile")

    def begin(self, cancel: Callable[[], object]) -> None:
        """`cancel` ends the build."""
        self._history.started(self._record, self, cancel)

    def failed(self, error: BaseException) -> None:
        """Note why it ended: an EngineError, or that it was cancelled."""
        lines: Lines | None = None
        if isinstance(error, DockerfileError):
            lines = error.lines
        elif isinstance(error, BuildError) and error.line:
            lines = Lines(error.line, error.line)
        details = [] if lines is None else [source_detail(lines, self._filename, self._dockerfile)]
        known = isinstance(error, Exception)
        code = (Code.UNKNOWN if known else Code.CANCELLED).value
        message = str(error) if known else CANCELED
        self._record.error.CopyFrom(pb.Status(code=code, message=message, details=details))

    def end(self, image_id: str) -> None:
        """The build has ended; "": without an image."""
        self.complete()
        if image_id:
            self._record.ExporterResponse.update({"containerimage.config.digest": image_id})
        fill(self._record, self)
        self._history.ended(self._record, self.whole())


def fill(record: pb.BuildHistoryRecord, status: StatusLog) -> None:
    """The counts and the time of a build that ends now."""
    vertexes = status.vertexes.values()
    record.CompletedAt.CopyFrom(timestamp(time.time_ns()))
    record.numTotalSteps = len(vertexes)
    record.numCachedSteps = sum(vertex.cached for vertex in vertexes)
    record.numCompletedSteps = sum(vertex.completed_ns is not None for vertex in vertexes)
    record.numWarnings = status.warnings
