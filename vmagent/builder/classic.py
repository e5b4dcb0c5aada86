"""The classic wire's stream, made from a build's progress: `Step 1/3 : FROM busybox`, ` ---> 1b2c…`, the output of RUN.

The wire knows no stages that run at the same time. So the lines of a step are held until every earlier step has ended.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from vmagent.builder.builder import Builder
from vmagent.builder.progress import Progress, Tee, Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.builder.remotecache import chosen
from vmagent.builder.request import BuildError, BuildRequest, CacheExport
from vmagent.builder.result import BuildResult
from vmagent.dockerfile.errors import DockerfileError
from vmagent.errors import EngineError
from vmagent.images.reference import Reference

Line = dict[str, Any]
OUTPUTS = ("local", "tar", "oci", "docker")  # "local" is a tar, too, that the client unpacks
_SHORT = 12
_PIECE_BYTES = 256 << 10  # of an output in one line
MAX_WAITING = 10_000  # lines held for a slow client; a pull's progress past it is dropped (output has its own limit)


class _Step:
    """The lines of one step."""

    def __init__(self) -> None:
        self.held: list[Line] = []
        self.is_shown = self.is_done = False
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")


class ClassicProgress:
    """`Progress` that gives the lines of the classic stream. `lines` ends with None."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[Line | None] = asyncio.Queue()
        self._steps: dict[int, _Step] = {}
        self._number_of: dict[str, int] = {}
        self._next = 1
        self._are_taken = asyncio.Event()

    def vertex(self, vertex: Vertex) -> None:
        """See Progress."""
        if vertex.step is None:
            return
        number = vertex.step.number
        step = self._steps.setdefault(number, _Step())
        if vertex.digest not in self._number_of:
            self._number_of[vertex.digest] = number
            step.held.append(_stream(f"Step {number}/{vertex.step.total} : {vertex.step.text}\n"))
        if vertex.completed_ns is not None:
            if not vertex.error:
                if vertex.cached and number in self._steps and not vertex.step.text.upper().startswith("FROM"):
                    step.held.append(_stream(" ---> Using cache\n"))
                step.held.append(_stream(f" ---> {_short(vertex.image_id)}\n"))
                step.is_done = True
        elif vertex.step.text.upper().startswith("RUN"):
            step.held.append(_stream(f" ---> Running in {_short(vertex.digest)}\n"))
        self._show()

    def status(self, status: VertexStatus) -> None:
        """See Progress."""
        number = self._number_of.get(status.vertex)
        if number is None or self.lines.qsize() > MAX_WAITING:
            return
        word = "Pull complete" if status.completed_ns else "Downloading"
        detail = {"current": status.current, "total": status.total} if not status.completed_ns else {}
        self._steps[number].held.append({"status": word, "progressDetail": detail, "id": status.id})
        self._show()

    def log(self, log: VertexLog) -> None:
        """See Progress."""
        number = self._number_of.get(log.vertex)
        if number is None:
            return
        step = self._steps[number]
        if text := step.decoder.decode(log.data):
            step.held.append(_stream(text))
        self._show()

    def export_line(self, line: Line) -> None:
        """A line about a layer of an exported cache."""
        if self.lines.qsize() <= MAX_WAITING:
            self.lines.put_nowait(line)

    def warning(self, warning: VertexWarning) -> None:
        """See Progress. The classic stream has no warnings."""

    def _show(self) -> None:
        """Give out what is next: a step's lines as they come, once all earlier steps have ended."""
        while (step := self._steps.get(self._next)) is not None:
            self._give(step)
            if not step.is_done:
                return
            self._next += 1

    async def ready(self) -> list[Line]:
        """The lines that there are now, at least one; empty after the end."""
        if (first := await self.lines.get()) is None:
            return []
        found = [first]
        while not self.lines.empty():
            if (line := self.lines.get_nowait()) is None:
                self.lines.put_nowait(None)  # the end of the next call
                break
            found.append(line)
        self._are_taken.set()
        return found

    async def output(self, data: bytes) -> None:
        """A piece of what the build exports to the client; returns when it is taken."""
        self._are_taken.clear()
        self.lines.put_nowait({"output": base64.b64encode(data).decode()})
        await self._are_taken.wait()

    def _give(self, step: _Step) -> None:
        for line in step.held:
            self.lines.put_nowait(line)
        step.held.clear()

    def flush(self) -> None:
        """Give out everything that is held: the build has failed, and the steps in between will not end."""
        for number in sorted(self._steps):
            if number >= self._next:
                self._give(self._steps[number])


def _stream(text: str) -> Line:
    return {"stream": text}


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]


def parse_failure(error: DockerfileError) -> str:
    """What the user sees of a faulty Dockerfile: BuildKit's words."""
    if error.lines is None:
        return str(error)
    return f"dockerfile parse error on line {error.lines.first}: {error}"


class Recorder(Progress, Protocol):
    """Keeps what a build reports (`buildkit.recording.Recording`)."""

    def begin(self, cancel: Callable[[], object]) -> None:
        """The build begins; `cancel` ends it."""

    def failed(self, error: BaseException) -> None:
        """Why it ends without an image."""

    def end(self, image_id: str) -> None:
        """It has ended; "": without an image."""


