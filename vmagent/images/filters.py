"""Which images a list or a prune is about: Engine API, ImageList and ImagePrune, `filters`."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vmagent.errors import BadRequest
from vmagent.images.config import Config, unix_seconds
from vmagent.images.records import Pointer
from vmagent.images.reference import Reference

Filters = Mapping[str, Sequence[str]]

LIST_KEYS = frozenset(("dangling", "label", "before", "since", "reference", "until"))
PRUNE_KEYS = frozenset(("dangling", "label", "label!", "until"))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def moment(text: str) -> float:
    """Unix seconds of a filter's time: seconds, a duration back from now, or RFC 3339. Raises BadRequest."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if text and not _DURATION.sub("", text):
        return time.time() - sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(text))
    full = text + "T00:00:00" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text
    zoned = full if re.search(r"([Zz]|[+-]\d\d:\d\d)$", full) else full + "Z"
    if seconds := unix_seconds(zoned):
        return float(seconds)
    raise BadRequest(f"failed to parse time: {text!r}")


@dataclass(slots=True)
class Wanted:
    """A filter, read and checked."""

    dangling: bool | None = None
    labels: list[tuple[str, str | None]] = field(default_factory=list)
    not_labels: list[tuple[str, str | None]] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    until: float | None = None
    before: int | None = None
    since: int | None = None

    @classmethod
    def parse(cls, filters: Filters, allowed: Iterable[str], created_of: Callable[[str], int]) -> Wanted:
        """Read `filters`. `created_of` gives the creation time of an image named in `before` or `since`.

        Raises BadRequest for unknown keys and values that make no sense.
        """
        wanted = cls()
        allowed = set(allowed)
        for key, values in filters.items():
            if key not in allowed:
                raise BadRequest(f"invalid filter '{key}'")
            for value in values:
                wanted._take(key, value, created_of)
        return wanted

    def _take(self, key: str, value: str, created_of: Callable[[str], int]) -> None:
        if key == "dangling":
            if value.lower() not in ("true", "false", "1", "0", "t", "f"):
                raise BadRequest(f"invalid filter 'dangling=[{value}]'")
            self.dangling = value.lower() in ("true", "1", "t")
        elif key in ("label", "label!"):
            name, equals, text = value.partition("=")
            (self.labels if key == "label" else self.not_labels).append((name, text if equals else None))
        elif key == "reference":
            self.references.append(value)
        elif key == "until":
            at = moment(value)
            self.until = at if self.until is None else min(at, self.until)
        elif key == "before":
            at_s = created_of(value)
            self.before = at_s if self.before is None else min(at_s, self.before)
        else:
            at_s = created_of(value)
            self.since = at_s if self.since is None else max(at_s, self.since)

    def takes(self, config: Config, references: Sequence[tuple[str, Pointer]]) -> bool:
        """Whether an image passes all filters but `dangling`, which list and prune interpret differently."""
        created = unix_seconds(config.get("created"))
        if self.until is not None and created >= self.until:
            return False
        if self.before is not None and created >= self.before:
            return False
        if self.since is not None and created <= self.since:
            return False
        labels: Mapping[str, str] = (config.get("config") or {}).get("Labels") or {}
        if not all(_has(labels, *label) for label in self.labels):
            return False
        if any(_has(labels, *label) for label in self.not_labels):
            return False
        return not self.references or any(self.takes_reference(key) for key, _ in references)

    def takes_reference(self, key: str) -> bool:
        """Whether a reference passes the filter; a list leaves out the other names of the image."""
        return not self.references or any(matches(pattern, key) for pattern in self.references)


def _has(labels: Mapping[str, str], name: str, value: str | None) -> bool:
    return name in labels and (value is None or labels[name] == value)


def matches(pattern: str, key: str) -> bool:
    """Whether a reference matches docker's `reference` pattern: by its name alone, or with its tag."""
    reference = Reference.parse(key)
    candidates = (reference.familiar, reference.familiar_name, key, reference.name)
    # A star does not cross a slash, as in Go's path.Match.
    return any(
        fnmatch.fnmatchcase(candidate, pattern) and candidate.count("/") == pattern.count("/")
        for candidate in candidates
    )
