"""Build caches that travel: the real buildx writes them from one engine and reads them on another."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine, native_engine
from vmagent.builder import cachedocument
from vmagent.builder.cache import REGULAR, CacheRecord
from vmagent.images.layer import Blob, Compression

IMAGE = "busybox:latest"
# The first stage is no part of the image: only mode=max has its step.
FILE = f"FROM {IMAGE} AS early\nRUN echo early >/e; echo x >/x\nFROM {IMAGE}\nCOPY --from=early /e /e\nRUN cat /e >/f\n"


@pytest.fixture(scope="module")
def other(busybox_tar: Path) -> Iterator[NativeEngine]:
    """An engine that has built nothing yet; tests prune its cache."""
    with native_engine() as made:
        made.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        yield made


def folder_of(tmp_path: Path, text: str = FILE) -> Path:
    folder = tmp_path / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    return folder


def cached(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The steps that were cached, without their numbers."""
    names = dict(re.findall(r"^#(\d+) \[[^]]*\d/\d\] (.*)$", done.stderr, re.M))
    return {names[one] for one in re.findall(r"^#(\d+) CACHED$", done.stderr, re.M) if one in names} - {f"FROM {IMAGE}"}


def build(engine: NativeEngine, folder: Path, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return engine.buildx("buildx", "build", "--progress=plain", *args, folder, check=check)


def pruned(engine: NativeEngine) -> NativeEngine:
    engine.docker("builder", "prune", "-af")
    return engine


EARLY = "RUN echo early >/e; echo x >/x"
ALL = {EARLY, "COPY --from=early /e /e", "RUN cat /e >/f"}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_cache_at_a_registry(
    engine: NativeEngine, other: NativeEngine, registry: str, tmp_path: Path, mode: str
) -> None:
    folder, ref = folder_of(tmp_path), f"{registry}/cvt/cache:{mode}"
    done = build(engine, folder, "--cache-to", f"type=registry,ref={ref},mode={mode}")
    assert "exporting cache to registry" in done.stderr
    pruned(other)
    found = build(other, folder, "--cache-from", f"type=registry,ref={ref}", "-t", "cvt/cached")
    assert f"importing cache manifest from {ref}" in found.stderr
    assert cached(found) == (ALL if mode == "max" else ALL - {EARLY})
    assert other.docker("run", "--rm", "cvt/cached", "cat", "/f").stdout == "early\n"
    assert cached(build(other, folder)) == ALL  # they are records of its own now


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_cache_in_a_folder_of_the_client(
    engine: NativeEngine, other: NativeEngine, tmp_path: Path, mode: str
) -> None:
    folder, cache = folder_of(tmp_path), tmp_path / "cache"
    for _ in range(2):  # the second time, the blobs are there
        build(engine, folder, "--cache-to", f"type=local,dest={cache},mode={mode}")
    assert {"index.json", "blobs"} <= {path.name for path in cache.iterdir()}
    pruned(other)
    found = build(other, folder, "--cache-from", f"type=local,src={cache}", "-t", "cvt/cached")
    assert cached(found) == (ALL if mode == "max" else ALL - {EARLY})
    assert other.docker("run", "--rm", "cvt/cached", "cat", "/f").stdout == "early\n"


def test_a_cache_in_the_image(engine: NativeEngine, other: NativeEngine, registry: str, tmp_path: Path) -> None:
    folder, ref = folder_of(tmp_path), f"{registry}/cvt/inline:1"
    build(engine, folder, "--cache-to", "type=inline", "--push", "-t", ref)
    pruned(other)
    found = build(other, folder, "--cache-from", ref, "-t", "cvt/cached")
    assert cached(found) == ALL - {EARLY}
    config = json.loads(other.docker("inspect", "cvt/cached").stdout)[0]
    assert config["RootFS"] == json.loads(engine.docker("inspect", ref).stdout)[0]["RootFS"]


def test_the_classic_builder_takes_the_cache_of_an_image(
    engine: NativeEngine, other: NativeEngine, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    folder, ref = folder_of(tmp_path), f"{registry}/cvt/inline:2"
    engine.docker("build", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", ref, str(folder))
    engine.docker("push", ref)
    pruned(other)
    done = other.docker("build", "--cache-from", ref, str(folder))
    assert done.stdout.count("Using cache") == 2
    pruned(other)
    other.docker("pull", ref)  # now without the registry's help
    assert other.docker("build", "--cache-from", ref, str(folder)).stdout.count("Using cache") == 2
    assert pruned(other).docker("build", str(folder)).stdout.count("Using cache") == 0


def test_cove_writes_and_reads_caches(engine: NativeEngine, other: NativeEngine, registry: str, tmp_path: Path) -> None:
    folder, ref = folder_of(tmp_path), f"{registry}/cvt/cove:1"
    said = engine.cove("build", "--cache-to", f"type=registry,ref={ref},mode=max", str(folder)).stdout
    assert f"exporting cache to {ref}" in said
    pruned(other)
    said = other.cove("build", "--cache-from", f"type=registry,ref={ref}", "-t", "cvt/cached", str(folder)).stdout
    assert said.splitlines().count("      cached") == 3
    again = engine.cove("build", "--cache-to", "type=local,dest=/x", str(folder), check=False)
    assert again.returncode == 125
    assert "type=local" in again.stderr


def test_a_cache_that_is_missing_is_shown_and_the_build_goes_on(
    engine: NativeEngine, registry: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, f"FROM {IMAGE}\nRUN echo alone\n")
    done = build(engine, folder, "--cache-from", f"type=registry,ref={registry}/cvt/missing")
    assert re.search(r"^#\d+ ERROR: .*cvt/missing.* not found", done.stderr, re.M)


def test_a_cache_that_cannot_be_written_fails_the_build_unless_told_otherwise(
    engine: NativeEngine, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, f"FROM {IMAGE}\nRUN echo alone\n")
    target = "type=registry,ref=127.0.0.1:1/cvt/x"
    assert "refused" in build(engine, folder, "--cache-to", target, check=False).stderr
    build(engine, folder, "--cache-to", f"{target},ignore-error=true")


def test_the_form_of_a_cache() -> None:
    record = CacheRecord(
        key="a" * 64, kind=REGULAR, layer=f"sha256:{'b' * 64}", size=3, description="RUN x", created_ns=5, used_ns=9
    )
    blob = Blob(f"sha256:{'c' * 64}", 7, Compression.GZIP)
    (step,) = cachedocument.steps(cachedocument.document([record], {record.layer: blob}).decode())
    assert (step.key, step.layer, step.blob, step.blob_size) == (record.key, record.layer, blob.digest, 7)
    config = {"rootfs": {"diff_ids": [record.layer]}}
    inline = cachedocument.with_inline(config, [record.layer], [record])
    (step,) = cachedocument.inline_steps(json.dumps(inline), [(blob.digest, 7)])
    assert (step.key, step.description, step.created_ns) == (record.key, "RUN x", 5)
    assert cachedocument.inline_steps(json.dumps(config), [(blob.digest, 7)]) == []


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{",
        '{"records": {"a": 1}}',
        '{"records": [1]}',
        '{"records": [{"cove": {}, "digest": "sha256:1"}]}',
        '{"records": [{"cove": {}, "digest": "' + "a" * 64 + '", "layers": [{"layer": 1}]}], "layers": []}',
        '{"records": [{"cove": {}, "digest": "' + "a" * 64 + '", "layers": [{"layer": 0}]}], "layers": [{"blob": 1}]}',
    ],
)
def test_what_is_no_cache_is_refused(config: str) -> None:
    with pytest.raises(ValueError, match=r"cache|JSON|Expecting|list"):
        cachedocument.steps(config)
