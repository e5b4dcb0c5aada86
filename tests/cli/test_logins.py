"""`cove login` and docker's: one login, kept in docker's file, in a helper, or in the platform's keyring."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.registry import htpasswd
from tests.support.registry import registry as start_registry
from tests.support.tools import docker_cli

HELPER = """#!{python}
import json, pathlib, sys
file = pathlib.Path({file!r})
kept = json.loads(file.read_text()) if file.exists() else {{}}
verb, text = sys.argv[1], sys.stdin.read()
if verb == "store":
    kept[json.loads(text)["ServerURL"]] = json.loads(text)
elif verb == "erase":
    kept.pop(text.strip(), None)
elif verb == "list":
    print(json.dumps({{name: entry["Username"] for name, entry in kept.items()}}))
elif text.strip() in kept:
    print(json.dumps(kept[text.strip()]))
else:
    sys.exit("credentials not found in native keychain" if print("credentials not found in native keychain") else 1)
file.write_text(json.dumps(kept))
"""
# A keyring of this test, where a machine has none: keyring's own plug-in interface, with a file.
KEYRING = """
import json, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

class FileKeyring(KeyringBackend):
    priority = 5
    file = pathlib.Path(__file__).with_name("kept.json")

    def _kept(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def get_password(self, service, username):
        return self._kept().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.file.write_text(json.dumps(self._kept() | {f"{service}/{username}": password}))

    def delete_password(self, service, username):
        kept = self._kept()
        if kept.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError
        self.file.write_text(json.dumps(kept))
"""


class Desk:
    """One user's docker folder and PATH, with both command lines."""

    def __init__(self, engine: NativeEngine, folder: Path) -> None:
        self._engine = engine
        self.config = folder / "docker" / "config.json"
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.environment = {
            **os.environ,
            "DOCKER_CONFIG": str(self.config.parent),
            "DOCKER_HOST": engine.host,
            "COVE_HOST": engine.host,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }

    def run(self, program: str, *args: str, input: str = "") -> subprocess.CompletedProcess[str]:
        path = docker_cli() if program == "docker" else Path(sys.executable).with_name(program)
        return subprocess.run(
            [path, *args],
            env=self.environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    def log_in(self, program: str, registry: str, password: str = "secret") -> subprocess.CompletedProcess[str]:
        return self.run(program, "login", "-u", "ann", "--password-stdin", registry, input=password)

    def program(self, name: str, text: str) -> None:
        file = self.bin / name
        file.write_text(text)
        file.chmod(0o755)

    def kept(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.config.read_text())
        return found


@pytest.fixture
def desk(engine: NativeEngine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """A real registry that lets in ann, whose password is secret."""
    with start_registry(tmp_path, auth=htpasswd(tmp_path / "users", ann="secret")) as address:
        yield address


@pytest.fixture
def reference(engine: NativeEngine, guarded: str) -> Iterator[str]:
    name = f"{guarded}/own/box:1"
    engine.docker("tag", "busybox", name)
    yield name
    engine.docker("rmi", "-f", name)


def test_a_login_of_one_command_line_serves_the_other(desk: Desk, guarded: str, reference: str) -> None:
    refused = desk.run("cove", "push", reference)
    assert (refused.returncode, "no basic auth credentials" in refused.stderr) == (1, True)
    wrong = desk.log_in("cove", guarded, "wrong")
    assert wrong.returncode == 1
    assert "failed with status: 401 Unauthorized" in wrong.stderr
    assert not desk.config.exists()

    done = desk.log_in("cove", guarded)
    assert (done.returncode, done.stdout) == (0, "Login Succeeded\n")
    assert "WARNING! Your credentials are stored unencrypted in" in done.stderr
    assert desk.config.stat().st_mode & 0o777 == 0o600
    assert desk.kept() == {"auths": {guarded: {"auth": base64.b64encode(b"ann:secret").decode()}}}
    assert "digest: sha256:" in desk.run("docker", "push", reference).stdout

    assert desk.run("docker", "logout", guarded).returncode == 0
    assert desk.run("cove", "pull", reference).returncode == 1
    desk.log_in("docker", guarded)
    assert desk.run("cove", "push", reference).returncode == 0
    assert desk.run("cove", "pull", "-q", reference).returncode == 0
    again = desk.run("cove", "login", guarded)
    assert "Authenticating with existing credentials... [Username: ann]" in again.stdout
    out = desk.run("cove", "logout", guarded)
    assert out.stdout == f"Removing login credentials for {guarded}\n"
    assert desk.run("docker", "pull", reference).returncode == 1
    assert desk.kept()["auths"] == {}


def test_builds_have_the_logins(desk: Desk, guarded: str, reference: str, engine: NativeEngine, tmp_path: Path) -> None:
    desk.log_in("cove", guarded)
    assert desk.run("cove", "push", "-q", reference).returncode == 0
    (tmp_path / "Dockerfile").write_text(f"FROM {reference}\n")
    file = tmp_path / "compose.yaml"
    file.write_text("name: own\nservices: {box: {build: ., image: built}}\n")
    desk.config.write_text(json.dumps({**desk.kept(), "credHelpers": {"other:5": "missing"}}))
    for build in (("build", "-t", "built", str(tmp_path)), ("compose", "-f", str(file), "build")):
        engine.docker("rmi", "-f", reference)
        done = desk.run("cove", *build)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("docker-credential-missing") == 1  # of another registry, and said
        engine.docker("rmi", "-f", "built")


def test_other_settings_of_docker_stay(desk: Desk, guarded: str) -> None:
    desk.config.parent.mkdir()
    desk.config.write_text(json.dumps({"psFormat": "{{.ID}}", "auths": {"other:5": {"auth": "YTpi"}}}))
    desk.log_in("cove", guarded)
    kept = desk.kept()
    assert kept["psFormat"] == "{{.ID}}"
    assert sorted(kept["auths"]) == sorted(["other:5", guarded])  # type: ignore[call-overload]


def test_the_file_may_be_elsewhere(desk: Desk) -> None:
    desk.config.parent.mkdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        assert os.stat(folder).st_dev != desk.config.parent.stat().st_dev
        kept = Path(folder) / "kept.json"
        kept.write_text(json.dumps({"auths": {"other:5": {"auth": "YTpi"}}}))
        desk.config.symlink_to(kept)
        assert desk.run("cove", "logout", "other:5").returncode == 0
        assert json.loads(kept.read_text()) == {"auths": {}}
        assert desk.config.is_symlink()


def test_a_credential_helper_of_docker_keeps_the_login(
    desk: Desk, guarded: str, reference: str, tmp_path: Path
) -> None:
    store = tmp_path / "store.json"
    desk.program("docker-credential-test", HELPER.format(python=sys.executable, file=str(store)))
    desk.config.parent.mkdir()
    desk.config.write_text(json.dumps({"credsStore": "test"}))
    done = desk.log_in("cove", guarded)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(store.read_text())[guarded]["Secret"] == "secret"
    assert "secret" not in desk.config.read_text()
    assert "digest: sha256:" in desk.run("docker", "push", reference).stdout
    assert desk.run("cove", "pull", "-q", reference).returncode == 0
    desk.run("docker", "logout", guarded)
    assert desk.run("cove", "pull", reference).returncode == 1
    desk.log_in("docker", guarded)
    assert desk.run("cove", "pull", "-q", reference).returncode == 0
    desk.run("cove", "logout", guarded)
    assert json.loads(store.read_text()) == {}


def test_a_helper_that_is_missing_is_named_and_stops_no_public_pull(desk: Desk, registry: str, tmp_path: Path) -> None:
    desk.config.parent.mkdir()
    desk.config.write_text(json.dumps({"credsStore": "missing"}))
    name = f"{registry}/public/box:1"
    desk.run("docker", "tag", "busybox", name)
    pushed = desk.run("cove", "push", name)
    assert pushed.returncode == 0
    assert 'WARNING: error getting credentials - err: exec: "docker-credential-missing"' in pushed.stderr
    desk.run("docker", "rmi", name)


def test_the_keyring_keeps_a_login_and_docker_finds_it_there(
    desk: Desk, guarded: str, reference: str, tmp_path: Path
) -> None:
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "filekeyring.py").write_text(KEYRING)
    desk.environment |= {"PYTHONPATH": str(folder), "PYTHON_KEYRING_BACKEND": "filekeyring.FileKeyring"}
    # Without the program on the PATH docker could not use the keyring, so it is left alone.
    assert "stored unencrypted" in desk.log_in("cove", guarded).stderr
    desk.run("cove", "logout", guarded)
    (desk.bin / "docker-credential-cove").symlink_to(Path(sys.executable).with_name("docker-credential-cove"))
    done = desk.log_in("cove", guarded)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Login Succeeded\n", "")
    assert desk.kept()["credHelpers"] == {guarded: "cove"}
    assert "digest: sha256:" in desk.run("docker", "push", reference).stdout
    assert desk.run("cove", "pull", "-q", reference).returncode == 0
    listed = desk.run("docker-credential-cove", "list")
    assert json.loads(listed.stdout) == {guarded: "ann"}
    desk.run("docker", "logout", guarded)
    assert json.loads(desk.run("docker-credential-cove", "list").stdout) == {}
    assert desk.run("cove", "pull", reference).returncode == 1


@pytest.mark.parametrize("arguments", [("login",), ("login", "-u", "x", "registry.invalid")])
def test_a_login_that_must_ask_needs_a_terminal(desk: Desk, arguments: tuple[str, ...]) -> None:
    said = [desk.run(program, *arguments) for program in ("docker", "cove")]
    docker, cove = ((done.returncode, done.stdout, done.stderr) for done in said)
    assert cove == docker


@pytest.mark.parametrize(
    ("arguments", "words"),  # of docker 28
    [
        (
            ("-u", "x", "-p", "y", "--password-stdin"),
            "conflicting options: cannot specify both --password and --password-stdin",
        ),
        (("--password-stdin",), "the --password-stdin option requires --username to be set"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    done = desk.run("cove", "login", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{words}\n")
