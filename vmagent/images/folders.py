"""Where a layer's files can be seen: the folder of a layer of kind dir, or the mount of one of kind tar."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vmagent.images import erofs
from vmagent.images.layer import DIFF, INDEX, TAR, Kind, Layer, hex_of


class LayerFolders:
    """The lower folders of overlays. Layers of kind tar are mounted when first asked for and stay mounted."""

    def __init__(self, layers: Path, mounts: Path) -> None:
        """`layers`: the store's folder of layers; `mounts`: a folder for mount points, made when needed."""
        self._layers, self._mounts = layers, mounts

    def path(self, layer: Layer) -> Path:
        """Where the layer is seen once it is mounted."""
        if layer.kind is Kind.DIR:
            return self._layers / hex_of(layer.diff_id) / DIFF
        return self._mounts / hex_of(layer.diff_id)

    def ready(self, layer: Layer) -> Path:
        """As `path`, mounted. Raises OSError."""
        path = self.path(layer)
        if layer.kind is Kind.TAR and not os.path.ismount(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = self._layers / hex_of(layer.diff_id)
            erofs.mount(folder / INDEX, folder / TAR, path)
        return path

    def unmount(self, diff_id: str) -> None:
        """Take the layer's mount away, if there is one; overlays on it keep it. Raises OSError."""
        self._unmount(self._mounts / hex_of(diff_id))

    def unmount_all(self) -> None:
        """Take all mounts away, those of earlier engines too. Raises OSError."""
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
