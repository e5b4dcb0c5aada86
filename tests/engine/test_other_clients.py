"""Clients that others have written, unchanged, in their documented use."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine, run
from tests.support.limits import HANG_S
from tests.support.tools import ansible, docker_cli, docker_config, dockerode, node_with, python_with

IMAGE = "busybox:latest"

_AIODOCKER = """
import asyncio, io, sys, tarfile
import aiodocker

async def main():
    async with aiodocker.Docker(url=sys.argv[1]) as docker:
        assert (await docker.version())["ApiVersion"] == docker.api_version.lstrip("v")
        events = docker.events.subscribe()
        script = "echo out; echo err >&2; read line; echo got $line; exit 3"
        config = {"Image": "busybox:latest", "Cmd": ["sh", "-c", script], "OpenStdin": True,
                  "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
        container = await docker.containers.create_or_replace("aio", config)
        async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
            await container.start()
            await stream.write_in(b"words\\n")
            got = []
            while (message := await stream.read_out()) is not None:
                got.append((message.stream, message.data))
        assert b"".join(data for kind, data in got if kind == 1) == b"out\\ngot words\\n", got
        assert b"".join(data for kind, data in got if kind == 2) == b"err\\n", got
        assert (await container.wait())["StatusCode"] == 3
        assert await container.log(stdout=True) == ["out\\n", "got words\\n"]
        actions = []
        while "die" not in actions:
            event = await events.get()
            if event["Type"] == "container" and event["id"] == container.id:
                actions.append(event["Action"])
        assert [one for one in actions if one in ("create", "start", "die")] == ["create", "start", "die"], actions
        await container.delete()

        network = await docker.networks.create({"Name": "aio-net"})
        volume = await docker.volumes.create({"Name": "aio-volume"})
        config = {"Image": "busybox:latest", "Cmd": ["sleep", "600"],
                  "HostConfig": {"NetworkMode": "aio-net", "Binds": ["aio-volume:/data"]}}
        container = await docker.containers.run(config=config, name="aio")
        process = await container.exec(["sh", "-c", "echo $((6*7)); exit 9"])
        async with process.start(detach=False) as stream:
            message = await stream.read_out()
        assert message.data == b"42\\n", message
        assert (await process.inspect())["ExitCode"] == 9
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            info = tarfile.TarInfo("file")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"text"))
        await container.put_archive("/data", made.getvalue())
        with await container.get_archive("/data/file") as tar:
            assert tar.extractfile("file").read() == b"text"
        assert [one["Name"] for one in (await docker.volumes.list())["Volumes"] if one["Name"] == "aio-volume"]
        stats = await container.stats(stream=False)
        assert stats[0]["pids_stats"]["current"] == 1, stats
        await container.kill()
        await container.delete(force=True)
        await network.delete()
        await volume.delete()
        try:
            await docker.containers.get("aio")
        except aiodocker.DockerError as e:
            assert (e.status, e.message) == (404, "No such container: aio"), e
        else:
            raise AssertionError("it is still there")

asyncio.run(main())
"""


def test_aiodocker(engine: NativeEngine) -> None:
    run([python_with("aiodocker==0.27.0"), "-c", _AIODOCKER, engine.host], {}, check=True)


_DOCKERODE = """
const Docker = require('dockerode');
const assert = require('assert');
const {PassThrough} = require('stream');
const docker = new Docker({socketPath: process.argv[2]});
const text = stream => new Promise(resolve => {
  let all = ''; stream.on('data', data => all += data); stream.on('end', () => resolve(all)); });
