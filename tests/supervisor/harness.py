"""A keeper and a supervisor without a real engine: this program becomes the keeper of a stub that only waits."""

from __future__ import annotations

import os
import sys

from vmagent.keeper.main import execute, open_all, parse

# Like the engine, it ends at SIGTERM, or when the keeper closes its end of the socket.
_ENGINE = """
import socket, sys
from vmagent.linux.title import set_title
set_title("cove-engine")
keeper = socket.socket(fileno=int(sys.argv[sys.argv.index("--keeper-fd") + 1]))
keeper.setblocking(True)
keeper.send(b"ready")
keeper.recv(1)
"""

if __name__ == "__main__":
    config = open_all(parse(sys.argv[1:]))
    config["engine_argv"] = [sys.executable, "-P", "-c", os.environ.get("ENGINE_CODE", _ENGINE)]
    execute(config)
