"""Projects on a real engine: `cove compose` beside the real docker compose, each sees and continues the other's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.composing import ComposeProject
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

PROJECT = "cvtproj"
FILE = """
name: cvtproj
services:
  web:
    image: busybox
    command: [sh, -c, 'cat /run/secrets/s /c.txt; echo to-$$TARGET; exec sleep 1000']
    init: true
    environment: {TARGET: db}
    depends_on: {db: {condition: service_healthy}, once: {condition: service_completed_successfully}}
    secrets: [s]
    configs: [{source: c, target: /c.txt}]
    networks: {front: {aliases: [www]}, default: }
    volumes: ['data:/data', ./here:/here:ro]
    scale: 2
  db:
    image: busybox
    command: [sh, -c, 'sleep 0.1; touch /ready; exec sleep 1000']
    init: true
    healthcheck: {test: [CMD, test, -e, /ready], interval: 200ms, retries: 1000}
  once: {image: busybox, command: ['true'], depends_on: [db]}
  other: {image: busybox, command: sleep 1000, init: true, network_mode: 'service:db', profiles: [more]}
networks: {front: {ipam: {config: [{subnet: 10.234.77.0/24}]}}}
volumes: {data: }
secrets: {s: {environment: SECRET}}
configs: {c: {content: "config\\n"}}
"""


@pytest.fixture
def project(engine: NativeEngine, tmp_path: Path) -> Iterator[ComposeProject]:
    made = ComposeProject(engine, tmp_path, PROJECT)
    (tmp_path / "here").mkdir()
    made.write(FILE)
    yield made
    made.cove("--profile", "*", "down", "-v", "-t", "0", "--remove-orphans")
    assert not made.containers()


def test_a_life_cycle(project: ComposeProject) -> None:
    project.cove("up", "-d")
    first = project.containers()
    states = {name: state.split()[1] for name, state in first.items()}
    assert states == {
        "cvtproj-db-1": "running", "cvtproj-once-1": "exited", "cvtproj-web-1": "running", "cvtproj-web-2": "running",
    }  # fmt: skip
    logs = project.cove("logs", "web").stdout.splitlines()
    lines = [f"web-{n}  | {word}" for n in (1, 2) for word in ("secret", "config", "to-db")]
    assert sorted(logs) == sorted(lines)
    assert project.cove("exec", "-T", "web", "nslookup", "www").returncode == 0
    listed = [json.loads(line) for line in project.cove("ps", "--format", "json").stdout.splitlines()]
    assert [row["Name"] for row in listed] == ["cvtproj-db-1", "cvtproj-web-1", "cvtproj-web-2"]

    # Nothing has changed: nothing is made anew, by neither tool, though `once` is run again.
    project.cove("up", "-d")
    project.docker("up", "-d")
    again = {name: state.split()[0] for name, state in project.containers().items()}
    assert again == {name: state.split()[0] for name, state in first.items()}

    project.cove("stop", "-t", "0", "web")
    assert {state.split()[1] for name, state in project.containers().items() if "web" in name} == {"exited"}
    project.cove("start", "web")
    assert {state.split()[1] for name, state in project.containers().items() if "web" in name} == {"running"}

    # One service changes: only its containers are new.
    project.write(FILE.replace("TARGET: db", "TARGET: other"))
    project.cove("up", "-d", "-t", "0")
    changed = {name: state.split()[0] for name, state in project.containers().items()}
    assert {name for name in changed if changed[name] != again[name]} == {"cvtproj-web-1", "cvtproj-web-2"}
    project.cove("up", "-d", "--scale", "web=1", "-t", "0")
    assert "cvtproj-web-2" not in project.containers()
    ran = project.cove("run", "--rm", "-T", "web", "echo", "ran")
    assert ran.stdout == "ran\n"
    assert not any("run" in name for name in project.containers())


def test_what_docker_compose_has_made_goes_on(project: ComposeProject) -> None:
    project.docker("up", "-d")
    before = {name: state.split()[0] for name, state in project.containers().items()}
    project.cove("up", "-d")
    assert {name: state.split()[0] for name, state in project.containers().items()} == before
    project.docker("--profile", "more", "up", "-d")
    with_more = project.containers()
    project.cove("--profile", "more", "up", "-d")
    assert project.containers()["cvtproj-other-1"] == with_more["cvtproj-other-1"]
    assert "cvtproj" in project.docker("ls").stdout
    project.cove("--profile", "more", "down", "-t", "0")
    assert not project.containers()
    with project.engine.client() as client:
        names = {item["Name"] for item in client.json_list("GET", "/networks")}
    assert not {name for name in names if name.startswith("cvtproj")}


def test_a_dependency_that_ends_is_named(project: ComposeProject) -> None:
    project.write(FILE.replace("sleep 0.1; touch /ready; exec sleep 1000", "exit 3"))
    done = project.cove("up", "-d", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "dependency failed to start: container cvtproj-db-1 exited (3)"
    project.write(FILE.replace("['true']", "[sh, -c, exit 4]"))
    done = project.cove("up", "-d", check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "service 'once' didn't complete successfully: exit 4"


def test_a_port_that_is_taken_is_told_by_whom(project: ComposeProject) -> None:
    with project.engine.client() as client:
        body = {
            "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {
                "Init": True, "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
            },
        }  # fmt: skip
        id = client.create(body, name="cvt-holder")["Id"]
        try:
            client.start(id)
            port = client.inspect(id)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
            project.write(f"name: cvtproj\nservices: {{a: {{image: busybox, ports: ['127.0.0.1:{port}:80']}}}}\n")
            done = project.cove("up", "-d", check=False)
        finally:
            client.remove(id, force=True)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("; the container cvt-holder publishes it")


ATTACHED = """
name: cvtproj
services:
  long: {image: busybox, command: [sh, -c, "trap 'echo ended; exit 0' TERM; echo ready; while :; do sleep 0.05; done"]}
  stubborn:
    image: busybox
    command: [sh, -c, "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    depends_on: [long]
"""


def _attach(project: ComposeProject, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("cove"), "compose", "up", *args],
        cwd=project.folder,
        env={**os.environ, "COVE_HOST": project.engine.host},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _read_until(process: subprocess.Popen[str], *wanted: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    missing = set(wanted)
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        missing.discard(lines[-1])
        if not missing:
            return lines
    raise AssertionError(f"it ended without {missing}: {lines}")


def test_ctrl_c_stops_in_order_and_a_second_one_kills(project: ComposeProject) -> None:
    project.write(ATTACHED)
    with _attach(project, "-t", "600") as process:
        _read_until(process, "long-1      | ready", "stubborn-1  | ready")
        process.send_signal(signal.SIGINT)
        _read_until(process, "Gracefully stopping... (press Ctrl+C again to force)")
        process.send_signal(signal.SIGINT)
        lines = _read_until(process, "stubborn-1 exited with code 137")
        assert process.wait(HANG_S) == 130
    assert "long-1      | ended" not in lines[: lines.index("stubborn-1 exited with code 137")]


def test_the_end_of_one_ends_all(project: ComposeProject) -> None:
    project.write(
        "name: cvtproj\nservices:\n  a: {image: busybox, command: [sh, -c, 'echo one; echo -n two; exit 7']}\n"
        "  bcd: {image: busybox, command: sleep 1000, init: true}\n"
    )
    with _attach(project, "--exit-code-from", "a", "-t", "0") as process:
        lines = _read_until(process, "a-1 exited with code 7")
        assert process.wait(HANG_S) == 7
    assert [line for line in lines if line.startswith("a-1")] == [
        "a-1    | one",
        "a-1    | two",
        "a-1 exited with code 7",
    ]


def test_a_build_gets_its_secrets(project: ComposeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVE_TEST_TOKEN", "of a variable")
    (project.folder / "kept").write_text("of a file")
    text = textwrap.dedent("""
        name: cvtproj
        services:
          web:
            build:
              context: .
              dockerfile_inline: |
                FROM busybox
                RUN --mount=type=secret,id=one --mount=type=secret,id=two-in-the-build cat /run/secrets/* > /found
              secrets: [one, {source: two, target: two-in-the-build}]
        secrets:
          one: {file: ./kept}
          two: {environment: COVE_TEST_TOKEN}
        """)
    project.write(text)
    project.cove("build")
    assert project.cove("run", "--rm", "-T", "web", "cat", "/found").stdout == "of a fileof a variable"
    (project.folder / "kept").unlink()
    refused = project.cove("build", check=False)
    assert (
        refused.returncode,
        f"secret 'one': {project.folder}/kept cannot be read: No such file" in refused.stderr,
    ) == (1, True)
    project.write(text.replace("{file: ./kept}", "{external: true}"))
    refused = project.cove("build", check=False)
    assert (refused.returncode, "build.secrets only supports environment or file-based" in refused.stderr) == (1, True)


def test_a_build_uses_other_contexts_and_the_images_of_other_services(project: ComposeProject) -> None:
    (project.folder / "more").mkdir()
    (project.folder / "more" / "x").write_text("of a folder\n")
    project.write("""
name: cvtproj
services:
  top:
    build:
      context: .
      additional_contexts: [more=./more, lower=service:lower, box=docker-image://busybox]
      dockerfile_inline: |
        FROM box
        COPY --from=more x /x
        COPY --from=lower /made /made
    command: cat /x /made
  lower:
    build: {dockerfile_inline: "FROM busybox\\nRUN sleep 1; echo of a service >/made\\n"}
""")
    project.cove("build", "top")
    assert project.cove("run", "--rm", "-T", "top").stdout == "of a folder\nof a service\n"
    project.cove("down", "--rmi", "all")
    project.engine.docker("rmi", "-f", "cvtproj-lower", check=False)
    project.cove("up", "-d", "top")
    assert project.cove("logs", "--no-log-prefix", "top").stdout == "of a folder\nof a service\n"


def test_builds(project: ComposeProject) -> None:
    (project.folder / "ctx").mkdir()
    (project.folder / "ctx" / "Dockerfile").write_text("FROM busybox\nARG A\nRUN echo $A >/a\n")
    project.write(
        "name: cvtproj\nservices:\n  a: {build: {context: ctx, args: {A: told}}, command: cat /a}\n"
        '  b: {build: {context: ctx, dockerfile_inline: "FROM busybox\\nCOPY . /c\\nRUN ls -A /c >/a\\n"}'
        ", image: cvt/b, command: cat /a}\n"
    )
    project.cove("build")
    assert project.cove("run", "--rm", "-T", "a").stdout == "told\n"
    assert project.cove("run", "--rm", "-T", "b").stdout == "Dockerfile\n"
    project.write('name: cvtproj\nservices: {a: {build: {dockerfile_inline: "FROM busybox\\nRUN exit 3\\n"}}}\n')
    done = project.cove("build", check=False)
    assert done.returncode == 1
    assert "service 'a': the build failed at Step 2/2 : RUN exit 3" in done.stderr