(async () => {
  const out = new PassThrough(), err = new PassThrough();
  const said = Promise.all([text(out), text(err)]);
  const [result, gone] = await docker.run('busybox:latest', ['sh', '-c', 'echo out; echo err >&2; exit 4'], [out, err],
    {name: 'node', Tty: false, HostConfig: {AutoRemove: false}});
  out.end(); err.end();
  assert.deepStrictEqual([result.StatusCode, await said], [4, ['out\\n', 'err\\n']]);
  await gone.remove();
  const events = await docker.getEvents({filters: {type: ['container']}});
  const container = await docker.createContainer({Image: 'busybox:latest', name: 'node', Cmd: ['sleep', '600'],
    Labels: {who: 'node'}, ExposedPorts: {'80/tcp': {}}, HostConfig: {PortBindings: {'80/tcp': [{HostPort: '0'}]}}});
  const first = new Promise(resolve => events.once('data', resolve));
  await container.start();
  assert.ok(['create', 'start'].includes(JSON.parse((await first).toString().split('\\n')[0]).Action));
  events.destroy();
  const [listed] = await docker.listContainers({filters: {label: ['who=node']}});
  assert.strictEqual(listed.Names[0], '/node');
  assert.ok(listed.Ports[0].PublicPort > 0);
  const exec = await container.exec({Cmd: ['sh', '-c', 'read line; echo got $line; exit 9'],
    AttachStdin: true, AttachStdout: true, AttachStderr: true});
  const stream = await exec.start({hijack: true, stdin: true});
  const output = new PassThrough(), heard = text(output);
  container.modem.demuxStream(stream, output, output);
  stream.write('words\\n');
  await new Promise(resolve => stream.on('end', resolve));
  output.end();
  assert.strictEqual(await heard, 'got words\\n');
  assert.strictEqual((await exec.inspect()).ExitCode, 9);
  assert.strictEqual((await container.stats({stream: false})).pids_stats.current, 1);
  await container.stop({t: 0});
  await container.remove({v: true});
  const missing = await docker.getContainer('node').inspect().catch(error => error);
  assert.deepStrictEqual([missing.statusCode, missing.reason], [404, 'no such container']);
})().catch(error => { console.error(error); process.exit(1); });
"""

_TESTCONTAINERS = """
const {GenericContainer, Network, Wait} = require('testcontainers');
const assert = require('assert');
(async () => {
  const network = await new Network().start();
  const server = await new GenericContainer('busybox:latest')
    .withCommand(['sh', '-c', 'echo ready; cat /copied; exec nc -ll -p 80 -e echo hello'])
    .withCopyContentToContainer([{content: 'copied\\\\n', target: '/copied'}])
    .withEnvironment({A: '1'}).withExposedPorts(80).withNetwork(network).withNetworkAliases('server')
    .withWaitStrategy(Wait.forLogMessage('ready')).start();
  assert.ok(server.getMappedPort(80) > 0);
  const asked = await server.exec(['sh', '-c', 'echo $A; exit 5']);
  assert.deepStrictEqual([asked.output, asked.exitCode], ['1\\n', 5]);
  const client = await new GenericContainer('busybox:latest').withNetwork(network)
    .withCommand(['sh', '-c', 'nc server 80; sleep 600']).withWaitStrategy(Wait.forLogMessage('hello')).start();
  await client.stop();
  await server.restart();
  await server.stop();
  await network.stop();
})().catch(error => { console.error(error); process.exit(1); });
"""


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    return found


def test_dockerode(engine: NativeEngine, node: str) -> None:
    environment = {"NODE_PATH": str(dockerode())}
    run([node, "-e", _DOCKERODE, "--", "x", str(engine.socket)], environment, check=True)


def test_testcontainers_of_node(engine: NativeEngine, node: str) -> None:
    environment = {
        "NODE_PATH": str(node_with("testcontainers@10.28.0")),
        "DOCKER_HOST": engine.host,
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }
    run([node, "-e", _TESTCONTAINERS], environment, check=True)
    assert engine.docker("ps", "-aq", "--filter", "label=org.testcontainers=true").stdout == ""


_TESTCONTAINERS_PY = """
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

with Network() as network:
    server = DockerContainer("busybox:latest").with_command("sh -c 'echo ready; exec nc -ll -p 80 -e echo hello'")
    with server.with_exposed_ports(80).with_env("A", "1").with_network(network).with_network_aliases("server"):
        wait_for_logs(server, "ready")
        assert int(server.get_exposed_port(80)) > 0
        assert server.exec(["sh", "-c", "echo $A; exit 5"]) == (5, b"1\\n")
        asking = DockerContainer("busybox:latest").with_command("sh -c 'nc server 80; sleep 600'")
        with asking.with_network(network) as client:
            wait_for_logs(client, "hello")
