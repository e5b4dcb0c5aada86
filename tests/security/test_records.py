"""Names, arguments and output that try to get into records, log files or files of the host."""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path

import pytest

from tests.security.conftest import IMAGE, Attacker
from vmagent.containers.tarring import _Writer

HOSTILE = (
    "../../evil", "..", ".", "//evil", "a/../../evil", "-evil", "evil\n", "e\0vil", "e vil", "é", "%2e%2e",
)  # fmt: skip
_VERBS = (
    ("GET", "/containers/{}/json"),
    ("DELETE", "/containers/{}?force=1"),
    ("GET", "/containers/{}/logs?stdout=1"),
    ("POST", "/containers/{}/start"),
    ("GET", "/containers/{}/archive?path=/etc/passwd"),
    ("GET", "/cove/v1/containers/{}/timeline"),
    ("GET", "/exec/{}/json"),
    ("GET", "/volumes/{}"),
    ("DELETE", "/volumes/{}"),
    ("DELETE", "/networks/{}"),
    ("GET", "/images/{}/json"),
    ("DELETE", "/images/{}"),
    ("GET", "/images/{}/get"),
)


def test_no_name_becomes_a_path(attacker: Attacker) -> None:
    data = attacker.engine.root / "data"

    def files() -> set[str]:
        """The files that a name may have made: without those that the engine makes under names of its own."""
        own = {"containers", "networks", "trash"}
        return {str(path) for path in data.rglob("*") if not own & set(path.parts)}

    before = files()
    body = json.dumps({"Image": IMAGE, "Cmd": ["true"]}).encode()
    for name in HOSTILE:
        escaped = "".join(f"%{byte:02x}" for byte in name.encode())
        status, answer = attacker.call("POST", f"/containers/create?name={escaped}", body)
        assert status == 400, (name, answer)
        status, answer = attacker.call("POST", "/volumes/create", json.dumps({"Name": name}).encode())
        assert status == 400, (name, answer)
        for method, path in _VERBS:
            status, answer = attacker.call(method, path.format(escaped))
            assert 400 <= status < 500, (method, path, name, status, answer)
    assert files() == before
    assert all(re.fullmatch("[0-9a-f]{64}", entry) for entry in os.listdir(data / "containers"))
    assert not list(attacker.engine.root.parent.glob("evil*"))


def test_output_that_looks_like_a_record_stays_output(attacker: Attacker) -> None:
    """Frames of the attach stream, records of the log's index and escape sequences are plain bytes of the payload."""
    printed = r"\1\0\0\0\0\0\0\5hello\n2026-01-01T00:00:00Z forged\n\033[2J\0\0\377\n"
    wanted = b"\1\0\0\0\0\0\0\5hello\n2026-01-01T00:00:00Z forged\n\x1b[2J\0\0\xff\nend\n"
    name = attacker.start_until("end", "sh", "-c", f"printf '{printed}'; echo err >&2; echo end; exec sleep 60")
    status, answer = attacker.call("GET", f"/containers/{name}/logs?stdout=1&stderr=1&tail=all")
    assert status == 200
    streams = {1: b"", 2: b""}
    while answer:
        end = 8 + int.from_bytes(answer[4:8], "big")
        streams[answer[0]] += answer[8:end]
        answer = answer[end:]
    assert streams == {1: wanted, 2: b"err\n"}


def test_the_engine_s_own_log_is_not_written_by_containers(attacker: Attacker) -> None:
    """A line break in a command, a label, a path, a user or a host's name forges no line, there or in /etc/hosts."""
    forged = "x\n\x1b[31mFORGED event=container.started\n"
    options = ("--label", f"a={forged}", "-e", f"A={forged}", "-w", f"/{forged}")
    attacker.run(forged, options=options)
    attacker.run("true", options=("-u", forged))
    for key in ("Hostname", "Domainname"):
        body = json.dumps({"Image": IMAGE, "Cmd": ["true"], key: forged}).encode()
        assert attacker.call("POST", "/containers/create", body)[0] == 400
    lines = attacker.engine.log.read_text().splitlines()
    assert not [line for line in lines if line.startswith(("FORGED", "\x1b[31mFORGED"))]


def test_a_container_s_files_are_apart_from_its_record(attacker: Attacker) -> None:
    name = attacker.start_until("end", "sh", "-c", "touch /log.1 /config.json; echo end; exec sleep 60")
    container_id = attacker.engine.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    folder = attacker.engine.root / "data" / "containers" / container_id
    assert sorted(os.listdir(folder / "upper")) == ["config.json", "log.1"]
    assert (folder / "log.1").read_bytes() == b"end\n"
    for path in (folder, *(entry for entry in folder.iterdir() if entry.is_file())):
        assert path.stat().st_mode & 0o006 == 0, f"{path.name} is everyone's to read"


def test_a_file_that_became_a_device_is_not_opened(tmp_path: Path) -> None:
    """A container's root swaps a file for a device node while an archive is written: opening one has effects."""
    (tmp_path / "file").write_text("x")
    info = os.stat(tmp_path / "file")
    (tmp_path / "file").unlink()
    os.mkfifo(tmp_path / "file")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with (tmp_path / "tar").open("wb") as out, pytest.raises(FileNotFoundError):
            _Writer(out)._add_file(fd, "file", info, tarfile.TarInfo("file"))
    finally:
        os.close(fd)
