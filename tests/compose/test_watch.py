"""`cove compose watch` on a real engine: what changes on disk is in the containers, all of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.compose.filetree import Changes, FileTree
from desktop.compose.ignore import Patterns
from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

PROJECT = "cvtwatch"
FILE = """
name: cvtwatch
services:
  web:
    build: {context: ctx}
    command: [sh, -c, 'cat /proc/sys/kernel/random/uuid >/started; exec sleep 1000']
    init: true
    scale: 2
    develop:
      watch:
        - {path: ./src, action: sync, target: /app, ignore: [skipped/, '*.tmp'], initial_sync: true}
        - {path: ./only, action: sync, target: /only, include: ['**/*.txt']}
        - {path: ./conf, action: sync+restart, target: /conf}
        - {path: ./hook, action: sync+exec, target: /hook, exec: {command: cp /hook/in /hook-ran}}
        - {path: ./plain, action: restart}
        - {path: ./ctx, action: rebuild}
  unwatched: {image: busybox, command: sleep 1000, init: true}
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, PROJECT)
    for name in ("ctx", "src", "only", "conf", "hook", "plain"):
        (tmp_path / name).mkdir()
    (tmp_path / "ctx" / "Dockerfile").write_text("FROM busybox\nRUN mkdir /app\nCOPY version /version\n")
    (tmp_path / "ctx" / "version").write_text("1")
    made.write(FILE)
    yield made
    made.cove("down", "-v", "-t", "0", "--remove-orphans", "--rmi", "local")
    assert not made.containers()


