"""Git repositories as Dockerfiles and clients name them: `https://host/repo.git#ref:folder`, `git@host:repo.git`.

Pure code. The rules are those of the Dockerfile reference ("Adding files from a Git repository") and of docker's build
contexts: http and https only with `.git` at the end of the path; a query in place of the fragment since 1.18.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from vmagent.dockerfile.errors import DockerfileError

_SCP_LIKE = re.compile(r"[a-zA-Z0-9_.-]+@[a-zA-Z0-9_.-]+:(?!/?/).+")  # user@host:path
_SCHEMES = ("git", "ssh", "http", "https")
_REF = re.compile(r"[A-Za-z0-9_.@{}^~+/-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_REFS = ("ref", "branch", "tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSource:
    """`remote`: what git takes. `ref`: branch, tag or commit, "" for the remote's HEAD. `folder`: "" for all of it.

    `commit`: the commit, or how it begins, that the ref must be. `keeps_git`: `.git` is part of the files.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    commit: str = ""
    keeps_git: bool = False
    submodules: bool = True

    @property
    def uri(self) -> str:
        """With the ref and the folder, as provenance names it."""
        fragment = f"{self.ref}:{self.folder}" if self.folder else self.ref
        return f"{self.remote}#{fragment}" if fragment else self.remote


def git_source(text: str, *, is_context: bool = False) -> GitSource | None:
    """What `text` names; None if it is no git repository. `is_context`: `github.com/…` is one too.

    Raises DockerfileError for a repository with a wrong ref or query.
    """
    if is_context and text.startswith("github.com/"):
        text = f"https://{text}"
        is_github = True
    else:
        is_github = False
    if "://" not in text:
        if not _SCP_LIKE.fullmatch(text.partition("#")[0]):
            return None
        remote, _, fragment = text.partition("#")
        return _source(text, remote, fragment, "")
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        return None
    if parts.scheme in ("http", "https") and not parts.path.endswith(".git") and not is_github:
        return None
    return _source(text, urlunsplit(parts._replace(query="", fragment="")), parts.fragment, parts.query)


def _source(text: str, remote: str, fragment: str, query: str) -> GitSource:
    ref, _, folder = fragment.partition(":")
    commit, keeps_git, submodules = "", False, True
    for key, value in parse_qsl(query, keep_blank_values=True):
        if fragment:
            raise DockerfileError(f"fragment and query can't be used together in {text}")
        if key in _REFS:
            ref = value
        elif key == "subdir":
            folder = value
        elif key in ("checksum", "commit"):
            commit = value
        elif key == "keep-git-dir":
            keeps_git = value in ("", "1", "true")
        elif key == "submodules":
            submodules = value in ("", "1", "true")
        else:
            raise DockerfileError(f"unexpected query {key!r} in {text}")
    if ref and (ref.startswith("-") or not _REF.fullmatch(ref)):
        raise DockerfileError(f"invalid git ref {ref!r} in {text}")
    if commit and not _COMMIT.fullmatch(commit):
        raise DockerfileError(f"invalid commit {commit!r} in {text}")
    return GitSource(remote=remote, ref=ref, folder=folder, commit=commit, keeps_git=keeps_git, submodules=submodules)
