"""The static programs; their C sources are beside this file, build.py compiles them.

`hello` is the command of the image cove/hello, `init` the process 1 of containers made with `--init`: both run
inside containers. `spawner` runs next to the supervisor and makes its children, see `vmagent.runtime.spawner`.
`control` serves the host agent's requests in the VM, `tunnel` is the VM's end of its streams, and
`folders` mounts the host's folders there. `front` is the host's command `cove` on Linux, which `make setup` installs.
"""

from __future__ import annotations

from pathlib import Path

ARCHITECTURES = ("x86_64", "aarch64")
PROGRAMS = ("hello", "init", "spawner", "control", "tunnel", "folders", "front")


def binary(name: str, arch: str) -> Path:
    """The static program `name` for `arch` (`os.uname().machine`'s word).

    Raises FileNotFoundError with the command that builds it where it was not built.
    """
    path = Path(__file__).parent / "bin" / f"{name}-{arch}"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run `python -m vmagent.native.build`")
    return path
