"""Every file and folder of the engine, spelled once.

The data root survives a boot; the exec root is run-time state (a tmpfs such as /run) and may vanish with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DEFAULT_DATA_ROOT = Path("/var/lib/cove")
DEFAULT_EXEC_ROOT = Path("/run/cove")
DEFAULT_SOCKET = Path("/run/cove/cove.sock")


class DataRoot(NamedTuple):
    """The engine's data root; every path below it is made by a method here and nowhere else."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held by flock for the keeper's life: a second engine on the same root is refused."""
        return self.path / "engine.lock"

    @property
    def engine_id(self) -> Path:
        return self.path / "engine-id"

    @property
    def containers(self) -> Path:
        return self.path / "containers"

    def container(self, container_id: str) -> Path:
        """One container's folder: records, log files, etc/, upper/ and work/ of its overlay."""
        return self.containers / container_id

    def host_files(self, container_id: str) -> Path:
        """The files that are bound over the container's own /etc: hosts, hostname, resolv.conf."""
        return self.containers / container_id / "etc"

    @property
    def spares(self) -> Path:
        """Where an earlier version kept folders for containers to come, which are among `containers` now."""
        return self.path / "spares"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs" / "sha256"

    @property
    def layers(self) -> Path:
        return self.path / "layers"

    @property
    def erofs_trial(self) -> Path:
        """For which kernel layers were mounted with success; see `vmagent.images.erofs`."""
        return self.path / "erofs-trial.json"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def ingest(self) -> Path:
        """Half-made content; swept at start."""
        return self.path / "ingest"

    @property
    def downloads(self) -> Path:
        """Blobs as far as they were downloaded; see `vmagent.images.downloads`."""
        return self.path / "downloads"

    @property
    def trash(self) -> Path:
        """Renamed here, removed in the background; swept at start."""
        return self.path / "trash"

    @property
    def bin(self) -> Path:
        """What was deleted and can be brought back, an entry each (vmagent/engine/binstore.py)."""
        return self.path / "bin"

    @property
    def builds(self) -> Path:
        return self.path / "builds"

    @property
    def build_cache(self) -> Path:
        """Records of the build cache."""
        return self.path / "builds" / "cache"

    @property
    def build_mounts(self) -> Path:
        """The content of `RUN --mount=type=cache`, a folder each."""
        return self.path / "builds" / "mounts"

    @property
    def build_contexts(self) -> Path:
        """What clients have sent of their folders, a folder each."""
        return self.path / "builds" / "contexts"

    @property
    def build_history(self) -> Path:
        """Records of builds that have ended."""
        return self.path / "builds" / "history"

    @property
    def networks(self) -> Path:
        return self.path / "networks"

    @property
    def volumes(self) -> Path:
        return self.path / "volumes"


class ExecRoot(NamedTuple):
    """The engine's run-time root."""

    path: Path

    @property
    def supervisor_socket(self) -> Path:
        return self.path / "supervisor.sock"

    @property
    def containers(self) -> Path:
        return self.path / "containers"

    @property
    def rootfs(self) -> Path:
        """An empty folder: each container's root is mounted there, in a mount namespace of its own."""
        return self.path / "rootfs"

    def container(self, container_id: str) -> Path:
        """Run-time state of one container: the supervisor's records, and shm/ where others share it."""
        return self.containers / container_id

    def usage(self, container_id: str) -> str:
        """The file of what the container has used (vmagent/engine/history.py). The number is that of its format.

        A string: it is asked for each running container each second.
        """
        return f"{self.path}/containers/{container_id}/usage.1"

    @property
    def surroundings(self) -> Path:
        """What the machine around the VM has told: proxies, and authorities beside the engine's own."""
        return self.path / "surroundings"

    @property
    def subpaths(self) -> Path:
        """Places where parts of volumes are bound for the moment of a start."""
        return self.path / "subpaths"

    @property
    def networks(self) -> Path:
        return self.path / "networks"
