"""Images of several platforms, and attestations: built by the real buildx into the store, and to a registry."""

from __future__ import annotations

import base64
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from vmagent.images.platforms import Platform

PLATFORMS = ("linux/amd64", "linux/arm64")
DOCKERFILE = "FROM scratch\nARG TARGETARCH\nARG who=me\nCOPY f /$TARGETARCH\nLABEL a=b\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "f").write_text("content\n")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def name(engine: NativeEngine, registry: str, request: pytest.FixtureRequest) -> Iterator[str]:
    made = f"{registry}/{request.node.name.replace('_', '-').lower().partition('[')[0]}:1"
    yield made
    engine.docker("rmi", "-f", made, check=False)


def raw(name: str) -> bytes:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=HANG_S).stdout


def shown(engine: NativeEngine, name: str) -> dict[str, Any]:
    """The image of the list, with its manifests."""
    with engine.client() as client:
        listed = client.request("GET", "/images/json", {"manifests": True, "filters": {"reference": [name]}})
    [image] = listed
    found: dict[str, Any] = image
    return found


def kinds(image: dict[str, Any]) -> list[tuple[str, bool]]:
    return sorted((one["Kind"], one["Available"]) for one in image["Manifests"])


def test_several_platforms_are_one_name_in_the_store(
    engine: NativeEngine, context: Path, name: str, tmp_path: Path
) -> None:
    metadata = tmp_path / "metadata.json"
    engine.buildx("build", "-q", "--platform", ",".join(PLATFORMS), "-t", name, "--metadata-file", metadata, context)
    image = shown(engine, name)
    assert kinds(image) == [("image", True), ("image", True)]
    assert image["Descriptor"]["digest"] == json.loads(metadata.read_text())["containerimage.digest"]
    inspected = json.loads(engine.docker("image", "inspect", name).stdout)[0]
    assert (inspected["Id"], inspected["Architecture"]) == (image["Id"], Platform.host().architecture)
    for platform in PLATFORMS:
        made = engine.docker("create", "--platform", platform, name, "x").stdout.strip()
        engine.docker("export", "-o", str(tmp_path / "files.tar"), made)
        with tarfile.open(tmp_path / "files.tar") as tar:
            assert platform.partition("/")[2] in tar.getnames()
        engine.docker("rm", made)
    engine.docker("push", name)
    assert [one["platform"]["architecture"] for one in json.loads(raw(name))["manifests"]] == ["amd64", "arm64"]
    before = shown(engine, name)["Id"]
    engine.docker("rmi", name)
    assert engine.docker("image", "inspect", before, check=False).returncode == 1


def test_several_platforms_are_pushed_as_one_name(engine: NativeEngine, context: Path, name: str) -> None:
    for _ in range(2):
        engine.buildx("build", "-q", "--platform", ",".join(PLATFORMS), "-t", name, "--push", context)
        digest = shown(engine, name)["Descriptor"]["digest"]
        index = raw(name)
        assert [one["platform"]["architecture"] for one in json.loads(index)["manifests"]] == ["amd64", "arm64"]
        assert raw(f"{name.rpartition(':')[0]}@{digest}") == index
    inspected = engine.buildx("buildx", "imagetools", "inspect", name).stdout
    assert digest in inspected
    assert all(platform in inspected for platform in PLATFORMS)


def provenance(index: bytes, name: str) -> list[dict[str, Any]]:
    """The statements of a registry's index."""
    repository = name.rpartition(":")[0]
    found = []
    for entry in json.loads(index)["manifests"]:
        if entry.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest":
            manifest = json.loads(raw(f"{repository}@{entry['digest']}"))
            [layer] = manifest["layers"]
            assert layer["mediaType"] == "application/vnd.in-toto+json"
            assert layer["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
            host, _, path = repository.partition("/")
            data = subprocess.run(
                ["curl", "-sf", f"http://{host}/v2/{path}/blobs/{layer['digest']}"],
                stdout=subprocess.PIPE,
                check=True,
                timeout=HANG_S,
            )
            statement = json.loads(data.stdout)
            assert (
                statement["subject"][0]["digest"]["sha256"] == entry["annotations"]["vnd.docker.reference.digest"][7:]
            )
            found.append(statement)
    return found


@pytest.mark.parametrize("mode", ["min", "max"])
def test_provenance_is_kept_and_pushed(engine: NativeEngine, context: Path, name: str, mode: str) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nARG who\nRUN true\n")
    build = ("build", "-q", f"--provenance=mode={mode}", "--build-arg", "who=s3cret", "-t", name)
    engine.buildx(*build, "--push", context)
    assert kinds(shown(engine, name)) == [("attestation", True), ("image", True)]
    index = raw(name)
    [statement] = provenance(index, name)
    predicate = statement["predicate"]
    assert predicate["buildType"] == "https://mobyproject.org/buildkit@v1"
    assert [one["uri"].partition("?")[0] for one in predicate["materials"]] == ["pkg:docker/busybox@latest"]
    assert predicate["invocation"]["configSource"] == {"entryPoint": "Dockerfile"}
    assert predicate["metadata"]["completeness"]["parameters"] == (mode == "max")
    assert ("s3cret" in json.dumps(statement)) == (mode == "max")
    if mode == "max":
        [source] = predicate["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"]["infos"]
        assert base64.b64decode(source["data"]).decode() == (context / "Dockerfile").read_text()
    template = "{{ json .Provenance.SLSA.buildType }}"
    assert (
        json.loads(engine.buildx("buildx", "imagetools", "inspect", "--format", template, name).stdout)
        == predicate["buildType"]
    )
    assert engine.docker("run", "--rm", name, "echo", "runs").stdout == "runs\n"


def test_what_has_no_attestations_says_so(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    kept = engine.buildx("build", "--provenance=true", "-o", str(tmp_path / "out"), context, check=False)
    assert "the local exporter keeps no attestations" in kept.stderr
    assert "[1/" not in kept.stderr  # no step of it was begun
    bad = engine.buildx("build", "--provenance=mode=most", "-t", "cvt/bad", context, check=False)
    assert "invalid provenance mode 'most'" in bad.stderr
    (context / "Dockerfile").write_text("FROM scratch\nCOPY f /plain\n")
    engine.buildx("build", "-q", "-t", "cvt/plain", context)
    assert shown(engine, "cvt/plain").get("Manifests") == []
    engine.docker("rmi", "cvt/plain")
