"""A project that was loaded before is used again as long as all that it was read from is the same, and no longer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from desktop.compose import memory, output
from desktop.compose.project import Options

FILES = {
    "compose.yaml": "include: [part/compose.yaml]\nservices:\n"
    "  web: {image: 'web:${TAG:-1}', env_file: [web.env, {path: more.env, required: false}], label_file: labels}\n"
    "  other: {extends: {file: base.yaml, service: base}, environment: [PASSED]}\n"
    "  seen: {image: s, build: {context: .}, develop: {watch: [{action: rebuild, path: link/x}]}}\n",
    "part/compose.yaml": "services: {part: {image: 'part:${PART:-0}'}}\n",
    "base.yaml": "services: {base: {image: base, command: one}}\n",
    "web.env": "A=1\n",
    "labels": "L=1\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_kept", [])
    monkeypatch.setattr(memory, "_loaded", [])
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "link").symlink_to("part")
    return tmp_path


def options(folder: Path, **environ: str) -> Options:
    return Options(folder=str(folder), environ={"HOME": "/root", **environ}, warn=lambda _: None)


def hand_over() -> None:
    """What this process has loaded comes to it as from another one."""
    data = memory.loaded()
    assert data
    memory._loaded.clear()
    memory.add(data)


def is_remembered(asked: Options) -> bool:
    """Whether `asked` is served without reading; what it is served is what reading gives."""
    found = memory.load(asked)
    remembered = not memory._loaded
    memory._loaded.clear()
    memory._kept, kept = [], memory._kept
    assert output.to_json(found) == output.to_json(memory.load(asked))
    memory._loaded.clear()
    memory._kept = kept
    return remembered


def test_an_unchanged_project_is_remembered(folder: Path) -> None:
    said: list[str] = []
    asked = replace(options(folder, TAG="2"), warn=said.append)
    (folder / "compose.yaml").write_text(FILES["compose.yaml"] + "  loud: {image: 'x${UNSET}', build: {context: .}}\n")
    first = memory.load(asked).select(())
    assert len(said) == 1
    hashes = {name: output.hash_of(first, item) for name, item in first.services.items()}
    hand_over()
    assert is_remembered(asked)
    said.clear()
    again = memory.load(asked)
    assert said == ["The 'UNSET' variable is not set. Defaulting to a blank string."]
    assert {name: known for name, (_, known) in again.hashes.items()} == hashes
    assert all(again.hashes[name][0] is again.services[name] for name in hashes)
    changed = replace(again.services["web"], image="changed")
    assert output.hash_of(again, changed) == output.service_hash(changed) != hashes["web"]


def _edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        before = path.stat()
        path.write_text(path.read_text().replace(old, new))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a clock of the file system may stand still

    return edit


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def _become_pipe(folder: Path) -> None:
    (folder / "labels").unlink()
    os.mkfifo(folder / "labels")


def _turn_link(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "compose file": _edit("compose.yaml", "web:", "wob:"),
    "included file": _edit("part/compose.yaml", "part:$", "port:$"),
    "extended file": _edit("base.yaml", "one", "two"),
    "env_file": _edit("web.env", "1", "2"),
    "label_file": _edit("labels", "1", "2"),
    "a longer file": _edit("web.env", "A=1", "A=1\nB=2"),
    "an env_file that comes": _write("more.env", "C=3\n"),
    ".env that comes": _write(".env", "TAG=7\n"),
    ".env of an included project": _write("part/.env", "PART=7\n"),
    "an override file": _write("compose.override.yaml", "services: {web: {command: x}}\n"),
    "a link that leads elsewhere": _turn_link,
    "a file that goes": lambda folder: (folder / "web.env").rename(folder / "more.env"),
    "a file that becomes a pipe": _become_pipe,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_read_again(folder: Path, change: str) -> None:
    asked = options(folder)
    memory.load(asked)
    hand_over()
    assert is_remembered(asked)
    CHANGES[change](folder)
    kept = memory._kept[0]
    assert not kept.files.are_unchanged()
    if change.startswith("a file"):
        return  # what is left can't be loaded
    assert not is_remembered(asked)
    memory.load(asked)
    hand_over()
    assert is_remembered(asked)
    assert len(memory._kept) == 1


def test_other_variables_and_options_are_another_project(folder: Path) -> None:
    asked = options(folder, TAG="1", PASSED="x")
    memory.load(asked)
    hand_over()
    others = (
        options(folder, TAG="2", PASSED="x"), options(folder, TAG="1", PASSED="y"), options(folder, TAG="1"),
        replace(asked, name="named"), replace(asked, profiles=("p",)), replace(asked, compatibility=True),
        replace(asked, folder=str(folder / "part")), replace(asked, files=("base.yaml",)),
    )  # fmt: skip
    assert [is_remembered(other) for other in others] == [False] * len(others)
    assert is_remembered(asked)


def test_what_can_be_read_only_once_is_not_remembered(folder: Path) -> None:
    text = "services: {a: {image: i}}\n"
    memory.load(replace(options(folder), files=("-",), stdin=lambda: text))
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    memory.load(replace(options(folder), files=(f"/dev/fd/{read}",)))
    os.close(read)
    assert not memory.loaded()


def test_no_more_than_a_few_are_remembered(folder: Path) -> None:
    for number in range(memory._MOST + 4):
        memory.load(options(folder, TAG=str(number)))
        hand_over()
    assert len(memory._kept) == memory._MOST
    assert is_remembered(options(folder, TAG=str(memory._MOST + 3)))
    assert not is_remembered(options(folder, TAG="0"))
