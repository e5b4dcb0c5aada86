"""The probe program: built once, put into an image, and its report taken apart."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.tools import CACHE, busybox_tar

SOURCES = Path(__file__).parent
_FLAGS = ("-target", "x86_64-linux-musl", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-std=gnu11")

_ID = re.compile("[0-9a-f]{64}")
Report = Mapping[tuple[str, str], str]  # (section, name) → what was found


@functools.cache
def program(name: str, *more: str) -> Path:
    """The static program made of `name`.c, from the cache if its source is the same. Raises CalledProcessError."""
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + repr((_FLAGS, more)).encode()).hexdigest()[:16]
    target = CACHE / "security" / f"{name}-{digest}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_suffix(f".{os.getpid()}")
        compiler = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-fno-sanitize=all", *more]
        subprocess.run([*compiler, "-o", str(made), str(source)], check=True, timeout=280)
        made.chmod(0o755)
        made.rename(target)
    return target


def image_tar(path: Path, extra: Mapping[str, Path]) -> Path:
    """Write a root file system at `path`: busybox, and `extra` programs by their absolute place."""
    busybox_tar(path)
    with tarfile.open(path, "a") as tar:
        for place, program_path in extra.items():
            data = program_path.read_bytes()
            info = tarfile.TarInfo(place.lstrip("/"))
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return path


def parse(text: str, host: Mapping[str, str]) -> Report:
    """The probe's lines, without what differs from container to container; `host`: its namespaces by name.

    Raises AssertionError if the probe did not come to its end.
    """
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        section, name, value = line.split("\t", 2)
        match section:
            case "namespaces":
                value = "the host's" if host[name] == value else "its own"
            case "mounts":
                name, value = _mount(value)
            case "cgroups":
                name, value = value.split(":")[1] or "v2", _ID.sub("ID", value.split(":")[2])
        found[section, name] = value.strip()
        if name == "/proc/locks":
            # It has content only while somebody on the machine locks an open file description (fcntl(2)).
            found[section, name] = found[section, name].replace("b", "")
    assert found.pop(("end", "-"), None), f"the probe broke off:\n{text[-2000:]}"
    return found


def _mount(line: str) -> tuple[str, str]:
    """(where, flags, type and what changes there are passed on) of a line of mountinfo: proc(5)."""
    words = line.split()
    separator = words.index("-")
    flags = [word for word in words[5].split(",") if word != "relatime"]
    propagation = sorted({word.partition(":")[0] for word in words[6:separator]}) or ["private"]
    return words[4], f"{','.join(flags)} {words[separator + 1]} {','.join(propagation)}"
