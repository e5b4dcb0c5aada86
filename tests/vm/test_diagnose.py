"""`cove diagnose`: what it finds with everything stopped, broken or running, and that its bundle holds no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from desktop.diagnose.bundle import clean
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

COVE = Path(sys.executable).with_name("cove")
SECRET = "hunter2-is-no-secret"


def diagnosed(home: Path, *words: str | Path, **environ: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status and the findings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COVE_", "DOCKER_"))}
    done = subprocess.run(
        [COVE, "diagnose", "--format", "json", *words],
        env={**inherited, "COVE_HOME": str(home), **environ},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def grades(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {finding["name"]: finding["grade"] for finding in findings}


def test_with_everything_stopped_nothing_is_wrong_and_nothing_is_started(tmp_path: Path, guest_image: Path) -> None:
    status, findings = diagnosed(tmp_path / "home")
    assert status == 0, findings
    found = grades(findings)
    assert [found[name] for name in ("versions", "QEMU", "guest image", "data disk")] == ["ok"] * 4
    assert (found["home"], found["agent"], found["engine"]) == ("note", "note", "note")
    assert not (tmp_path / "home").exists()


def test_each_broken_thing_is_found_beside_the_others_and_has_a_remedy(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "vm").mkdir(parents=True)
    (home / "vm" / "data.json").write_text('{"is_new": false}')
    (home / "config.json").write_text('{"vm": {"cpus": 0}}')
    status, findings = diagnosed(home, COVE_GUEST=str(tmp_path / "no image"))
    bad = {finding["name"]: finding for finding in findings if finding["grade"] == "bad"}
    assert status == 1
    assert bad.keys() == {"settings", "guest image", "data disk"}
    assert all(finding["remedy"] for finding in bad.values())
    status, findings = diagnosed(home, COVE_QEMU=str(tmp_path))
    assert "no qemu-system-x86_64" in next(one["detail"] for one in findings if one["name"] == "QEMU")


def test_a_native_engine_is_looked_at_without_a_vm(tmp_path: Path, engine: NativeEngine) -> None:
    status, findings = diagnosed(tmp_path, DOCKER_HOST=f"unix://{engine.socket}")
    assert status == 0, findings
    found = grades(findings)
    assert (found["engine"], found["clock"]) == ("ok", "ok")
    assert not found.keys() & {"QEMU", "guest image", "agent", "VM"}


def test_the_bundle_holds_logs_and_settings_and_no_secret(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "bundle.tar.gz"
    (home / "vm").mkdir(parents=True)
    (home / "logs").mkdir()
    (home / "vm" / "id_ed25519").write_text(SECRET)
    (home / "vm" / "host_ed25519").write_text(SECRET)
    settings = {"vm": {"memory_mb": 512, "password": SECRET}, "registry": {"auth": SECRET}, "ports": SECRET}
    (home / "config.json").write_text(json.dumps(settings))
    log = f"fine\nAuthorization: Basic {SECRET}\nX-Registry-Auth: {SECRET}\nAPI_TOKEN={SECRET}\n"
    log += f"https://me:{SECRET}@registry/\n-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n"
    (home / "logs" / "host.log").write_text(log)
    (home / "logs" / "console.log").write_text("Linux booted\n")
    (home / "logs" / "console.2.log").write_text("Linux booted before\n")
    diagnosed(home, "--bundle", file, MY_PASSWORD=SECRET)
    assert file.stat().st_mode & 0o077 == 0
    with tarfile.open(file) as archive:
        contents = {}
        for name in archive.getnames():
            member = archive.extractfile(name)
            assert member is not None
            contents[name.removeprefix("cove-diagnose/")] = member.read().decode()
    assert not [name for name, text in contents.items() if SECRET in text]
    assert {"findings.txt", "findings.json", "config.json", "vm-folder.txt"} <= contents.keys()
    assert contents["logs/console.2.log"] == "Linux booted before\n"
    assert contents["logs/host.log"].startswith("fine\n")
    kept = json.loads(contents["config.json"])
    assert kept == {"vm": {"memory_mb": 512, "password": "<removed>"}, "registry": "<removed>", "ports": "<removed>"}


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("GET /v1.41/containers/json?all=1", "GET /v1.41/containers/json?all=1"),
        ("level=info event=engine.ready pid=7", "level=info event=engine.ready pid=7"),
        ("PATH=/bin", "PATH=<removed>"),
        ("bearer abc.def", "bearer <removed>"),
        ("password=abc", "password=<removed>"),
    ],
)
def test_what_looks_like_a_secret_is_replaced_and_the_rest_stays(line: str, kept: str) -> None:
    assert clean(line) == kept
