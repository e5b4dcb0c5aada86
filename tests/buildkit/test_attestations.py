"""What an image's attestations say, made by the real buildx and read from the registry: provenance and SBOM."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.buildkit.test_platforms import raw
from tests.support.engine import NativeEngine, run
from tests.support.gitserver import git, git_server
from tests.support.limits import HANG_S
from tests.support.tools import newest_docker

SPDX, SLSA = "https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2"
METADATA = "https://mobyproject.org/buildkit@v1#metadata"
DPKG = """Package: bash
Status: install ok installed
Maintainer: Some One <one@example.org>
Architecture: amd64
Source: bash-src (5.2)
Version: 1:5.2-1+b2
Homepage: https://example.org/bash
Description: a shell
 Package: not one

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
DISTROLESS = "Package: tzdata\nVersion: 2025a\nArchitecture: all\n"
APK = "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nm:Some Two <two@example.org>\nF:lib\nR:libc.so\n\n"
WHEEL = """Metadata-Version: 2.4
Name: Some.Package
Version: 2.0
License-Expression: Apache-2.0 OR MIT

Name: not one
Version: 3
"""


@pytest.fixture
def name(engine: NativeEngine, registry: str, request: pytest.FixtureRequest) -> Iterator[str]:
    made = f"{registry}/{request.node.name.replace('_', '-').lower().partition('[')[0]}:1"
    yield made
    engine.docker("rmi", "-f", made, check=False)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


def statements(name: str) -> dict[str, dict[str, Any]]:
    """Of the name's only image at the registry: by the type of their predicates."""
    repository = name.rpartition(":")[0]
    host, _, path = repository.partition("/")
    found = {}
    for entry in json.loads(raw(name))["manifests"]:
        if entry.get("annotations", {}).get("vnd.docker.reference.type") != "attestation-manifest":
            continue
        for layer in json.loads(raw(f"{repository}@{entry['digest']}"))["layers"]:
            address = f"http://{host}/v2/{path}/blobs/{layer['digest']}"
            done = subprocess.run(["curl", "-sf", address], stdout=subprocess.PIPE, check=True, timeout=HANG_S)
            statement = json.loads(done.stdout)
            subject = entry["annotations"]["vnd.docker.reference.digest"].removeprefix("sha256:")
            assert [one["digest"]["sha256"] for one in statement["subject"]] == [subject]
            assert layer["annotations"]["in-toto.io/predicate-type"] == statement["predicateType"]
            found[statement["predicateType"]] = statement["predicate"]
    return found


