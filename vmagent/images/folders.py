"""Where a layer's files can be seen: the folder of a layer of kind dir, or the mount of one of kind tar."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from vmagent.images import erofs
from vmagent.images.layer import DIFF, INDEX, TAR, Kind, Layer, hex_of


class LayerFolders:
    """The lower folders of overlays. Layers of kind tar are mounted when first asked for and stay mounted."""

    def __init__(self, layers: Path, mounts: Path) -> None:
        """`layers`: the store's folder of layers; `mounts`: a folder for mount points, made when needed."""
        self._layers, self._mounts = layers, mounts
        self._mounting = threading.Lock()
        self._mounted: set[str] = set()  # diff ids

    def path(self, layer: Layer) -> str:
        """Where the layer is seen once it is mounted. Each start of a container asks: pathlib would be slow here."""
        name = hex_of(layer.diff_id)
        return f"{self._layers}/{name}/{DIFF}" if layer.kind is Kind.DIR else f"{self._mounts}/{name}"

    def is_ready(self, layer: Layer) -> bool:
        """Whether `make_ready` has nothing to do; does not block."""
        return layer.kind is Kind.DIR or layer.diff_id in self._mounted

    def make_ready(self, layers: Iterable[Layer]) -> None:
        """Mount the layers that are not mounted. Blocks; for any thread. Raises OSError."""
        with self._mounting:
            for layer in layers:
                if self.is_ready(layer):
                    continue
                path = Path(self.path(layer))
                if not os.path.ismount(path):  # an earlier engine may have left it
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
                    folder = self._layers / hex_of(layer.diff_id)
                    erofs.mount(folder / INDEX, folder / TAR, path)
                self._mounted.add(layer.diff_id)

    def unmount(self, diff_id: str) -> None:
        """Take the layer's mount away, if there is one; overlays on it keep it. Blocks. Raises OSError."""
        with self._mounting:
            self._mounted.discard(diff_id)
            self._unmount(self._mounts / hex_of(diff_id))

    def unmount_all(self) -> None:
        """Take all mounts away, those of earlier engines too. Raises OSError."""
        self._mounted.clear()
        if self._mounts.is_dir():
            for path in self._mounts.iterdir():
                self._unmount(path)
            self._mounts.rmdir()

    @staticmethod
    def _unmount(path: Path) -> None:
        if os.path.ismount(path):
            erofs.unmount(path)
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
