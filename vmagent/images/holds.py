"""What keeps an image that is removed by force, until the last user of it has gone."""

from __future__ import annotations

from collections.abc import Callable


class Hold:
    """Keeps an image's config and layers even when the image is removed by force, until it is released."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[], object]) -> None:
        self._end: Callable[[], object] | None = end

    def release(self) -> None:
        """End the hold; a second call does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end()
