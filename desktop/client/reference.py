"""Image references, parsed as docker's command line does (grammar: distribution/reference, "Grammar")."""

from __future__ import annotations

import re
from typing import NamedTuple

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_NAME = rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"({_NAME})(?::({_TAG}))?(?:@({_DIGEST}))?", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 255
HUB = "docker.io"


class InvalidReference(ValueError):
    """The text is not a reference; str() is docker's message."""


class Reference(NamedTuple):
    """A repository as it was typed, with its tag or digest."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def version(self) -> str:
        """The API's `tag` parameter: the digest if there is one, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def full_name(self) -> str:
        """The full name: a short name gets the registry docker.io, and `library/` before a single component."""
        first, rest = split(self.repository)
        if first in ("", f"index.{HUB}"):
            first = HUB
        library = "library/" if first == HUB and "/" not in rest else ""
        return str(self._replace(repository=f"{first}/{library}{rest}"))

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag or 'latest'}"


def split(repository: str) -> tuple[str, str]:
    """The registry (HOST[:PORT], "" where none is named) and the path of a repository as it was typed."""
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", repository


def parse(text: str) -> Reference:
    """Raises InvalidReference."""
    if _IMAGE_ID.fullmatch(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings as repository names"
        )
    found = _REFERENCE.fullmatch(text)
    if found is None:
        lower = _REFERENCE.fullmatch(text.lower())
        if lower is not None:
            raise InvalidReference(
                f"invalid reference format: repository name ({_path_of(lower[1], text)}) must be lowercase"
            )
        raise InvalidReference("invalid reference format")
    if len(found[1]) > _MAX_NAME:
        raise InvalidReference(f"repository name must not be more than {_MAX_NAME} characters")
    return Reference(found[1], found[2], found[3])


def _path_of(name: str, text: str) -> str:
    """The part of `name` after the registry, in its original case, with `library/` before a single component."""
    first, rest = split(text[: len(name)])
    return rest if first or "/" in rest else f"library/{rest}"