"""


def test_testcontainers_of_python(engine: NativeEngine) -> None:
    environment = {"DOCKER_HOST": engine.host, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    run([sys.executable, "-c", _TESTCONTAINERS_PY], environment, check=True)
    assert engine.docker("ps", "-aq", "--filter", "label=org.testcontainers=true").stdout == ""


_PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/community.docker.docker:
      docker_host: "{{ engine }}"
  tasks:
    - community.docker.docker_host_info: {containers: true}
    - community.docker.docker_network: {name: play-net}
    - community.docker.docker_volume: {name: play-volume}
    - community.docker.docker_container: &server
        name: play
        image: busybox:latest
        command: sleep 600
        env: {A: "1"}
        labels: {who: ansible}
        networks: [{name: play-net, aliases: [server]}]
        volumes: ["play-volume:/data"]
        published_ports: ["127.0.0.1::80"]
        memory: 64M
        restart_policy: unless-stopped
        pull: never
      register: first
    - community.docker.docker_container: *server
      register: again
    - community.docker.docker_container_exec: {container: play, command: "sh -c 'echo $A'"}
      register: asked
    - community.docker.docker_container_copy_into:
        {container: play, content: "text", container_path: /data/file, mode: 420}
    - community.docker.docker_container_exec: {container: play, command: cat /data/file}
      register: copied
    - community.docker.docker_container_info: {name: play}
      register: shown
    - community.docker.docker_image_info: {name: "busybox:latest"}
      register: image
    - community.docker.docker_image_tag: {name: "busybox:latest", repository: ["played:1"]}
    - community.docker.docker_image_remove: {name: "played:1"}
    - assert:
        that:
          - first is changed
          - again is not changed
          - asked.stdout == "1"
          - copied.stdout == "text"
          - shown.container.State.Running
          - shown.container.HostConfig.Memory == 67108864
          - image.images | length == 1
    - community.docker.docker_container: {name: play, state: absent, force_kill: true}
    - community.docker.docker_volume: {name: play-volume, state: absent}
    - community.docker.docker_network: {name: play-net, state: absent}
    - community.docker.docker_prune: {containers: true, containers_filters: {label: nobody}}
"""


def test_ansible_s_modules(engine: NativeEngine, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(_PLAYBOOK)
    program = ansible()
    own = dict.fromkeys(("ANSIBLE_HOME", "TMPDIR"), str(tmp_path))
    environment = {**own, "ANSIBLE_LOCALHOST_WARNING": "false", "LC_ALL": "C.UTF-8"}
    variables = json.dumps({"engine": engine.host, "ansible_python_interpreter": str(program.with_name("python"))})
    run(
        [program, "-i", "localhost,", "-e", variables, str(tmp_path / "play.yml")],
        environment,
        check=True,
        timeout=3 * HANG_S,
    )


def test_the_dev_containers_cli(engine: NativeEngine, node: str, tmp_path: Path) -> None:
    """up, exec, and the same container on the next up; the features of a user's image need a registry."""
    workspace = tmp_path / "project"
    (workspace / ".devcontainer").mkdir(parents=True)
    (workspace / "file").write_text("text\n")
    settings = {
        "image": IMAGE, "overrideCommand": True, "remoteEnv": {"B": "2"}, "updateRemoteUserUID": False,
        "postCreateCommand": "echo created >/tmp/made",
    }  # fmt: skip
    (workspace / ".devcontainer" / "devcontainer.json").write_text(json.dumps(settings))
    program = node_with("@devcontainers/cli@0.89.0") / "@devcontainers" / "cli" / "devcontainer.js"
    own = dict.fromkeys(("HOME", "TMPDIR"), str(tmp_path))
    environment = {**own, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(docker_config())}

    def devcontainer(verb: str, *args: str) -> str:
        folder = ("--workspace-folder", str(workspace), "--docker-path", str(docker_cli()))
        return run([node, program, verb, *folder, *args], environment, check=True).stdout

    try:
        up = json.loads(devcontainer("up").splitlines()[-1])
        assert up["outcome"] == "success"
        asked = devcontainer("exec", "sh", "-c", "cat file /tmp/made; echo $B")
        assert asked.split() == ["text", "created", "2"]
        assert json.loads(devcontainer("up").splitlines()[-1])["containerId"] == up["containerId"]
    finally:
        label = f"label=devcontainer.local_folder={workspace}"
        for container in engine.docker("ps", "-aq", "--filter", label).stdout.split():
            engine.docker("rm", "-f", container)
