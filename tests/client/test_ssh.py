"""Hosts by ssh://: the real `ssh` understands the command line as it was meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from desktop.client.engine import EngineClient
from desktop.client.http import ConnectionFailed, Endpoint
from tests.support.limits import HANG_S
from tests.support.sockets import free_port


@pytest.mark.parametrize(
    ("text", "user", "name", "port"),
    [
        ("ssh://far", "", "far", "22"),
        ("ssh://me@far", "me", "far", "22"),
        ("ssh://me@far:2222/run/x.sock", "me", "far", "2222"),
        ("ssh://[::1]", "", "::1", "22"),
        ("ssh://me@[::1]:23", "me", "::1", "23"),
    ],
)
def test_ssh_is_told_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, user: str, name: str, port: str
) -> None:
    said = tmp_path / "said"
    program = tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F none -G "$@" >{said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    endpoint = Endpoint.parse(text)
    assert str(endpoint) == text
    sock = endpoint.connect(HANG_S)
    try:
        assert sock.recv(1) == b""
    finally:
        sock.close()
    found = dict(line.split(" ", 1) for line in said.read_text().splitlines())
    assert (found["hostname"], found["port"]) == (name, port)
    assert not user or found["user"] == user


def test_a_missing_program_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").touch(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConnectionFailed, match="not installed"):
        Endpoint.parse("ssh://far").connect(None)


@pytest.mark.usefixtures("capfd")  # stderr is no terminal
@pytest.mark.parametrize(
    ("does", "words"),
    [
        ('exec /usr/bin/ssh -F none "$@"', "Connection refused"),
        ("head -c 1 >/dev/null; echo sh: docker: not found >&2; exit 127", "docker: not found"),
        ("exit 9", "exit status 9"),
    ],
)
def test_what_ssh_says_of_its_failure_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, words: str
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with (
        EngineClient(Endpoint.parse(f"ssh://127.0.0.1:{free_port()}")) as client,
        pytest.raises(ConnectionFailed, match=words),
    ):
        client.version()
