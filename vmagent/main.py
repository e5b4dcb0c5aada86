"""The engine's process starts here: the keeper runs `python -m vmagent.main`. What it does is in `vmagent.serving`.

Two libraries that others only look for are kept out before that: `rich` (structlog would print tracebacks
with it) costs 9 MB and a third of the start, `ssl` (asyncio; TLS is spoken by the pull workers) 4 MB.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from vmagent import generated


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 after an end in order, 1 where the engine can't start, 2 for bad arguments."""
    absent = [name for name in ("rich", "ssl") if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it raises ImportError
    gc.disable()  # next to nothing of what is loaded is garbage
    with generated.code():
        from vmagent import serving
    gc.enable()

    for name in absent:
        del sys.modules[name]
    return serving.main(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
