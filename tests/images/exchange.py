"""Images made and pushed by dockerd, podman and our engine, pulled and run by each of them, in namespaces of their own.

python -m tests.images.exchange FILE writes what the containers saw, as JSON: maker → runner → lines; of archives that
podman has made their form stands for the maker. As root; needs Debian's docker.io and runc.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.security.peers import dockerd as running_dockerd
from tests.security.peers import own_folder, own_namespaces
from tests.support.engine import native_engine
from tests.support.limits import HANG_S
from tests.support.podman import Podman, podman
from tests.support.registry import registry as start_registry
from tests.support.tools import ROOT, busybox_tar, docker_cli, dockerd
from tests.support.tools import podman as podman_tree

DOCKER, PODMAN, COVE = "dockerd", "podman", "cove"
Run = Callable[..., str]  # words of a command line as docker's: what it wrote. Raises AssertionError.
Seen = dict[str, dict[str, list[str]]]  # maker → runner → lines

FORMS = ("docker-archive", "oci-archive")  # of `podman save`

# In a second layer it hides what the first one has: whiteouts, and a folder that is opaque.
FIRST = r"""
    set -e
    mkdir -p /made/deep/er /made/gone /made/kept /made/swapped
    echo text >/made/file; chmod 0640 /made/file; chown 1000:50 /made/file
    ln /made/file /made/same; ln -s ../etc/passwd /made/link; ln -s /nowhere /made/dangling
    cp /bin/busybox /made/tool; chmod 4755 /made/tool
    mkdir -m 1777 /made/sticky; mkdir -m 2750 /made/group; chown 7:8 /made/group
    mkfifo /made/fifo; : >/made/empty; : >"/made/a name with spaces"; : >/made/$(printf 'n%.0s' $(seq 200))
    echo 1 >/made/gone/one; echo 2 >/made/kept/two; echo 3 >/made/swapped/three; echo 4 >/made/deep/er/four
    touch -d '2001-02-03 04:05:06' /made/file /made/deep/er
"""
SECOND = r"""
    set -e
    rm -r /made/gone /made/kept/two /made/empty
    rm -r /made/swapped; mkdir /made/swapped; echo 5 >/made/swapped/five
    rm /made/deep/er/four; mkdir /made/deep/er/four; echo more >>/made/file
"""
LIST = r"""
    cd /; find made etc home -name hosts -o -name hostname -o -name resolv.conf -o -name mtab -o -print |
    sort | while IFS= read -r p; do
        if [ -L "$p" ]; then echo "$p $(stat -c '%F %u %g' "$p") $(readlink "$p")"
        elif [ -f "$p" ]; then echo "$p $(stat -c '%F %a %u %g %s %Y %h' "$p") $(md5sum <"$p")"
        else echo "$p $(stat -c '%F %a %u %g' "$p")"; fi
    done
"""
CHANGES = ("-c", "ENV SAID=hello", "-c", 'CMD ["/bin/sh", "-c", "echo $SAID"]')


def make(run: Run, base: str, ref: str) -> None:
    """Make an image of two layers on `base`, and push it."""
    run("run", "--network", "none", "--name", "first", base, "sh", "-c", FIRST)
    run("commit", "first", "first:latest")
    run("run", "--network", "none", "--name", "second", "first:latest", "sh", "-c", SECOND)
    run("commit", *CHANGES, "second", ref)
    run("push", ref)
    run("rm", "first", "second")
    run("rmi", ref, "first:latest")


def look(run: Run, ref: str) -> list[str]:
    """Pull an image: what its own command says, and what its containers see."""
    run("pull", ref)
    return _shown(run, ref)


def load(run: Run, archive: Path, ref: str) -> list[str]:
    """The same of an image in an archive."""
    assert ref in run("load", "-i", str(archive))
    return _shown(run, ref)


def _shown(run: Run, ref: str) -> list[str]:
    said = run("run", "--rm", "--network", "none", ref).splitlines()
    said += run("run", "--rm", "--network", "none", ref, "/bin/sh", "-c", LIST).splitlines()
    run("rmi", ref)
    return said


def _checked(argv: list[str], **more: str) -> str:
    environment = {**os.environ, **more}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def by_docker(host: str) -> Run:
    return lambda *words: _checked([str(docker_cli()), *words], DOCKER_HOST=host, DOCKER_CLI_HINTS="false")


def by_podman(of: Podman) -> Run:
    """Pulls and pushes leave podman's network namespace: the registry is on the loopback of this one."""

    def run(*words: str) -> str:
        if words[0] in ("push", "pull"):
            argv = of.argv("runc", words[0], "--tls-verify=false", *words[1:])
            argv.remove("--net")
            return _checked(argv)
        return _checked(of.argv("runc", *words))

    return run


def all_of(folder: Path) -> Seen:
    """Raises AssertionError, PodmanUnusable."""
    tar = busybox_tar(folder / "busybox.tar")
    seen: Seen = {}
    (folder / "podman").mkdir()
    with (
        start_registry(folder) as registry,
        running_dockerd(folder, dockerd()) as host,
        podman(folder / "podman", tar) as pod,
        native_engine() as engine,
    ):
        runs = {DOCKER: by_docker(host), PODMAN: by_podman(pod), COVE: by_docker(engine.host)}
        for name in (DOCKER, COVE):
            runs[name]("import", "-c", "ENV PATH=/bin", str(tar), "busybox:latest")
        refs = {name: f"{registry}/from/{name}:1" for name in runs}
        for name, run in runs.items():
            make(run, "busybox", refs[name])
        for maker, ref in refs.items():
            seen[maker] = {name: look(run, ref) for name, run in runs.items()}
        seen |= archives(runs[PODMAN], runs[COVE], refs[PODMAN], folder)
        runs[PODMAN]("rmi", "busybox")
    return seen


def archives(podman_run: Run, own_run: Run, ref: str, folder: Path) -> Seen:
    """What podman saves in each of its forms, loaded by us; and what we save of that, loaded by podman."""
    seen: Seen = {}
    for form in FORMS:
        theirs, ours = folder / f"{form}.tar", folder / f"{form}-ours.tar"
        podman_run("pull", ref)
        podman_run("save", "-q", "--format", form, "-o", str(theirs), ref)
        podman_run("rmi", ref)
        assert ref in own_run("load", "-i", str(theirs))
        own_run("save", "-o", str(ours), ref)
        seen[form] = {COVE: _shown(own_run, ref), PODMAN: load(podman_run, ours, ref)}
    return seen


def main(file: Path) -> None:
    for fetch in (dockerd, docker_cli, podman_tree):  # what they download is not reached from the namespaces
        fetch()
    own_namespaces()
    with own_folder() as work:
        seen = all_of(work)
    file.write_text(json.dumps(seen))


def exchanged(folder: Path) -> Seen:
    """By a process of its own that writes to `folder`."""
    file = folder / "seen.json"
    argv = [sys.executable, "-m", "tests.images.exchange", str(file)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=8 * HANG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: Seen = json.loads(file.read_text())
    return seen


if __name__ == "__main__":
    main(Path(sys.argv[1]))
