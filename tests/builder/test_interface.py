"""The builder's interface: what a front gives, and what it gets back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from vmagent.builder.progress import Progress, Vertex, VertexLog, VertexStatus, VertexWarning
from vmagent.builder.request import BuildError, BuildRequest, Context, InvalidBuild, Received, Selection
from vmagent.builder.result import BuildResult, BuiltImage
from vmagent.errors import BadRequest, EngineError


class _Files:
    """A context from a dict."""

    def __init__(self, files: dict[str, bytes], folder: Path) -> None:
        self._files, self._folder = files, folder

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        found = self._files.get(path)
        return found if found is None else found[:limit_bytes]

    async def digest(self, selection: Selection, received: Received) -> str:
        return ""

    async def fetch(self, selection: Selection, received: Received) -> Path:
        for path, data in self._files.items():
            if path not in selection.exclude:
                (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / path).write_bytes(data)
                received(len(data))
        return self._folder


class _Record:
    """A progress sink that keeps everything."""

    def __init__(self) -> None:
        self.reports: list[Vertex | VertexStatus | VertexLog | VertexWarning] = []
        self.vertex = self.status = self.log = self.warning = self.reports.append


def test_a_front_s_context_and_progress_satisfy_the_interfaces(tmp_path: Path) -> None:
    context: Context = _Files({"a": b"1", "b/c": b"22"}, tmp_path / "x")
    progress: Progress = _Record()
    sizes: list[int] = []
    folder = asyncio.run(context.fetch(Selection(exclude=("a",)), sizes.append))
    assert sorted(path.name for path in folder.rglob("*")) == ["b", "c"]
    assert sizes == [2]
    progress.log(VertexLog(vertex="sha256:1", stream=1, data=b"x", at_ns=1))
    assert BuildRequest(dockerfile=b"FROM scratch", context=context).credentials is None


def test_a_build_s_failure_has_docker_s_status_and_its_line() -> None:
    failed, invalid = BuildError("no", line=3, exit_code=2), InvalidBuild("dockerfile parse error", line=1)
    assert (failed.status, failed.line, failed.exit_code, str(failed)) == (500, 3, 2, "no")
    assert (invalid.status, invalid.line) == (400, 1)
    assert isinstance(invalid, BadRequest)
    assert isinstance(invalid, EngineError)


def test_a_result_is_released_once() -> None:
    released: list[int] = []
    result = BuildResult((BuiltImage("linux/amd64", {}, ("sha256:1",)),), lambda: released.append(1))
    result.release()
    result.release()
    assert released == [1]
