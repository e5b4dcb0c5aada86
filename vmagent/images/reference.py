"""Image references: `[domain/]path[:tag][@digest]`, normalized and shortened as the docker CLI shows them.

Engine API facts: "Names, IDs, references". Domain only if the first part has `.` or `:`, is `localhost` or has upper
case; else `docker.io`, where one-part names live in `library/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from vmagent.errors import BadRequest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"

_ALNUM = r"[a-z0-9]+"
_COMPONENT = rf"{_ALNUM}(?:(?:\.|_|__|-+){_ALNUM})*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` and 64 hex digits: the only algorithm that registries use."""
    return _DIGEST.fullmatch(text) is not None


def registry_of(address: str) -> str:
    """The domain of the registry that a login names: HOST[:PORT], maybe with scheme and path; the Hub for "".

    Raises BadRequest.
    """
    _, _, bare = f"://{address}".rpartition("://")
    domain = bare.partition("/")[0] or DEFAULT_DOMAIN
    if _DOMAIN.fullmatch(domain) is None:
        raise BadRequest(f'unable to parse server address: parse "https://{domain}": invalid host name')
    return DEFAULT_DOMAIN if domain == "index.docker.io" else domain


@dataclass(frozen=True, slots=True)
class Reference:
    """A name with at most a tag and a digest; `domain` and `path` are always the full ones."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as a user types it. Raises BadRequest in docker's words."""
        name, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise BadRequest("invalid reference format")
        if _HEX_ID.fullmatch(name):
            raise BadRequest(f"invalid repository name ({name}), cannot specify 64-byte hexadecimal strings")
        first, slash, rest = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
            domain, remainder = first, rest
        else:
            domain, remainder = DEFAULT_DOMAIN, name
        if domain == "index.docker.io":
            domain = DEFAULT_DOMAIN
        path, colon, tag = remainder.partition(":")
        if domain == DEFAULT_DOMAIN and path and "/" not in path:
            path = f"library/{path}"
        if path.lower() != path:
            raise BadRequest(f"invalid reference format: repository name ({path}) must be lowercase")
        if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path) or (colon and not _TAG.fullmatch(tag)):
            raise BadRequest("invalid reference format")
        if len(domain) + 1 + len(path) > _MAX_NAME:
            raise BadRequest(f"repository name must not be more than {_MAX_NAME} characters")
        return cls(domain, path, tag or None, digest or None)

    @property
    def name(self) -> str:
        """The repository, in full: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as users know it: `busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix("library/")
        return short if "/" not in short else self.path

    @property
    def familiar(self) -> str:
        """`busybox:1` or `busybox@sha256:…`; a digest wins over a tag."""
        if self.digest:
            return f"{self.familiar_name}@{self.digest}"
        return f"{self.familiar_name}:{self.tag}" if self.tag else self.familiar_name

    @property
    def key(self) -> str:
        """The one full spelling under which the store keeps it: with tag, or with digest if there is one."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag or DEFAULT_TAG}"

    def with_default_tag(self) -> Reference:
        """Itself if it says which image, else its `latest`."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)

    def tagged(self, tag: str) -> Reference:
        """The same repository with `tag`, which may be a digest. Raises BadRequest."""
        if is_digest(tag):
            return replace(self, tag=None, digest=tag)
        if not _TAG.fullmatch(tag):
            raise BadRequest("invalid tag format" if tag else "invalid reference format")
        return replace(self, tag=tag, digest=None)
