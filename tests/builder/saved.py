"""What an image is, read from the tar of `docker save`: its configuration, its history, and its tree of files."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "pipe", tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device",
}  # fmt: skip
_XATTR = "SCHILY.xattr."
_LARGE = 100_000  # bytes; busybox, which is another one on other machines
_KEPT_TIMES = 1_100_000_000  # later times are those of the build itself, which differ


@dataclass(slots=True)
class Node:
    """An inode of the tree."""

    about: str
    paths: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Facts:
    """An image without what no two builds have in common: times, digests of layers, ids."""

    config: Mapping[str, Any]  # the whole config but for history and rootfs; no empty values
    history: tuple[tuple[str, str, bool], ...]  # (created_by, comment, empty_layer) of each entry
    tree: Mapping[str, str]  # path → kind, mode, owner, content, attributes, other names; what is not in the base

    def to_json(self) -> dict[str, Any]:
        return {"config": self.config, "history": self.history, "tree": self.tree}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        return cls(data["config"], tuple((a, b, c) for a, b, c in data["history"]), data["tree"])


def read(archive: Path, base: str) -> Iterator[tuple[str, Facts]]:
    """(name, facts) of each image in the tar. Of those on `base`, the tree has what differs from it."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(_member(tar, "manifest.json").read())
        below = next(one for one in manifest if base in one["RepoTags"])
        known, layers = _tree(tar, below["Layers"]), _layers(tar, below)
        for one in manifest:
            if one is below:
                continue
            config = json.loads(_member(tar, one["Config"]).read())
            tree = _tree(tar, one["Layers"])
            if _layers(tar, one)[: len(layers)] == layers:
                absent = dict.fromkeys(known.keys() - tree.keys(), "absent")
                tree = {path: about for path, about in tree.items() if known.get(path) != about} | absent
            for name in one["RepoTags"]:
                yield name, Facts(_without_times(config), _history(config), tree)


def _layers(tar: tarfile.TarFile, image: Mapping[str, Any]) -> list[str]:
    found: list[str] = json.loads(_member(tar, image["Config"]).read())["rootfs"]["diff_ids"]
    return found


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    assert file is not None, name
    return file


def _history(config: Mapping[str, Any]) -> tuple[tuple[str, str, bool], ...]:
    entries = config.get("history") or ()
    return tuple((one.get("created_by", ""), one.get("comment", ""), bool(one.get("empty_layer"))) for one in entries)


def _without_times(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without times and ids, and without empty values: Go's encoders write them or not by the type they write."""
    dropped = ("created", "history", "rootfs", "container", "container_config", "docker_version", "id", "parent")
    found = {key: value for key, value in config.items() if key not in dropped and value}
    inner = {
        key: value for key, value in (config.get("config") or {}).items() if value and key not in ("Image", "Hostname")
    }
    return found | {"config": inner}


def _tree(tar: tarfile.TarFile, layers: list[str]) -> dict[str, str]:
    nodes: dict[str, Node] = {}
    for layer in layers:
        with tarfile.open(fileobj=_member(tar, layer)) as content:
            _apply(content, nodes)
    for path, node in nodes.items():
        node.paths.append(path)
    found = {}
    for path, node in nodes.items():
        others = sorted(set(node.paths) - {path})
        found[path] = node.about + (f" also {', '.join(others)}" if others else "")
    return found


def _apply(layer: tarfile.TarFile, nodes: dict[str, Node]) -> None:
    """Lay one layer over the tree (OCI image spec, layer.md)."""
    made: set[str] = set()
    for info in layer:
        path = _absolute(info.name)
        folder, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            for below in [one for one in nodes if one.startswith(f"{folder}/") and one not in made]:
                del nodes[below]
            continue
        if name.startswith(".wh."):
            _remove(nodes, f"{folder}/{name[4:]}")
            continue
        made.add(path)
        if path in nodes and not info.isdir():
            _remove(nodes, path)
        if info.islnk():
            nodes[path] = nodes[_absolute(info.linkname)]
        else:
            if info.isdir() and path in nodes and not nodes[path].about.startswith("folder"):
                _remove(nodes, path)
            nodes[path] = Node(_about(layer, info))


def _absolute(name: str) -> str:
    return posixpath.normpath(f"/{name}").replace("//", "/")


def _remove(nodes: dict[str, Node], path: str) -> None:
    for one in [one for one in nodes if one == path or one.startswith(f"{path}/")]:
        del nodes[one]


def _about(layer: tarfile.TarFile, info: tarfile.TarInfo) -> str:
    words = [_KINDS[info.type], f"{info.mode & 0o7777:04o}", f"{info.uid}:{info.gid}"]
    if info.issym():
        words[1] = f"to {info.linkname}"
    if info.ischr() or info.isblk():
        words.append(f"{info.devmajor},{info.devminor}")
    if info.isreg():
        file = layer.extractfile(info)
        assert file is not None
        content = f"{info.size} bytes {hashlib.sha256(file.read()).hexdigest()[:8]}"
        words.append(content if info.size < _LARGE else "large")
        if info.mtime < _KEPT_TIMES:
            words.append(f"of {int(info.mtime)}")
    for key, value in sorted(info.pax_headers.items()):
        if key.startswith(_XATTR):
            words.append(f"{key[len(_XATTR) :]}={value.encode('utf-8', 'surrogateescape').hex()}")
    return " ".join(words)