async def run(
    builder: Builder,
    request: BuildRequest,
    names: Sequence[str],
    *,
    quiet: bool,
    cache_to: Sequence[CacheExport] = (),
    recorder: Recorder | None = None,
    output: str = "",
) -> AsyncGenerator[list[Line], None]:
    """The lines of one build, which then writes the caches `cache_to`: each time those that there are by then.

    `output`: one of OUTPUTS, which is sent in lines `{"output": BASE64}` in place of an image in the store.

    Raises EngineError before the first line for what the request says wrong.

    A build that fails later ends with an `errorDetail` line. Closing the generator cancels the build.
    """
    references = [Reference.parse(name).with_default_tag() for name in names]
    progress = ClassicProgress()
    working = asyncio.create_task(
        _build(builder, request, [one.familiar for one in references], progress, cache_to, recorder, output),
        name="build",
    )
    if recorder is not None:
        recorder.begin(working.cancel)
    working.add_done_callback(lambda _: progress.lines.put_nowait(None))
    try:
        while ready := await progress.ready():
            if quiet:
                ready = [line for line in ready if "output" in line]
            if ready:
                yield ready
        try:
            if working.cancelled():
                yield [_failed(BuildError("context canceled"))]
                return
            image_id = await working
        except DockerfileError as e:
            raise type(e)(parse_failure(e)) from e
        except BuildError as e:
            yield [_failed(e)]
            return
    finally:
        working.cancel()
        await asyncio.wait([working])
    if not image_id:
        return
    if quiet:
        yield [_stream(f"{image_id}\n")]
        return
    tagged = [_stream(f"Successfully tagged {reference.familiar}\n") for reference in references]
    yield [{"aux": {"ID": image_id}}, _stream(f"Successfully built {_short(image_id)}\n"), *tagged]


async def _build(
    builder: Builder,
    request: BuildRequest,
    names: Sequence[str],
    progress: ClassicProgress,
    cache_to: Sequence[CacheExport],
    recorder: Recorder | None,
    output: str,
) -> str:
    """The image's id, "" for an output. Raises EngineError. `recorder` is told of the end, whichever it is."""
    image_id = ""
    try:
        image_id = await _built(builder, request, names, progress, cache_to, recorder, output)
    except BaseException as e:
        if recorder is not None:
            recorder.failed(e)
        raise
    finally:
        if recorder is not None:
            recorder.end(image_id)
    return image_id


async def _built(
    builder: Builder,
    request: BuildRequest,
    names: Sequence[str],
    progress: ClassicProgress,
    cache_to: Sequence[CacheExport],
    recorder: Recorder | None,
    output: str,
) -> str:
    try:
        result = await builder.build(request, progress if recorder is None else Tee(progress, recorder))
    except EngineError:
        progress.flush()
        raise
    try:
        if output:
            await _send(builder, result, output, names, progress)
            image_id = ""
        elif len(result.images) > 1:
            image_id = (await builder.store_index(result.images, names)).image_id
        else:
            image_id = await builder.store(result.images[0], names)
        for export in cache_to:
            await _export_cache(builder, request, result, export, progress)
        return image_id
    finally:
        result.release()


async def _send(
    builder: Builder, result: BuildResult, output: str, names: Sequence[str], progress: ClassicProgress
) -> None:
    """Send the client what it exports. Raises EngineError."""
    if output in ("docker", "oci"):
        if output == "docker" and len(result.images) != 1:
            raise BuildError(f"the docker exporter takes one platform, and {len(result.images)} were built")
        keys = [Reference.parse(name).key for name in names]
        await _send_pieces(builder.archive(result.images, keys), progress)
        return
    from vmagent.builder.exporting import packed

    async with builder.files(result.images) as folder:
        await _send_pieces(packed(folder), progress)


async def _send_pieces(chunks: AsyncGenerator[bytes, None], progress: ClassicProgress) -> None:
    held = bytearray()
    async with aclosing(chunks):
        async for chunk in chunks:
            held += chunk
            if len(held) >= _PIECE_BYTES:
                await progress.output(bytes(held))
                held.clear()
    if held:
        await progress.output(bytes(held))


async def _export_cache(
    builder: Builder, request: BuildRequest, result: BuildResult, export: CacheExport, progress: ClassicProgress
) -> None:
    reference = export.target.reference
    progress.lines.put_nowait(_stream(f"exporting cache to {reference}\n"))
    records = chosen(result.records, result.images[0].layers, everything=export.everything)
    credentials = request.credentials
    try:
        auth = await credentials.get(Reference.parse(reference).domain) if credentials is not None else {}
        await builder.push_cache(export.target, records, auth, progress.export_line)
    except EngineError as e:
        message = f"failed to export the cache to {reference}: {e}"
        if not export.ignores_errors:
            raise BuildError(message) from e
        progress.lines.put_nowait(_stream(f"{message}\n"))


def _failed(error: BuildError) -> Line:
    message = str(error)
    detail: dict[str, Any] = {"message": message}
    if error.exit_code is not None:
        message = f"The command '{' '.join(error.command)}' returned a non-zero code: {error.exit_code}"
        detail = {"code": error.exit_code, "message": message}
    return {"errorDetail": detail, "error": message}
