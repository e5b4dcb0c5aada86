"""A command as text: in one line to copy, over several lines to read."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 78  # characters of a line in a code well


def one_line(words: Sequence[str]) -> str:
    """Join `words`, which are already quoted for a shell; an option and its value may be one word."""
    return " ".join(words)


def in_lines(words: Sequence[str], width: int = WIDTH) -> str:
    """The command on several lines, joined by backslashes; a word longer than `width` has a line of its own."""
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 3 > width:
            lines.append("  " + word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)
