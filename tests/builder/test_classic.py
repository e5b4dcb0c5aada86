"""`POST /build`, with the real docker client (DOCKER_BUILDKIT=0)."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.support.engine import NativeEngine, native_engine


class Classic:
    """The classic builder of one engine, and a folder for contexts."""

    def __init__(self, engine: NativeEngine, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def write(self, **files: str) -> None:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def build(self, dockerfile: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        (self.folder / "Dockerfile").write_text(dockerfile)
        return self.engine.docker("build", *args, str(self.folder), check=check)

    def output(self, image: str, *command: str) -> str:
        return self.engine.docker("run", "--rm", "--network", "none", image, *command).stdout

    def inspect(self, image: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.engine.docker("image", "inspect", image).stdout)[0]
        return found


@pytest.fixture
def classic(engine: NativeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classic:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    return Classic(engine, tmp_path)


def test_a_build_has_docker_s_stream_and_an_image_that_runs(classic: Classic) -> None:
    classic.write(a="hello\n")
    done = classic.build("FROM busybox\nCOPY a /a\nRUN cat /a && echo more >> /a\nENV X=1\nCMD cat /a\n", "-t", "one:1")
    lines = done.stdout.splitlines()
    assert "Step 1/5 : FROM busybox" in lines
    assert "Step 3/5 : RUN cat /a && echo more >> /a" in lines
    assert "hello" in lines
    assert lines[-1] == "Successfully tagged one:1"
    image = classic.inspect("one:1")
    assert lines[-2] == f"Successfully built {image['Id'][7:19]}"
    assert classic.output("one:1") == "hello\nmore\n"
    assert image["Config"]["Cmd"] == ["/bin/sh", "-c", "cat /a"]
    assert "X=1" in image["Config"]["Env"]


def test_equal_builds_use_the_cache_and_give_the_same_image(classic: Classic) -> None:
    classic.write(a="1")
    file = "FROM busybox\nCOPY a /a\nWORKDIR /w\nRUN echo x > y\nLABEL a=b\n"
    first = classic.build(file, "-q").stdout
    os.utime(classic.folder / "a", (1, 1))
    again = classic.build(file)
    assert again.stdout.count("Using cache") == 4
    assert classic.build(file, "-q").stdout == first
    (classic.folder / "a").chmod(0o600)
    assert "Using cache" not in classic.build(file).stdout
    assert "Using cache" not in classic.build(file, "--no-cache").stdout


def test_a_build_that_is_all_cached_writes_no_image(classic: Classic) -> None:
    file = "FROM busybox\nRUN echo nothing-is-written > /x\nWORKDIR /w\n"
    classic.build(file, "-t", "unwritten")

    def files() -> dict[Path, int]:
        kept = (classic.engine.root / "data" / "images").rglob("*")
        return {path: path.stat().st_ino for path in kept if path.is_file()}

    before = files()
    assert classic.build(file, "-t", "unwritten").stdout.count("Using cache") == 2
    assert files() == before
    assert classic.build(file, "-t", "unwritten", "-t", "second").stdout.count("Using cache") == 2
    assert classic.inspect("second")["Id"] == classic.inspect("unwritten")["Id"]


def test_a_failing_command_ends_the_build_with_docker_s_message(classic: Classic) -> None:
    done = classic.build("FROM busybox\nRUN echo before; exit 7\nRUN echo never\n", check=False)
    assert "before" in done.stdout
    assert "never" not in done.stdout
    assert "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7" in done.stderr
    assert done.returncode == 7


def test_stages_that_the_target_does_not_need_do_not_run(classic: Classic) -> None:
    file = (
        "FROM busybox AS one\nRUN echo one > /f\nFROM busybox AS unused\nCOPY --from=last /a /b\nRUN exit 1\n"
        "FROM scratch AS two\nCOPY --from=one /f /g\nFROM busybox AS last\nCOPY --from=two /g /h\nCOPY --from=0 /f /i\n"
    )
    classic.build(file, "-t", "stages")
    assert classic.output("stages", "cat", "/h", "/i") == "one\none\n"
    classic.build(file, "--target", "two", "-t", "target")
    image = classic.inspect("target")
    assert len(image["RootFS"]["Layers"]) == 1
    assert image["Config"]["WorkingDir"] == "/"


def test_a_trigger_may_name_a_stage_that_nothing_else_needs(classic: Classic) -> None:
    classic.build(
        "FROM busybox\nONBUILD COPY --from=tool /x /y\nONBUILD RUN --mount=from=tool,target=/t cat /t/x >/z\n",
        "-t", "triggering",
    )  # fmt: skip
    tool = "FROM busybox AS below\nRUN echo tool >/x\nFROM below AS tool\n"
    classic.build(f"{tool}FROM triggering\nRUN cat /y /z\n", "-t", "triggered")
    assert classic.output("triggered", "cat", "/y", "/z") == "tool\ntool\n"
    assert not classic.inspect("triggered")["Config"]["OnBuild"]
    late = classic.build("FROM triggering AS first\nFROM busybox AS tool\nFROM first\n", check=False)
    assert 'cannot copy from stage "tool", it needs to be defined before current stage "first"' in late.stderr


def test_arguments_reach_the_command_and_the_cache_s_key(classic: Classic) -> None:
    file = "ARG BASE=none\nFROM $BASE\nARG V=1\nRUN echo $V > /v\nENV W=$V\n"
    classic.build(file, "--build-arg", "BASE=busybox", "-t", "args")
    assert classic.output("args", "cat", "/v") == "1\n"
    classic.build(file, "--build-arg", "BASE=busybox", "--build-arg", "V=2", "-t", "args")
    assert classic.output("args", "sh", "-c", "cat /v; echo $W; echo ${V-none}") == "2\n2\nnone\n"
    assert (
        "RUN |1 V=2 /bin/sh -c echo $V > /v # buildkit"
        in classic.engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "args").stdout.splitlines()
    )


def test_copy_by_docker_s_rules(classic: Classic) -> None:
    classic.write(a="a", b="b", d__x="x", d__e__y="y", d__skip__md="", link_target="t")
    (classic.folder / "link").symlink_to("link_target")
    (classic.folder / "d" / "inner").symlink_to("x")
    classic.build(
        "FROM busybox\nENV W=you\nWORKDIR /w\nCOPY a b ./\nCOPY d /d\nCOPY d/ deep/er\nCOPY a /renamed\nCOPY a /dir/\n"
        "COPY --chown=user:staff --chmod=640 a /owned/a\nCOPY --chown=7 d /seven\nCOPY [ab] /wild/\nCOPY link /l\n"
        "COPY --exclude=skip --exclude=e d /excluded\nCOPY --parents d/e/y /p/\nCOPY <<EOF /doc\nhi $W\nEOF\n"
        "COPY --chmod=u=rwx,g=rX,o= a /sym\n",
        "-t",
        "copies",
    )
    where = "w d dir owned seven wild excluded p renamed doc l sym"
    script = f"cd /; find {where} ! -type d -exec stat -c '%n %u:%g %a' {{}} +"
    found = dict(line.split(" ", 1) for line in classic.output("copies", "sh", "-c", script).splitlines())
    assert set(found) == {
        *("w/a", "w/b", "w/deep/er/x", "w/deep/er/e/y", "w/deep/er/skip/md", "w/deep/er/inner"),
        *("d/x", "d/e/y", "d/skip/md", "d/inner", "dir/a", "renamed", "owned/a", "wild/a", "wild/b"),
        *("doc", "l", "sym"),
        *("seven/x", "seven/e/y", "seven/skip/md", "seven/inner", "excluded/x", "excluded/inner", "p/d/e/y"),
    }
    assert found["owned/a"] == "1000:50 640"
    assert found["seven/e/y"] == "7:7 644"
    assert found["w/a"] == found["doc"] == "0:0 644"
    assert found["sym"] == "0:0 750"
    assert classic.output("copies", "cat", "/l", "/doc") == "thi you\n"
    folders = classic.output("copies", "stat", "-c", "%n %u:%g %a", "/w", "/w/deep", "/dir", "/owned", "/seven/e", "/p")
    assert folders.splitlines() == [
        *("/w 0:0 755", "/w/deep 0:0 755", "/dir 0:0 755", "/owned 1000:50 755", "/seven/e 7:7 755", "/p 0:0 755")
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("COPY missing /x", '"/missing": not found'),
        ("COPY ../../etc/passwd /x", '"/etc/passwd": not found'),
        ("COPY out /x", '"/out": not found'),
        ("COPY --from=nosuchimage:1 /a /b", "nosuchimage:1"),
        ("COPY --chown=nobodyknows a /x", "unable to find user nobodyknows"),
    ],
)
def test_a_copy_that_can_t_be_done_says_why(classic: Classic, step: str, message: str) -> None:
    classic.write(a="a")
    (classic.folder / "out").symlink_to("/etc/nothing-here")
    done = classic.build(f"FROM busybox\n{step}\n", check=False)
    assert done.returncode
    assert message in done.stderr


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        ("", "cannot be empty"),
        ("FROM busybox\nFOO bar\n", "unknown instruction: FOO"),
        ("RUN x\n", "no build stage in current context"),
        ("FROM busybox\nCOPY --from=9 a b\n", "invalid stage index 9"),
        ("FROM busybox\nCOPY <<EOF /x\nhi\n", "unterminated heredoc"),
        ("FROM busybox AS a\nCOPY --from=b /x /\nFROM a AS b\n", "needs to be defined before current stage"),
    ],
)
def test_a_faulty_dockerfile_is_refused(classic: Classic, dockerfile: str, message: str) -> None:
    done = classic.build(dockerfile, check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_configuration_instructions(classic: Classic) -> None:
    classic.build(
        'FROM busybox\nSHELL ["/bin/sh", "-ec"]\nENTRYPOINT echo\nUSER user\nVOLUME /v /w\nEXPOSE 80 53/udp\n'
        "STOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s --retries=3 CMD true\nLABEL a=1 b=2\nMAINTAINER me\n"
        "ONBUILD RUN echo triggered > /tmp/t\nWORKDIR sub\nWORKDIR dir\n",
        "-t",
        "configured",
        "--label",
        "c=3",
    )
    image = classic.inspect("configured")
    config = image["Config"]
    assert config["Entrypoint"] == ["/bin/sh", "-ec", "echo"]
    assert config.get("Cmd") is None
    assert config["User"] == "user"
    assert config["WorkingDir"] == "/sub/dir"
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert set(config["Volumes"]) == {"/v", "/w"}
    assert config["StopSignal"] == "SIGINT"
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000, "Retries": 3}
    assert config["Labels"] == {"a": "1", "b": "2", "c": "3"}
    assert config["OnBuild"] == ["RUN echo triggered > /tmp/t"]
    assert image["Author"] == "me"
    classic.build("FROM configured\nENTRYPOINT []\n", "-t", "triggered")
    assert classic.output("triggered", "sh", "-c", "stat -c %U /sub/dir; cat /tmp/t") == "user\ntriggered\n"
    assert not classic.inspect("triggered")["Config"].get("OnBuild")


def test_run_mounts(classic: Classic) -> None:
    classic.folder.chmod(0o755)
    classic.write(a="from the context")
    classic.build(
        "FROM busybox AS other\nRUN mkdir /o && echo stage > /o/f\nFROM busybox\n"
        "USER user\nRUN --mount=target=/ctx cat /ctx/a > /tmp/a\nUSER root\nRUN mv /tmp/a /a\n"
        "RUN --mount=type=bind,from=other,source=/o,target=/o,rw cat /o/f > /f && echo x > /o/new\n"
        "RUN --mount=type=cache,target=/cache echo $(cat /cache/n 2>/dev/null)x > /cache/n; cat /cache/n > /n\n"
        "RUN --mount=type=cache,target=/cache cat /cache/n > /m\n"
        "RUN --mount=type=tmpfs,target=/t echo gone > /t/x\n"
        "RUN --mount=type=secret,id=nothing ls /run/secrets 2>&1 | wc -l > /s\n"
        "RUN <<EOF\necho heredoc > /h\nEOF\n",
        "-t",
        "mounts",
    )
    assert classic.output("mounts", "stat", "-c", "%a", "/") == "755\n"
    seen = classic.output("mounts", "sh", "-c", "cat /a /f /m /h; ls -d /ctx /o /cache /t 2>&1 | grep -c such")
    assert seen == "from the contextstage\nx\nheredoc\n4\n"


def test_an_ignore_file_keeps_files_out_of_the_context(classic: Classic) -> None:
    classic.write(a="", b__c="", b__d="")
    (classic.folder / ".dockerignore").write_text("*\n!b/d\n")
    classic.build("FROM busybox\nCOPY . /ctx\n", "-t", "ignored")
    assert classic.output("ignored", "find", "/ctx", "-type", "f").split() == ["/ctx/b/d"]


@pytest.mark.parametrize("ignored", ["d", "*\n!keep", "**/f\n!**/d/other"])
def test_a_context_may_be_deeper_than_python_s_calls(classic: Classic, ignored: str) -> None:
    path = "/".join(["d"] * 1200)  # more than Python's own limit of calls
    context = classic.folder / "deep.tar"
    with tarfile.open(context, "w") as tar:
        for name, text in (("Dockerfile", "FROM busybox\nCOPY keep /keep\n"), (".dockerignore", ignored), ("keep", "")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
        tar.addfile(tarfile.TarInfo(f"{path}/f"))
    with context.open("rb") as file:
        classic.engine.docker("build", "-", stdin=file)


def test_add_unpacks_archives_and_checks_downloads(classic: Classic, tmp_path: Path) -> None:
    classic.write(a="in the archive")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(tmp_path / "a", "a")
    for name, packed in (("x.gz", gzip.compress), ("x.bz2", bz2.compress), ("x.xz", lzma.compress), ("x.tar", bytes)):
        (tmp_path / name).write_bytes(packed(tar.getvalue()))
    classic.build(
        "FROM busybox\nADD x.gz /gz/\nADD x.bz2 /bz2\nADD x.xz x.tar /both/\nCOPY x.tar /copied/\nADD a /plain\n",
        "-t",
        "added",
    )
    assert classic.output("added", "cat", "/gz/a", "/bz2/a", "/both/a", "/plain").count("archive") == 4
    assert classic.output("added", "ls", "/copied").split() == ["x.tar"]


def test_the_cache_is_listed_and_pruned(classic: Classic) -> None:
    classic.build("FROM busybox\nRUN echo pruned > /p\n", "-t", "kept")
    usage = json.loads(classic.engine.docker("system", "df", "-v", "--format", "{{json .BuildCache}}").stdout)
    assert usage
    classic.engine.docker("builder", "prune", "-af")
    assert classic.output("kept", "cat", "/p") == "pruned\n"
    assert "Using cache" not in classic.build("FROM busybox\nRUN echo pruned > /p\n").stdout


def test_a_built_image_can_be_saved_and_loaded(classic: Classic) -> None:
    classic.build("FROM busybox\nRUN echo saved > /s && rm /bin/vi && ln /s /t\n", "-t", "saved")
    image = classic.inspect("saved")["Id"]
    archive = classic.folder / "saved.tar"
    classic.engine.docker("save", "-o", str(archive), "saved")
    classic.engine.docker("rmi", "saved")
    classic.engine.docker("builder", "prune", "-af")
    classic.engine.docker("load", "-i", str(archive))
    assert classic.inspect("saved")["Id"] == image
    assert classic.output("saved", "sh", "-c", "cat /t; ls /bin/vi 2>&1 | grep -c such") == "saved\n1\n"


def test_the_same_epoch_gives_the_same_image(classic: Classic) -> None:
    classic.write(a="x")
    ids = set()
    for _ in range(2):
        file = "FROM scratch\nCOPY a /a\nWORKDIR /w\n"
        ids.add(classic.build(file, "-q", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1000").stdout)
    assert len(ids) == 1


def test_independent_stages_run_at_the_same_time(classic: Classic) -> None:
    meet = "RUN --mount=type=cache,id=meeting,target=/m touch /m/{0}; until [ -e /m/{1} ]; do usleep 10000; done"
    classic.build(
        f"FROM busybox AS a\n{meet.format('a', 'b')}\nFROM busybox AS b\n{meet.format('b', 'a')}\n"
        "FROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
        "--no-cache",
    )


def test_layers_that_are_mounted_serve_a_build(
    busybox_tar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    with native_engine() as engine:
        if "kind=tar" not in engine.log.read_text():
            pytest.skip("no EROFS image can be mounted from TMPDIR")
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), "busybox:latest")
        built = Classic(engine, tmp_path)
        built.write(a="1", d__b="2")
        file = "FROM busybox AS x\nRUN rm /bin/vi && echo 3 > /c\nFROM busybox\nCOPY a d /\nCOPY --from=x /c /c\n"
        built.build(file + "RUN cat /a /b /c > /all && rm /c\nWORKDIR /w\n", "-t", "mounted")
        assert built.output("mounted", "sh", "-c", "cat /all; ls /c 2>&1 | grep -c such; pwd") == "123\n1\n/w\n"


def test_docker_py_builds(classic: Classic) -> None:
    classic.write(Dockerfile="FROM busybox\nARG V\nRUN echo $V > /v\n")
    client = docker.DockerClient(base_url=classic.engine.host)
    try:
        image, log = client.images.build(path=str(classic.folder), tag="by:py", buildargs={"V": "7"}, rm=True)
        assert any("Successfully built" in line.get("stream", "") for line in log)
        assert image.tags == ["by:py"]
        with pytest.raises(docker.errors.BuildError, match="returned a non-zero code: 9"):
            client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 9\n"))
    finally:
        client.close()


def test_output_past_the_limit_is_dropped(classic: Classic) -> None:
    done = classic.build("FROM busybox\nRUN yes 123456789 | head -c 60000000; echo last > /last\n", "-t", "loud")
    assert "[output clipped, log limit 16MiB reached]" in done.stdout
    assert 16 << 20 <= len(done.stdout) < 20 << 20
    assert classic.output("loud", "cat", "/last") == "last\n"


def test_a_check_that_is_an_error_refuses_the_build(classic: Classic) -> None:
    done = classic.build("# check=error=true\nFROM busybox as b\n", check=False)
    assert "lint violation found for rules: FromAsCasing" in done.stderr
