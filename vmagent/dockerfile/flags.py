"""The `--name=value` flags of an instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.text import suggested

Kind: TypeAlias = Literal["switch", "text", "list"]


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that were given, by name; a switch's value is "true" or "false"."""

    given: Mapping[str, tuple[str, ...]]

    def text(self, name: str, default: str = "") -> str:
        return self.given[name][-1] if name in self.given else default

    def all(self, name: str) -> tuple[str, ...]:
        return self.given.get(name, ())

    def switch(self, name: str) -> bool | None:
        """None where the flag was not given."""
        return self.text(name) == "true" if name in self.given else None


def read_flags(words: Sequence[str], known: Mapping[str, Kind]) -> Flags:
    """Raises DockerfileError for a flag that is unknown, given twice, or has no proper value."""
    given: dict[str, tuple[str, ...]] = {}
    for word in words:
        written, sign, value = word.partition("=")
        name = written[2:]
        kind = known.get(name)
        if kind is None:
            raise DockerfileError(suggested(f"unknown flag: {written}", name, tuple(known)))
        if name in given and kind != "list":
            raise DockerfileError(f"duplicate flag specified: {written}")
        if (not sign) if kind != "switch" else (sign and not value):
            raise DockerfileError(f"missing a value on flag: {written}")
        if kind == "switch":
            value = value.lower() or "true"
            if value not in ("true", "false"):
                raise DockerfileError(f"expecting boolean value for flag {written}, not: {word.partition('=')[2]}")
        given[name] = (*given.get(name, ()), value)
    return Flags(given)