def write_packages(folder: Path) -> None:
    """An image's files with packages of all kinds, and what looks like some."""
    for path, text in {
        "etc/os-release": 'NAME="Some OS"\nID=debian\nVERSION_ID="13"\n',
        "var/lib/dpkg/status": DPKG,
        "var/lib/dpkg/status.d/tzdata": DISTROLESS,
        "var/lib/dpkg/status.d/tzdata.md5sums": "Package: wrong\nVersion: 1\n",
        "lib/apk/db/installed": APK,
        "usr/lib/python3/dist-packages/some_package-2.0.dist-info/METADATA": WHEEL,
        "opt/venv/lib/python3.13/site-packages/old-1.egg-info": "Name: old\nVersion: 1\nLicense: MIT\n",
        "opt/venv/lib/python3.13/site-packages/older.egg-info/PKG-INFO": "Name: older\nVersion: 0.1\n",
        "opt/venv/lib/python3.13/site-packages/broken-1.dist-info/METADATA": "Version: 1\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "opt" / "out.dist-info").symlink_to("/usr/lib/python3/dist-packages")


def test_an_sbom_lists_the_packages_of_the_image(engine: NativeEngine, context: Path, name: str) -> None:
    write_packages(context / "files")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY files /\n")
    engine.buildx("build", "-q", "--sbom=true", "--provenance=false", "-t", name, "--push", context)
    made = statements(name)
    assert list(made) == [SPDX]
    document = made[SPDX]
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    image, *packages = document["packages"]
    assert image["primaryPackagePurpose"] == "CONTAINER"
    assert [one["externalRefs"][0]["referenceLocator"] for one in packages] == [
        "pkg:apk/debian/musl@1.2.5-r0?arch=x86_64&distro=debian-13",
        "pkg:deb/debian/bash@1%3A5.2-1%2Bb2?arch=amd64&distro=debian-13&upstream=bash-src",
        "pkg:deb/debian/tzdata@2025a?arch=all&distro=debian-13",
        "pkg:pypi/some-package@2.0",
        "pkg:pypi/old@1",
        "pkg:pypi/older@0.1",
    ]
    bash = packages[1]
    assert [one["licenseDeclared"] for one in packages] == [
        "MIT", "NOASSERTION", "NOASSERTION", "Apache-2.0 OR MIT", "NOASSERTION", "NOASSERTION",
    ]  # fmt: skip
    assert (bash["supplier"], bash["homepage"]) == ("Person: Some One <one@example.org>", "https://example.org/bash")
    ids = [one["SPDXID"] for one in document["packages"]]
    assert len({*ids}) == len(ids)
    relations = [(one["spdxElementId"], one["relationshipType"]) for one in document["relationships"]]
    assert relations == [("SPDXRef-DOCUMENT", "DESCRIBES"), *[(image["SPDXID"], "CONTAINS")] * len(packages)]
    template = "{{ json .SBOM.SPDX.name }}"
    shown = engine.buildx("buildx", "imagetools", "inspect", "--format", template, name).stdout
    assert json.loads(shown) == name


def test_both_attestations_are_of_one_image(engine: NativeEngine, context: Path, name: str) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    engine.buildx("build", "-q", "--attest", "type=sbom", "--provenance=mode=max", "-t", name, "--push", context)
    made = statements(name)
    assert made.keys() == {SPDX, SLSA}
    assert [one["name"] for one in made[SPDX]["packages"]] == [name]  # busybox has no records of packages
    plain = engine.buildx("build", "--progress=plain", "--sbom=true", "-t", "cvt/sbom", context)
    assert "listing the packages of the image" in plain.stderr
    assert engine.docker("run", "--rm", "cvt/sbom", "echo", "runs").stdout == "runs\n"
    engine.docker("rmi", "cvt/sbom")


def test_provenance_of_slsa_1_says_the_same(engine: NativeEngine, context: Path, name: str) -> None:
    """The newest buildx asks for it by `version=v1`."""
    (context / "Dockerfile").write_text("FROM busybox\nARG who\nRUN true\n")
    docker, config = newest_docker()
    environment = {"DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config)}
    build: list[str | Path] = [
        docker,
        "build",
        "-q",
        "--build-arg",
        "who=me",
        "--provenance=mode=max,version=v1",
        "-t",
        name,
        "--push",
    ]
    run([*build, context], environment, check=True)
    made = statements(name)
    assert list(made) == ["https://slsa.dev/provenance/v1"]
    [predicate] = made.values()
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["externalParameters"]["configSource"] == {"path": "Dockerfile"}
    assert definition["externalParameters"]["request"]["args"]["build-arg:who"] == "me"
    assert len(definition["internalParameters"]["buildConfig"]["llbDefinition"]) == 2
    assert [one["uri"].partition("?")[0] for one in definition["resolvedDependencies"]] == ["pkg:docker/busybox@latest"]
    assert details["metadata"]["buildkit_completeness"] == {"request": True, "resolvedDependencies": False}
    assert list(details["metadata"]["buildkit_metadata"]["source"]["locations"]) == ["step1"]
    bad = engine.buildx("build", "--provenance=version=v9", "-t", "cvt/bad", context, check=False)
    assert "invalid SLSA version 'v9'" in bad.stderr


def test_another_generator_is_refused_before_a_step_runs(engine: NativeEngine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    done = engine.buildx("build", "--sbom=generator=some/scanner:1", "-t", "cvt/no", context, check=False)
    assert done.returncode == 1
    assert "the SBOM generator some/scanner:1 is an image, which this engine does not run" in done.stderr
    assert "[1/" not in done.stderr


FROM_NOTHING = """FROM scratch AS files
COPY a b /x/
FROM busybox AS below
FROM below
COPY --from=files /x/a /y/
COPY a <<f /z/
text
f
RUN --mount=type=tmpfs,target=/t --mount=from=files,target=/m true
"""


def test_each_operation_says_which_of_its_inputs_it_reads(engine: NativeEngine, context: Path, name: str) -> None:
    """InputIndex of BuildKit's ops.proto: -1 is nothing; behind a step's inputs come what its own actions gave."""
    (context / "Dockerfile").write_text(FROM_NOTHING)
    for file in ("a", "b"):
        (context / file).write_text(file)
    engine.buildx("build", "-q", "--provenance=mode=max", "-t", name, "--push", context)
    steps = statements(name)[SLSA]["buildConfig"]["llbDefinition"]
    files, ran = [one for one in steps if "file" in one["op"]["Op"]], steps[-1]
    sources = {one["id"]: one["op"]["Op"]["source"]["identifier"] for one in steps if "source" in one["op"]["Op"]}
    inputs = [[sources.get(key[:-2], key[:-2]) for key in one["inputs"]] for one in (*files, ran)]
    local, image, (first, second, third) = "local://context", sources["step0"], [one["id"] for one in files]
    assert inputs == [[local], [image, first], [second, local], [third, first]]
    actions = [
        [(action["input"], action["secondaryInput"], action["output"]) for action in one["op"]["Op"]["file"]["actions"]]
        for one in files
    ]
    assert actions == [[(-1, 0, -1), (1, 0, 0)], [(0, 1, 0)], [(0, 1, -1), (2, -1, 0)]]
    mounts = [(one["dest"], one["input"]) for one in ran["op"]["Op"]["exec"]["mounts"]]
    assert mounts == [("/", 0), ("/t", -1), ("/m", 1)]


FROM_GIT = """FROM busybox AS first
RUN echo one >/one
FROM busybox
WORKDIR /w
ADD http://{address}/file.txt http://{address}/smart/other.git /a/
COPY --from=first --chown=7:8 /one f /c/
RUN --mount=type=tmpfs,target=/t --network=none ["true", "x"]
"""


def test_provenance_names_all_materials_and_in_full_all_steps(engine: NativeEngine, tmp_path: Path, name: str) -> None:
    folder, work = tmp_path / "served", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    with git_server(folder) as (address, _):
        (folder / "file.txt").write_text("a file\n")
        commits = {}
        for repository in ("other", "main"):
            git(folder, "init", "-q", "--bare", "-b", "main", f"{repository}.git")
            git(work, "init", "-q", "-b", "main", repository)
            (work / repository / "f").write_text("f\n")
            text = FROM_GIT.format(address=address).replace("/one f /c/", "/one /c/")
            (work / repository / "Dockerfile").write_text(text)
            git(work / repository, "add", ".")
            git(work / repository, "commit", "-qm", "first")
            git(work / repository, "push", "-q", folder / f"{repository}.git", "main")
            commits[repository] = git(work / repository, "rev-parse", "HEAD")
        source = f"http://{address}/smart/main.git#main"
        made = {}
        for mode in ("min", "max"):
            engine.buildx("build", "-q", f"--provenance=mode={mode}", "-t", name, "--push", source)
            made[mode] = statements(name)[SLSA]
    for one in made.values():
        assert one["invocation"]["configSource"] == {
            "uri": source, "digest": {"sha1": commits["main"]}, "entryPoint": "Dockerfile",
        }  # fmt: skip
        found = {material["uri"].partition("?")[0]: material.get("digest") for material in one["materials"]}
        assert found.keys() == {
            "pkg:docker/busybox@latest", source, f"http://{address}/file.txt", f"http://{address}/smart/other.git",
        }  # fmt: skip
        assert found[source] == {"sha1": commits["main"]}
        assert found[f"http://{address}/smart/other.git"] == {"sha1": commits["other"]}
        assert found[f"http://{address}/file.txt"] == {"sha256": sha256(b"a file\n").hexdigest()}
    assert "buildConfig" not in made["min"]
    steps = made["max"]["buildConfig"]["llbDefinition"]
    assert [one["id"] for one in steps] == [f"step{number}" for number in range(len(steps))]
    shown = {one["id"]: (*one["op"]["Op"], *one.get("inputs", ())) for one in steps}
    kinds = [next(iter(one["op"]["Op"])) for one in steps]
    assert kinds == ["source", "source", "source", "exec", "file", "file", "file", "exec"]
    by_name = {one["op"]["Op"]["source"]["identifier"]: one["id"] for one in steps[:3]}
    base = by_name["docker-image://docker.io/library/busybox:latest"]
    assert shown["step3"] == ("exec", f"{base}:0")
    assert shown["step4"] == ("file", f"{base}:0")
    added = {f"{by_name[one]}:0" for one in by_name if one.startswith("http")}
    assert shown["step5"][1] == "step4:0"
    assert {*shown["step5"][2:]} == added
    assert shown["step6"] == ("file", "step5:0", "step3:0")
    copy = steps[6]["op"]["Op"]["file"]["actions"][0]["Action"]["copy"]
    assert (copy["src"], copy["dest"], copy["owner"]) == ("/one", "/c/", "7:8")
    run = steps[7]["op"]["Op"]["exec"]
    assert (run["meta"]["args"], run["meta"]["cwd"], run["network"]) == (["true", "x"], "/w", 2)
    assert [mount["dest"] for mount in run["mounts"]] == ["/", "/t"]
    places = made["max"]["metadata"][METADATA]["source"]["locations"]
    lines = {key: one["locations"][0]["ranges"][0]["start"]["line"] for key, one in places.items()}
    assert lines == {"step3": 2, "step4": 4, "step5": 5, "step6": 6, "step7": 7}