@contextlib.contextmanager
def watching(project: ComposeProject, *args: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [Path(sys.executable).with_name("cove"), "compose", *args], cwd=project.folder, text=True,
        env={**os.environ, "COVE_HOST": project.engine.host}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """The lines up to the one with `wanted`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if wanted in line:
            return lines
    raise AssertionError(f"it ended without {wanted!r}: {lines}")


def inside(project: ComposeProject, number: int, script: str) -> str:
    return project.cove("exec", "-T", "--index", str(number), "web", "sh", "-c", script).stdout


def until_inside(project: ComposeProject, script: str, wanted: str) -> None:
    """`script` says `wanted` in both containers, sooner or later: syncs are told before they are done."""
    for number in (1, 2):
        test = f"until [ \"$({script})\" = '{wanted}' ]; do sleep 0.05; done"
        project.cove("exec", "-T", "--index", str(number), "web", "sh", "-c", test)


def test_files_come_and_go(project: ComposeProject) -> None:
    (project.folder / "src" / "before").write_text("initial")
    with watching(project, "watch", "--quiet") as process:
        until(process, "Watch enabled")
        until_inside(project, "cat /app/before", "initial")
        src = project.folder / "src"
        (src / "skipped").mkdir()
        (src / "skipped" / "x").write_text("x")
        (src / "y.tmp").write_text("y")
        (src / "deep" / "er").mkdir(parents=True)
        (src / "deep" / "er" / "file").write_text("deep")
        (src / "link").symlink_to("before")
        (src / "before").write_text("changed")
        (src / "run").write_text("")
        (src / "run").chmod(0o755)
        until_inside(project, "cat /app/deep/er/file /app/link; test -x /app/run && echo ' x'", "deepchanged x")
        assert "skipped" not in inside(project, 1, "ls -a /app")
        assert "y.tmp" not in inside(project, 2, "ls -a /app")
        (src / "link").unlink()
        (src / "deep").rename(src / "moved")
        until_inside(
            project,
            "cd /app; find . -mindepth 1 | sort | tr '\\n' ' '",
            "./before ./moved ./moved/er ./moved/er/file ./run ",
        )
        (project.folder / "only" / "no.md").write_text("n")
        (project.folder / "only" / "yes.txt").write_text("y")
        until_inside(project, "ls /only", "yes.txt")
        (project.folder / "hook" / "in").write_text("hooked")
        until_inside(project, "cat /hook-ran", "hooked")


def test_restarts_and_rebuilds(project: ComposeProject) -> None:
    project.cove("up", "-d", "--build")
    before = project.containers()
    with watching(project, "watch", "--no-up", "--quiet") as process:
        until(process, "Watch enabled")
        for folder in ("conf", "plain"):
            started = [inside(project, number, "cat /started") for number in (1, 2)]
            (project.folder / folder / "a").write_text(folder)
            for _ in range(2):
                until(process, "  Started")
            for number, moment in enumerate(started, 1):
                assert inside(project, number, "until [ -s /started ]; do :; done; cat /started") != moment
        until_inside(project, "cat /conf/a", "conf")
        assert project.containers() == before
        (project.folder / "ctx" / "version").write_text("2")
        until(process, 'service "web" successfully built')
        until_inside(project, "cat /version", "2")
        after = project.containers()
        assert {name for name in before if before[name] != after[name]} == {"cvtwatch-web-1", "cvtwatch-web-2"}
        (project.folder / "ctx" / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
        until(process, "WARNING: service 'web'")  # a build that fails ends no watch
        assert project.containers() == after
        (project.folder / "src" / "on").write_text("on")
        until_inside(project, "cat /app/on", "on")
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 130
    project.cove("up", "-d", "--no-build")
    assert project.containers() == after


# One digest of all names and contents.
LISTED = "cd /app; find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-64"


def listed(folder: Path) -> str:
    """What LISTED says where everything has arrived."""
    lines = {
        f"./{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
    text = "".join(f"{lines[name]}  {name}\n" for name in sorted(lines))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_burst_arrives_complete(project: ComposeProject) -> None:
    with watching(project, "watch", "--quiet") as process:
        until(process, "Watch enabled")
        for number in range(5000):
            path = project.folder / "src" / f"d{number % 50}" / f"e{number % 7}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content {number}\n")
        src = project.folder / "src"
        until_inside(project, LISTED, listed(src))
        assert inside(project, 1, "find /app -type f | wc -l") == "5000\n"
        for path in src.rglob("f*"):  # in place, then by another file that takes its name
            if int(path.name[1:]) % 2:
                path.write_text(f"changed {path.name}\n")
            else:
                other = path.with_name(f".{path.name}.swp")
                other.write_text(f"replaced {path.name}\n")
                other.rename(path)
        until_inside(project, LISTED, listed(src))
        for number in range(0, 5000, 2):
            (project.folder / "src" / f"d{number % 50}" / f"e{number % 7}" / f"f{number}").unlink()
        until_inside(project, "find /app -type f | wc -l", "2500")


def test_up_goes_on_with_what_takes_a_place(project: ComposeProject) -> None:
    project.write(FILE.replace("exec sleep 1000", "cat /version; echo; exec sleep 1000"))
    with watching(project, "up", "--watch", "--build") as process:
        until(process, "Watch enabled")
        (project.folder / "ctx" / "version").write_text("two")
        until(process, "| two")
        process.send_signal(signal.SIGINT)
        until(process, "Gracefully stopping")
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 130


def test_what_cannot_be_watched_is_said(project: ComposeProject) -> None:
    for args in (("watch", "unwatched"), ("up", "--watch", "unwatched")):
        done = project.cove(*args, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("none of the selected services is configured for watch")
    done = project.cove("up", "-d", "--watch", check=False)
    assert (done.returncode, done.stderr) == (1, "--detach and --watch are incompatible\n")


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["node_modules"], "node_modules/a/b", True),
        (["node_modules/"], "x/node_modules", False),
        (["**/node_modules"], "x/node_modules/y", True),
        (["*.tmp"], "a.tmp", True),
        (["*.tmp"], "b/a.tmp", False),
        (["a/**/z"], "a/z", True),
        (["a/**/z"], "a/b/c/z", True),
        (["[ab].c", "?.h"], "b.c", True),
        (["[ab].c", "?.h"], "c.c", False),
        (["*", "!keep"], "keep", False),
        (["*", "!keep"], "other", True),
        (["# *"], "x", False),
    ],
)
def test_patterns(patterns: list[str], path: str, expected: bool) -> None:
    assert Patterns(patterns).match(path) is expected


def test_a_tree_tells_what_differs(tmp_path: Path) -> None:
    tree = FileTree(str(tmp_path), lambda path: path != "no", lambda _: False)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    (tmp_path / "no").write_text("1")
    assert tree.update([str(tmp_path / "a"), str(tmp_path / "no")]) == Changes(changed=("a", "a/b"))
    assert not tree.update(None)
    (tmp_path / "a" / "b").write_text("22")
    assert tree.update([str(tmp_path / "a" / "b")]) == Changes(changed=("a/b",))
    (tmp_path / "a" / "b").unlink()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").write_text("now a file")
    assert tree.update([str(tmp_path / "a")]) == Changes(changed=("a",), removed=("a/b",))
    assert tree.update(["/elsewhere"]) == Changes()
