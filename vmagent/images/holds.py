"""What keeps an image or blobs that no name means any more, until the last user has gone."""

from __future__ import annotations

from collections.abc import Callable


class Hold:
    """Keeps an image's config and layers even if it is removed by force, or an index's blobs, until it is released."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], object]) -> None:
        self._end: Callable[[], object] | None = end

    def release(self) -> None:
        """End the hold; a second call does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end()
