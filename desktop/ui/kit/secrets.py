"""Which values are not shown unless they are asked for."""

from __future__ import annotations

from typing import Final

SECRET_WORDS: Final = ("PASSWORD", "SECRET", "TOKEN", "KEY")
HIDDEN: Final = "••••••••"


def is_secret(name: str) -> bool:
    """Whether the name of a variable suggests that its value is not to be shown."""
    return any(word in name.upper() for word in SECRET_WORDS)
