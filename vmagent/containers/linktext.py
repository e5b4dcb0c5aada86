"""The texts of `--link`."""

from __future__ import annotations

from collections.abc import Iterable

from vmagent.errors import BadRequest


def parse_link(text: str) -> tuple[str, str]:
    """(container, alias) of "NAME", "NAME:ALIAS", or of inspect's form "/NAME:/OWN/ALIAS". Raises BadRequest."""
    name, *rest = text.split(":")
    if not name or len(rest) > 1:
        raise BadRequest(f"bad format for links: {text}")
    alias = rest[0] if rest and rest[0] else name
    return name.removeprefix("/"), alias.rpartition("/")[2]


def links_by_alias(texts: Iterable[str] | None) -> tuple[tuple[str, str], ...]:
    """(alias, container), in lower case as in names of DNS. Raises BadRequest."""
    return tuple((alias.lower(), name.lower()) for name, alias in map(parse_link, texts or ()))
