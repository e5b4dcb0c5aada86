"""The real docker CLI with buildx and Compose builds on a native engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import NativeEngine, run
from tests.support.limits import HANG_S
from tests.support.tools import bookworm_docker_cli
from tests.support.waiting import wait_until

IMAGE = "busybox:latest"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "f").write_text("built\n")
    return folder


def write(context: Path, text: str) -> Path:
    (context / "Dockerfile").write_text(text)
    return context


def test_a_build_and_its_progress(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nARG W=x\nENV M=$W\nCOPY f /f\nRUN cat /f >/g; echo hello\nCMD cat /g; echo $M\n")
    done = engine.buildx("build", "--progress=plain", "--build-arg", "W=y", "-t", "cvt/x1", context)
    assert engine.docker("run", "--rm", "cvt/x1").stdout == "built\ny\n"
    names = re.findall(r"^#\d+ (\[.*|exporting .*)$", done.stderr, re.M)
    assert names[0] == "[internal] load build definition from Dockerfile"
    assert {"[internal] load build context", "[2/3] COPY f /f", "exporting to image"} <= set(names)
    assert re.search(r"^#\d+ \d\.\d+ hello$", done.stderr, re.M)
    assert re.search(r"^#\d+ naming to docker\.io/cvt/x1:latest done$", done.stderr, re.M)
    again = engine.buildx("build", "--progress=plain", "--build-arg", "W=y", "-t", "cvt/x1", context)
    assert re.search(r"^#\d+ \[3/3\] RUN .*\n#\d+ CACHED$", again.stderr, re.M)


def test_load_and_quiet_and_iidfile(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    write(context, f"FROM {IMAGE}\nRUN echo 1 >/one\n")
    iid = tmp_path / "iid"
    done = engine.buildx("buildx", "build", "-q", "--load", "-t", "cvt/x2:t", "--iidfile", str(iid), context)
    shown = json.loads(engine.docker("inspect", "cvt/x2:t").stdout)[0]
    assert done.stdout.strip() == shown["Id"] == iid.read_text()


def test_a_step_that_fails(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\n\nRUN exit 5\n")
    done = engine.buildx("build", "--progress=plain", context, check=False)
    assert done.returncode == 1
    assert "   3 | >>> RUN exit 5\n" in done.stderr
    assert done.stderr.endswith(
        'failed to solve: process "/bin/sh -c exit 5" did not complete successfully: exit code: 5\n'
    )


def test_an_unknown_instruction(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nFOO bar\n")
    done = engine.buildx("build", context, check=False)
    assert "   2 | >>> FOO bar\n" in done.stderr
    assert "failed to solve: dockerfile parse error on line 2: unknown instruction: FOO" in done.stderr


def test_a_missing_source_of_copy(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nCOPY missing /m\n")
    done = engine.buildx("build", context, check=False)
    assert done.returncode == 1
    assert '"/missing": not found' in done.stderr


def test_dockerignore(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nCOPY . /c\n")
    (context / "drop").write_text("d")
    (context / ".dockerignore").write_text("drop\n")
    engine.buildx("build", "-q", "-t", "cvt/x3", context)
    assert engine.docker("run", "--rm", "cvt/x3", "ls", "/c").stdout.split() == ["Dockerfile", "f"]


def test_a_secret_and_an_ssh_agent(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hush")
    agent_socket = tmp_path / "agent.sock"
    write(
        context,
        f"FROM {IMAGE}\n"
        "RUN --mount=type=secret,id=s cat /run/secrets/s >/got\n"
        'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n'
        "RUN ls /run/secrets >/listed 2>&1 || true\n",
    )
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent_socket], stdout=subprocess.DEVNULL) as agent:
        try:
            wait_until(agent_socket.exists)
            engine.buildx(
                "build", "-q", "-t", "cvt/x4", "--secret", f"id=s,src={tmp_path / 's'}", "--ssh",
                f"default={agent_socket}", context,
            )  # fmt: skip
        finally:
            agent.terminate()
            agent.wait(HANG_S)
    assert engine.docker("run", "--rm", "cvt/x4", "cat", "/got").stdout == "hush"


def test_a_push_to_a_registry(engine: NativeEngine, context: Path, registry: str) -> None:
    write(context, f"FROM {IMAGE}\nRUN echo pushed >/p\n")
    name = f"{registry}/cvt/pushed:1"
    metadata = context / "metadata.json"
    done = engine.buildx(
        "buildx", "build", "--progress=plain", "--push", "-t", name, "--metadata-file", metadata, context
    )
    pushed = re.findall(r"^#\d+ (pushing .*)$", done.stderr, re.M)
    assert f"pushing {name}" in pushed, done.stderr  # by the engine itself, in whatever order buildx shows its own
    pushed = json.loads(metadata.read_text())["containerimage.digest"]
    engine.docker("rmi", name)
    assert f"Digest: {pushed}\n" in engine.docker("pull", name).stdout
    assert engine.docker("run", "--rm", name, "cat", "/p").stdout.endswith("pushed\n")


def test_outputs(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    write(context, "FROM scratch\nCOPY --chmod=750 f /d/f\n")
    images = engine.docker("images", "-aq").stdout
    out = tmp_path / "out"
    engine.buildx("build", "-q", "-o", str(out), context)
    assert (out / "d" / "f").read_text() == "built\n"
    assert (out / "d" / "f").stat().st_mode & 0o7777 == 0o750
    engine.buildx("build", "-q", "--output", f"type=tar,dest={tmp_path / 't.tar'}", context)
    with tarfile.open(tmp_path / "t.tar") as tar:
        assert [member.name for member in tar if member.isfile()] == ["d/f"]
    for kind in ("docker", "oci"):
        archive = tmp_path / f"{kind}.tar"
        engine.buildx("build", "-q", "-t", f"cvt/{kind}:7", "--output", f"type={kind},dest={archive}", context)
        with tarfile.open(archive) as tar:
            assert {"index.json", "oci-layout", "manifest.json"} <= set(tar.getnames())
    assert engine.docker("images", "-aq").stdout == images
    assert "Loaded image: cvt/docker:7" in engine.docker("load", "-i", str(tmp_path / "docker.tar")).stdout


def test_named_contexts(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "o").write_text("o")
    write(context, "FROM base\nCOPY --from=other o /o\n")
    engine.buildx(
        "build", "-q", "-t", "cvt/x5", "--build-context", f"other={tmp_path / 'other'}", "--build-context",
        f"base=docker-image://{IMAGE}", context,
    )  # fmt: skip
    assert engine.docker("run", "--rm", "cvt/x5", "cat", "/o").stdout == "o"


def test_compose_build(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nCOPY f /f\nCMD cat /f\n")
    (context / "compose.yaml").write_text("name: cvtx\nservices:\n  one:\n    build: .\n    image: cvt/composed\n")
    engine.buildx("compose", "-f", context / "compose.yaml", "build")
    assert engine.docker("run", "--rm", "cvt/composed").stdout == "built\n"


def test_bake(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nARG A\nRUN echo $A >/a\n")
    bake = {
        "group": {"default": {"targets": ["x", "y"]}},
        "target": {name: {"context": str(context), "args": {"A": name}, "tags": [f"cvt/bake-{name}"]} for name in "xy"},
    }
    (context / "bake.json").write_text(json.dumps(bake))
    # Newer versions ask before they read a folder that is not below the current one.
    engine.buildx("buildx", "bake", "-f", context / "bake.json", env_more={"BUILDX_BAKE_ENTITLEMENTS_FS": "0"})
    assert [engine.docker("run", "--rm", f"cvt/bake-{name}", "cat", "/a").stdout for name in "xy"] == ["x\n", "y\n"]


def test_the_cache_is_shown_and_pruned(own_engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nRUN echo cached >/c\n")
    own_engine.buildx("build", "-q", context)
    shown = own_engine.buildx("buildx", "du", "--verbose").stdout
    assert "RUN" in shown
    assert re.search(r"Total:\s+[\d.]+k?B", shown)
    assert re.search(r"Total:\s+[\d.]+k?B", own_engine.buildx("buildx", "prune", "-af").stdout)
    assert "RUN" not in own_engine.buildx("buildx", "du", "--verbose").stdout
    again = own_engine.buildx("build", "--progress=plain", context)
    assert "CACHED" not in again.stderr.partition("RUN")[2]


def test_several_platforms(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    write(context, "FROM scratch\nARG TARGETARCH\nCOPY f /$TARGETARCH\nLABEL a=b\n")
    build = ("build", "-q", "--platform", "linux/amd64,linux/arm64", "-t", "cvt/many:1")
    out = tmp_path / "out"
    engine.buildx(*build, "-o", str(out), context)
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {
        "linux_amd64/amd64", "linux_arm64/arm64",
    }  # fmt: skip
    engine.buildx(*build, "-o", f"type=oci,dest={tmp_path / 'oci.tar'}", context)
    with tarfile.open(tmp_path / "oci.tar") as tar:

        def document(name: str) -> dict[str, Any]:
            file = tar.extractfile(name)
            assert file is not None
            found: dict[str, Any] = json.load(file)
            return found

        def blob(descriptor: dict[str, Any]) -> dict[str, Any]:
            return document("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"))

        (named,) = document("index.json")["manifests"]
        assert named["annotations"]["io.containerd.image.name"] == "docker.io/cvt/many:1"
        index = blob(named)
        assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
        assert [blob(blob(one)["config"])["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    refused = engine.buildx(*build, "-o", f"type=docker,dest={tmp_path / 'docker.tar'}", context, check=False)
    assert "docker exporter does not support exporting manifest lists" in refused.stderr  # buildx says so itself


def test_what_a_client_has_sent_is_shown_and_pruned(own_engine: NativeEngine, context: Path) -> None:
    write(context, "FROM scratch\nCOPY . /all\n")
    (context / "large").write_bytes(bytes(3_000_000))
    own_engine.buildx("build", "-q", context)
    by_type = ("--filter", "type=source.local")
    assert re.search(r"\s3(\.\d*)?MB\s", own_engine.buildx("buildx", "du", *by_type).stdout)
    assert "source.local" in own_engine.docker("system", "df", "-v").stdout
    again = own_engine.buildx("build", "--progress=plain", context).stderr
    assert re.search(r"transferring context:( \d+B)?( 0.\d+s)? done", again), again
    assert "reclaimed space: 3MB" in own_engine.docker("builder", "prune", "-f", *by_type).stdout
    assert "source.local" not in own_engine.docker("system", "df", "-v").stdout
    again = own_engine.buildx("build", "--progress=plain", context).stderr
    assert re.search(r"transferring context: 3(\.\d*)?MB", again), again
    assert "CACHED" in again


def test_the_remote_driver_has_its_session_inside_a_call(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    """`Control.Session`: such a client knows the engine's socket only as BuildKit's."""
    environment = {"BUILDX_CONFIG": str(tmp_path / "buildx")}
    engine.buildx("buildx", "create", "--name", "r", "--driver", "remote", engine.host, env_more=environment)
    write(context, "FROM scratch\nCOPY . /all\n")
    (context / "large").write_bytes(os.urandom(3 << 20))
    out = tmp_path / "out"
    build = ("buildx", "build", "--builder", "r", "--progress=plain")
    engine.buildx(*build, "-o", str(out), context, env_more=environment)
    assert (out / "all" / "large").read_bytes() == (context / "large").read_bytes()
    engine.buildx(*build, "--load", "-t", "cvt/remote:1", context, env_more=environment)
    assert engine.docker("image", "inspect", "cvt/remote:1").returncode == 0


def old_docker(engine: NativeEngine, *args: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run bookworm's docker CLI, which has a BuildKit client of its own."""
    return run([bookworm_docker_cli(), *args], {"DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "1"}, check)


def test_the_older_form_of_the_wire(engine: NativeEngine, context: Path, tmp_path: Path) -> None:
    """`POST /build?version=2`, which docker's CLI 18.09 to 22 uses where the ping says 2."""
    write(
        context,
        f"FROM {IMAGE}\nARG W\nCOPY f /f\nRUN --mount=type=secret,id=s cat /run/secrets/s /f >/g; echo $W >>/g\n",
    )
    (tmp_path / "s").write_text("hush\n")
    done = old_docker(
        engine, "build", "--progress=plain", "-t", "cvt/old", "--build-arg", "W=w", "--secret",
        f"id=s,src={tmp_path / 's'}", context,
    )  # fmt: skip
    assert re.search(r"^#\d+ \[3/3\] RUN ", done.stderr, re.M)
    assert re.search(r"^#\d+ naming to docker\.io/cvt/old:latest ", done.stderr, re.M)
    assert engine.docker("run", "--rm", "cvt/old", "cat", "/g").stdout == "hush\nbuilt\nw\n"
    assert old_docker(engine, "build", "-q", context).stdout.startswith("sha256:")


def test_the_older_form_shows_what_failed(engine: NativeEngine, context: Path) -> None:
    write(context, f"FROM {IMAGE}\nRUN exit 6\n")
    done = old_docker(engine, "build", "--progress=plain", context, check=False)
    assert done.returncode == 1
    assert 'process "/bin/sh -c exit 6" did not complete successfully: exit code: 6' in done.stderr
