"""Contexts that the engine fetches: git repositories and URLs, by every wire; ADD of repositories; OCI layouts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import pytest

from tests.support.engine import NativeEngine
from tests.support.gitserver import git, git_server
from tests.support.sshserver import ssh_server
from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.giturl import GitSource, git_source

FILE = "FROM busybox\nCOPY . /c\nCMD ls -A /c\n"


@dataclass(frozen=True)
class Site:
    """A server with the repository `one.git`: `main` has a Dockerfile and a submodule, `sub/` a second one."""

    address: str
    headers: list[str]
    folder: Path
    commit: str

    def url(self, kind: str = "smart") -> str:
        return f"http://{self.address}/{kind}/one.git" if kind else f"http://{self.address}/one.git"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("served")
    with git_server(folder) as (address, headers):
        work = tmp_path_factory.mktemp("work")
        for name in ("module", "one"):
            git(folder, "init", "-q", "--bare", "-b", "main", f"{name}.git")
            git(work, "init", "-q", "-b", "main", name)
            (work / name / "f").write_text(f"{name}\n")
            git(work / name, "add", ".")
            git(work / name, "commit", "-qm", "first")
            git(work / name, "push", "-q", folder / f"{name}.git", "main")
        one = work / "one"
        git(one, "submodule", "--quiet", "add", f"http://{address}/smart/module.git", "mod")
        (one / "Dockerfile").write_text(FILE)
        (one / "sub").mkdir()
        (one / "sub" / "Dockerfile").write_text("FROM busybox\nCOPY s /s\nCMD cat /s\n")
        (one / "sub" / "s").write_text("in sub\n")
        (one / "out").symlink_to("/etc")
        git(one, "add", ".")
        git(one, "commit", "-qm", "second")
        git(one, "tag", "-am", "v", "v1")
        git(one, "push", "-q", "--tags", folder / "one.git", "main")
        git(one, "checkout", "-qb", "other")
        (one / "Dockerfile").write_text("FROM busybox\nCMD echo other\n")
        git(one, "commit", "-qam", "third")
        git(one, "push", "-q", folder / "one.git", "other")
        git(folder / "one.git", "update-server-info")
        git(folder / "module.git", "update-server-info")
        (folder / "Dockerfile").write_text("FROM busybox\nCMD echo from a URL\n")
        with tarfile.open(folder / "context.tar.gz", "w:gz") as tar:
            for name, text in (("Dockerfile", FILE), ("t", "tar\n")):
                info = tarfile.TarInfo(name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        yield Site(address, headers, folder, git(one, "rev-parse", "main"))


def output(engine: NativeEngine, image: str) -> str:
    return engine.docker("run", "--rm", "--network", "none", image).stdout


def test_a_repository_by_buildx(engine: NativeEngine, site: Site) -> None:
    engine.buildx("build", "-q", "-t", "cvt/git", site.url())
    assert output(engine, "cvt/git").split() == [".gitmodules", "Dockerfile", "f", "mod", "out", "sub"]
    assert engine.docker("run", "--rm", "cvt/git", "cat", "/c/mod/f").stdout == "module\n"
    engine.buildx("build", "-q", "-t", "cvt/git", f"{site.url()}#main:sub")
    assert output(engine, "cvt/git") == "in sub\n"
    engine.buildx("build", "-q", "-t", "cvt/git", f"{site.url()}#other")
    assert output(engine, "cvt/git") == "other\n"
    for ref in ("v1", site.commit):
        done = engine.buildx("build", "--progress=plain", "-t", "cvt/git", f"{site.url()}#{ref}")
        assert "CACHED" in done.stderr


def test_a_repository_of_plain_files(engine: NativeEngine, site: Site) -> None:
    """Such a server gives no commit alone."""
    engine.buildx("build", "-q", "-t", "cvt/git", f"{site.url('')}#other")
    assert output(engine, "cvt/git") == "other\n"


def test_what_a_repository_lacks(engine: NativeEngine, site: Site) -> None:
    def error(source: str) -> str:
        return engine.buildx("build", source, check=False).stderr

    assert "missing" in error(f"{site.url()}#missing")
    assert "the context has no folder nowhere" in error(f"{site.url()}#main:nowhere")
    assert "the context has no folder out" in error(f"{site.url()}#main:out")  # a link to /etc
    assert "the context has no folder ../../.." not in error(f"{site.url()}#main:../../..")  # `..` stops at the root
    assert "not found" in error(f"http://{site.address}/smart/nothing.git")


def test_a_private_repository(engine: NativeEngine, site: Site) -> None:
    refused = engine.buildx("build", f"{site.url('private')}#other", check=False)
    assert refused.returncode == 1
    secret = ("--secret", "id=GIT_AUTH_TOKEN")
    engine.buildx("build", "-q", *secret, f"{site.url('private')}#other", env_more={"GIT_AUTH_TOKEN": "hush"})
    assert "basic eC1hY2Nlc3MtdG9rZW46aHVzaA==" in site.headers


def test_urls_of_a_dockerfile_and_of_an_archive(engine: NativeEngine, site: Site) -> None:
    engine.buildx("build", "-q", "-t", "cvt/url", f"http://{site.address}/Dockerfile")
    assert output(engine, "cvt/url") == "from a URL\n"
    engine.buildx("build", "-q", "-t", "cvt/url", f"http://{site.address}/context.tar.gz")
    assert output(engine, "cvt/url").split() == ["Dockerfile", "t"]
    missing = engine.buildx("build", f"http://{site.address}/missing", check=False)
    assert "invalid response status 404" in missing.stderr


def test_remote_contexts_of_the_classic_wire(engine: NativeEngine, site: Site) -> None:
    client = docker.DockerClient(engine.host)
    try:
        client.images.build(path=f"{site.url()}#main:sub", tag="cvt/classic")
        assert output(engine, "cvt/classic") == "in sub\n"
        client.images.build(path=f"http://{site.address}/Dockerfile", tag="cvt/classic")
        assert output(engine, "cvt/classic") == "from a URL\n"
        with pytest.raises(docker.errors.APIError, match="neither a URL nor a git repository"):
            client.api._raise_for_status(client.api.post(client.api._url("/build"), params={"remote": "ftp://x/y"}))
    finally:
        client.close()
    engine.cove("build", "-t", "cvt/classic", f"{site.url()}#other")
    assert output(engine, "cvt/classic") == "other\n"


def test_add_of_a_repository(engine: NativeEngine, site: Site, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM busybox\nADD {site.url()}#main:sub /s\nADD --keep-git-dir=true {site.url()} /all\n"
        f"ADD --checksum={site.commit} {site.url()}?tag=v1&subdir=sub /t/\nCMD ls -A /s /all /t\n"
    )
    engine.buildx("build", "-q", "-t", "cvt/add", tmp_path)
    lines = output(engine, "cvt/add").split()
    assert ".git" in lines
    assert lines.count("s") == 2
    done = engine.buildx("build", "--progress=plain", tmp_path)
    assert done.stderr.count("CACHED") == 4
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nADD --checksum={'0' * 40} {site.url()} /x\n")
    assert "expected checksum to match 0000" in engine.buildx("build", tmp_path, check=False).stderr


def test_named_contexts_that_are_fetched(engine: NativeEngine, site: Site, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY --from=repo s /s\nCOPY --from=url t /t\nCOPY --from=layout /made /m\nCMD cat /s /t /m\n"
    )
    layout = tmp_path / "layout"
    layout.mkdir()
    text = "FROM busybox\nRUN echo made >/made\n"
    engine.buildx("build", "-t", "cvt/l:1", "-o", f"type=oci,dest={layout}.tar", "-", input=text)
    subprocess.run(["tar", "-C", layout, "-xf", f"{layout}.tar"], check=True)
    os.unlink(f"{layout}.tar")
    engine.docker("builder", "prune", "-af")
    engine.buildx(
        "build", "-q", "-t", "cvt/named", "--build-context", f"repo={site.url()}#main:sub",
        "--build-context", f"url=http://{site.address}/context.tar.gz",
        "--build-context", f"layout=oci-layout://{layout}:1", tmp_path,
    )  # fmt: skip
    assert output(engine, "cvt/named") == "in sub\ntar\nmade\n"
    (tmp_path / "Dockerfile").write_text("FROM layout\nCMD cat /made\n")
    engine.buildx("build", "-q", "-t", "cvt/named", "--build-context", f"layout=oci-layout://{layout}:1", tmp_path)
    assert output(engine, "cvt/named") == "made\n"
    assert json.loads(engine.docker("inspect", "cvt/named").stdout)[0]["Os"] == "linux"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://h/a.git", GitSource(remote="https://h/a.git")),
        ("https://h/a.git#b:c/d", GitSource(remote="https://h/a.git", ref="b", folder="c/d")),
        ("git@h:a/b.git#:c", GitSource(remote="git@h:a/b.git", folder="c")),
        ("ssh://u@h:22/a", GitSource(remote="ssh://u@h:22/a")),
        ("git://h/a#x", GitSource(remote="git://h/a", ref="x")),
        (
            "https://h/a.git?branch=b&subdir=c&checksum=0123456&keep-git-dir=1&submodules=0",
            GitSource(
                remote="https://h/a.git", ref="b", folder="c", commit="0123456", keeps_git=True, submodules=False
            ),
        ),
        ("https://h/a.tar", None),
        ("https://h/a.git/x", None),
        ("a/b.git", None),
        ("github.com/a/b", None),
        ("file:///a.git", None),
        ("-u@h:x", None),
    ],
)
def test_names_of_repositories(text: str, found: GitSource | None) -> None:
    if text.startswith("-"):
        assert git_source(text) == GitSource(remote=text) or git_source(text) is None
        return
    assert git_source(text) == found


def test_a_context_may_be_at_github() -> None:
    assert git_source("github.com/a/b#c", is_context=True) == GitSource(remote="https://github.com/a/b", ref="c")


@pytest.mark.parametrize(
    "text", ["https://h/a.git#-x", "https://h/a.git#a%20b", "https://h/a.git?x=1", "https://h/a.git?checksum=zz"]
)
def test_wrong_names_of_repositories(text: str) -> None:
    with pytest.raises(DockerfileError):
        git_source(text)


def test_a_repository_comes_over_ssh_with_the_client_s_agent(engine: NativeEngine, site: Site, tmp_path: Path) -> None:
    """As a context and as a source of ADD, from a real server that knows one key, which only the client's agent has."""
    served = tmp_path / "served"
    git(site.folder, "clone", "-q", "--bare", "-b", "other", site.folder / "one.git", served)
    (tmp_path / "added").mkdir()
    with ssh_server(tmp_path) as server:
        url = f"ssh://root@{server.address}{served}"
        build = ("build", "-q", "-t", "cvt/ssh")
        agent = ("--ssh", f"default={server.agent}")
        engine.buildx(*build, *agent, f"{url}#other")
        assert output(engine, "cvt/ssh") == "other\n"
        (tmp_path / "added" / "Dockerfile").write_text(f"FROM busybox\nADD {url}#main /one/\nCMD cat /one/f\n")
        engine.buildx(*build, *agent, tmp_path / "added")
        assert output(engine, "cvt/ssh") == "one\n"
        without = engine.buildx(*build, "--no-cache", tmp_path / "added", check=False)
        assert without.returncode == 1
        assert "Permission denied (publickey)" in without.stderr
    engine.docker("rmi", "-f", "cvt/ssh")
