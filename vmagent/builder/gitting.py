"""Git repositories as sources of files, in a helper process: by the program `git`, with nothing of the machine's own.

No configuration, hooks, credentials or prompts of the system or of root are used; repositories come over http, https,
ssh and the git protocol only, those of submodules too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vmagent.builder.trees import FOLDER, TreeFault, clean
from vmagent.linux import mounts
from vmagent.linux.process import end_with_parent

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "protocol.file.allow": "never",
    "protocol.ext.allow": "never",
    "http.lowSpeedLimit": "1",  # bytes a second
    "http.lowSpeedTime": "120",  # seconds
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
}
_SSH = (
    "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
)


def _environment(job: Mapping[str, Any]) -> dict[str, str]:
    settings = dict(_SETTINGS)
    parts = urlsplit(job["remote"])
    if job["header"] and parts.scheme in ("http", "https"):
        # For this host only: submodules elsewhere get nothing.
        settings[f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/.extraHeader"] = job["header"]
    made = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
        "GIT_SSH_COMMAND": _SSH,
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        made |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if job["agent"]:
        made["SSH_AUTH_SOCK"] = job["agent"]
    return made


class _Git:
    """Runs git in one folder."""

    def __init__(self, job: Mapping[str, Any], folder: Path) -> None:
        self._remote, self._folder = job["remote"], folder
        self._environment = _environment(job)

    def run(self, *arguments: str) -> str:
        """Its output. Raises TreeFault with what git has said."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self._folder), *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env=self._environment,
                umask=0o022,
                # A build that is cancelled kills this process, and git with it.
                preexec_fn=partial(end_with_parent, os.getpid()),
            )
        except FileNotFoundError as e:
            raise TreeFault("a git repository needs the program git, which is not installed beside the engine") from e
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip() or f"git ended with {done.returncode}"
            raise TreeFault(f"failed to fetch remote {self._remote}: {said}")
        return done.stdout.decode("utf-8", "replace")


def resolve(job: Mapping[str, Any]) -> dict[str, Any]:
    """The commit that `ref` names at the remote now. Raises TreeFault."""
    if _COMMIT.fullmatch(job["ref"]):
        return {"commit": job["ref"]}
    ref = job["ref"] or "HEAD"
    wanted = (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref)
    patterns = (ref, f"{ref}^{{}}")
    Path(job["into"]).mkdir(parents=True)
    listed = _Git(job, Path(job["into"])).run("ls-remote", "--", job["remote"], *patterns)
    found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    for name in wanted:
        if name in found:
            return {"commit": found[name]}
    raise TreeFault(f"repository {job['remote']} does not contain ref {ref}")


def fetch(job: Mapping[str, Any]) -> dict[str, Any]:
    """Check the repository out to the new folder `into`: its commit, and the folder that was wanted of it.

    Raises TreeFault, OSError.
    """
    into = Path(job["into"])
    into.mkdir(parents=True)
    into.chmod(0o755)
    git = _Git(job, into)
    git.run("init", "-q")
    git.run("config", "remote.origin.url", job["remote"])  # what relative addresses of submodules are relative to
    _fetch(git, job["ref"])
    commit = git.run("rev-parse", "HEAD").strip()
    if not commit.startswith(job["commit"]):
        raise TreeFault(f"expected checksum to match {job['commit']}, got {commit}")
    if job["submodules"] and (into / ".gitmodules").is_file():
        git.run("submodule", "update", "-q", "--init", "--recursive")
    if not job["keeps_git"]:
        _remove_git(into)
    return {"commit": commit, "folder": folder_in(str(into), job["folder"])}


def folder_in(folder: str, path: str) -> str:
    """The real path of the folder `path` in `folder`; no link leads out of it. Raises TreeFault, OSError."""
    root = os.open(folder, FOLDER)
    try:
        fd = mounts.open_in_root(root, clean(path) or ".", FOLDER)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise TreeFault(f"the context has no folder {path}") from e
    finally:
        os.close(root)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _fetch(git: _Git, ref: str) -> None:
    """One commit if the server gives it alone, else everything."""
    try:
        git.run("fetch", "-q", "--depth=1", "--no-tags", "--end-of-options", "origin", ref or "HEAD")
    except TreeFault:
        git.run("fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*", "HEAD")
        names = [f"refs/tags/{ref}", f"refs/remotes/origin/{ref}", ref] if ref else ["FETCH_HEAD"]
        last: TreeFault | None = None
        for name in names:
            try:
                git.run("checkout", "-q", "--detach", name)
            except TreeFault as e:
                last = last or e
            else:
                return
        raise last or TreeFault("no ref") from None
    git.run("checkout", "-q", "--detach", "FETCH_HEAD")


def _remove_git(folder: Path) -> None:
    """Remove the repository's own files, those of submodules too."""
    shutil.rmtree(folder / ".git")
    for path, folders, names in os.walk(folder):
        if ".git" in names:
            os.unlink(os.path.join(path, ".git"))
        if ".git" in folders:
            shutil.rmtree(os.path.join(path, ".git"))
            folders.remove(".git")
