"""One layer of an image, as its history tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """One line of an image's history; `fact`, if set, replaces the note whether the step added files."""

    step: str
    size: int
    created_s: float
    fact: str = ""
