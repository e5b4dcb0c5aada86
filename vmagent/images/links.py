"""Paths inside a layer's root, resolved through the layer's own symbolic links as a process with that root would:
path_resolution(7). A link that is absolute, or that climbs above the root, stays inside.
"""

from __future__ import annotations

from vmagent.images.faults import ImageFault

MAX_LINKS = 40  # the kernel's limit for one path: path_resolution(7)
MAX_DEPTH = 512  # removal walks down with one descriptor and one call per level


def _checked(parts: list[str], name: str, what: str) -> list[str]:
    if len(parts) > MAX_DEPTH:
        raise ImageFault(f"{what} {name[:80]!r}… is more than {MAX_DEPTH} folders deep", "invalid")
    return parts


def components(name: str, what: str) -> list[str]:
    """`name` as a list of plain names below the layer's root; `.` and a leading slash count for nothing.

    Raises ImageFault if it leads above the root.
    """
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise ImageFault(f"{what} {name!r} leads out of the layer", "invalid")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return _checked(parts, name, what)


def clamped(name: str, what: str) -> list[str]:
    """As `components`, but `..` in the root is the root itself, as in a process with that root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return _checked(parts, name, what)


class Links:
    """The symbolic links that a layer has made so far, by their own paths, which lead through no link."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}
        self._resolved: dict[str, str] = {}  # folders asked for since the last change

    def __contains__(self, path: str) -> bool:
        return path in self._targets

    def add(self, path: str, target: str) -> None:
        """There is a link at `path`."""
        self._targets[path] = target
        self._resolved.clear()

    def copy(self, source: str, path: str) -> None:
        """`path` is a hard link to what is at `source`, which may be a symbolic link."""
        if source in self._targets:
            self.add(path, self._targets[source])

    def remove(self, path: str) -> None:
        """The link at `path`, or the folder at `path` with all links in it, was deleted."""
        below = path + "/"
        for known in [known for known in self._targets if known == path or known.startswith(below)]:
            del self._targets[known]
        self._resolved.clear()

    def folder(self, path: str) -> str:
        """The path, free of links, of the folder that `path` (plain names; "" is the root) means. It need not exist.

        Raises ImageFault after more than MAX_LINKS links.
        """
        if not self._targets:
            return path
        if (known := self._resolved.get(path)) is None:
            known = self._resolved[path] = self._resolve(path)
        return known

    def _resolve(self, path: str) -> str:
        pending = path.split("/")[::-1]
        done: list[str] = []
        followed = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            target = self._targets.get("/".join(done))
            if target is None:
                continue
            followed += 1
            if followed > MAX_LINKS:
                raise ImageFault(f"{path!r}: too many levels of symbolic links", "invalid")
            done.pop()
            if target.startswith("/"):
                done.clear()
            pending += target.split("/")[::-1]
        return "/".join(_checked(done, path, "path"))
