"""`cove host`: the host agent in the foreground.

Exit codes: 0, it was told to quit; 1, it can't run; 3, one runs already.
"""

from __future__ import annotations

import asyncio
import os
import sys

from desktop.hostagent.agent import HostAgent
from desktop.paths import HostPaths, host_paths
from desktop.platform import platform_for
from desktop.platform.base import AlreadyHeld, Platform


def main() -> int:
    platform = platform_for(sys.platform)
    paths = host_paths(os.environ, sys.platform)
    try:
        for folder in (paths.home, paths.run):
            platform.private_folder(folder)
        with platform.lock(paths.agent_lock):
            asyncio.run(_serve(paths, platform))
    except AlreadyHeld:
        return _fail(f"a host agent runs already for {paths.home}", 3)
    except OSError as e:
        return _fail(f"the host agent can't run: {e}", 1)
    except KeyboardInterrupt:
        return 0
    return 0


async def _serve(paths: HostPaths, platform: Platform) -> None:
    await HostAgent(paths, platform, os.environ).run()


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"cove: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
