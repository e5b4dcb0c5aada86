"""How `make test` divides the tests among the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Folders whose tests one worker runs, one after the other. The VM's share one boot.
_TOGETHER = ("vm",)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Gives whole files to the workers, so that a module's fixtures are made once."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        folder = path.split("/")[-2]
        return folder if folder in _TOGETHER else path
