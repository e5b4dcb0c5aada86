"""Dockerfiles of many kinds (forty.txt), with the context and the base images that they build on.

All contexts are copies of one folder (`write_context`), and all bases come from one archive (`write_bases`), so every
builder begins with the same bytes.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import shlex
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tools import busybox_tar

OLD = 1_000_000_000  # the time of all files of contexts and bases, in seconds since 1970
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # cap_net_raw=ep, as security.capability stores it


@dataclass(frozen=True, slots=True)
class Case:
    """A build. `classic`: docker's classic builder knows all that it uses. `args` are flags of `docker build`."""

    name: str
    dockerfile: str
    classic: bool = True
    args: tuple[str, ...] = ()
    secret: str = ""  # the content of the secret `s`; only buildx sends one

    def flags(self, folder: Path, *, by_buildx: bool) -> list[str]:
        """The arguments of `docker build`. A secret's file is written to `folder`."""
        flags = [*self.args]
        if self.secret and by_buildx:
            (folder / "secret.txt").write_text(self.secret)
            flags += ["--secret", f"id=s,src={folder / 'secret.txt'}"]
        return flags


def _cases(text: str) -> Iterator[Case]:
    """The builds in the text of forty.txt: after a line `== NAME: OPTION...` follows the Dockerfile.

    Options: `newer` (docker's classic builder does not know it), `secret=CONTENT`, and flags of `docker build`.
    """
    for part in text.removeprefix("== ").split("\n== "):
        head, _, dockerfile = part.partition("\n")
        name, _, options = head.partition(": ")
        words = shlex.split(options)
        secret = next((word.partition("=")[2] for word in words if word.startswith("secret=")), "")
        args = tuple(word for word in words if word != "newer" and word != f"secret={secret}")
        yield Case(name, dockerfile.rstrip("\n") + "\n", "newer" not in words, args, secret)


CASES: Sequence[Case] = tuple(_cases((Path(__file__).parent / "forty.txt").read_text()))


def write_context(folder: Path) -> None:
    """The folder that all cases copy from. Needs root, for owners and attributes."""
    texts = {
        "a.txt": "a\n", "b.txt": "b\n", "a.sh": "#!/bin/sh\n", "tree/one": "1\n", "tree/sub/two": "2\n",
        "tree/sub/three": "", "odd/a b": "space", "odd/ü": "umlaut", "odd/[x].txt": "bracket", "hard/one": "hard\n",
        "bits/setuid": "s", "bits/setgid": "g", "bits/capable": "c", "bits/noted": "n", "links/target/f": "f\n",
        "ignored/gone": "", "ignored/kept": "kept", "tree/x.log": "log", "tree/sub/y.log": "log", "foreign": "1234",
        ".dockerignore": "# a comment\nignored\n!ignored/kept\n**/*.log\n",
    }  # fmt: skip
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "tree" / "empty").mkdir()
    os.link(folder / "hard" / "one", folder / "hard" / "two")
    (folder / "hard" / "sub").mkdir()
    os.link(folder / "hard" / "one", folder / "hard" / "sub" / "three")
    for name, target in {
        "to-file": "target/f",
        "to-folder": "target",
        "dangling": "nowhere",
        "absolute": "/etc",
    }.items():
        (folder / "links" / name).symlink_to(target)
    pack = _tar(
        [
            _entry("p", mode=0o750, uid=31, gid=32, kind=tarfile.DIRTYPE),
            _entry("p/file", b"packed", mode=0o4711, uid=33, gid=34),
            _entry("p/same", mode=0o4711, uid=33, gid=34, kind=tarfile.LNKTYPE, link="p/file"),
            _entry("p/link", kind=tarfile.SYMTYPE, link="file"),
        ]
    )
    (folder / "pack.tar").write_bytes(pack)
    (folder / "pack.tar.gz").write_bytes(gzip.compress(_renamed(pack, "gz"), 0, mtime=0))
    (folder / "pack.tar.bz2").write_bytes(bz2.compress(_renamed(pack, "bz")))
    (folder / "truncated.gz").write_bytes(gzip.compress(b"no archive", 0, mtime=0))
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    for name, mode in {
        "a.sh": 0o755,
        "bits/setuid": 0o4755,
        "bits/setgid": 0o2750,
        "tree/sub": 0o2775,
        "b.txt": 0o600,
    }.items():
        (folder / name).chmod(mode)
    os.setxattr(folder / "bits" / "capable", "security.capability", CAPABILITY)
    os.setxattr(folder / "bits" / "noted", "user.note", b"kept?")
    os.chown(folder / "foreign", 1234, 4321)
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (OLD, OLD), follow_symlinks=False)


def copy_context(source: Path, folder: Path, case: Case) -> Path:
    """A context of the case's own. Its links, owners, times and attributes are those of `source`."""
    into = folder / case.name
    subprocess.run(["cp", "-a", source, into], check=True)
    (into / "Dockerfile").write_text(case.dockerfile)
    os.utime(into / "Dockerfile", (OLD, OLD))
    os.utime(into, (OLD, OLD))
    return into


# --- the base images


def write_bases(path: Path, work: Path) -> Path:
    """A tar for `docker load` with the images base, rich and triggering."""
    plain = busybox_tar(work / "busybox.tar").read_bytes()
    files = [
        _entry("real", kind=tarfile.DIRTYPE, mode=0o755),
        _entry("real/file", b"real\n", uid=11, gid=12, mode=0o640),
        _entry("real/same", uid=11, gid=12, mode=0o640, kind=tarfile.LNKTYPE, link="real/file"),
        _entry("to-folder", kind=tarfile.SYMTYPE, link="real"),
        _entry("to-file", kind=tarfile.SYMTYPE, link="real/file"),
        _entry("opt", kind=tarfile.DIRTYPE, mode=0o755),
        _entry("opt/deep", kind=tarfile.DIRTYPE, mode=0o2770, uid=3, gid=4),
        _entry("opt/deep/old", b"old", mode=0o600),
        _entry("bin/pipe", kind=tarfile.FIFOTYPE, mode=0o622),
        _entry("bin/capable", b"#!/bin/sh\n", mode=0o755, capability=True),
        _entry("home/user", kind=tarfile.DIRTYPE, mode=0o700, uid=1000, gid=1000),
        _entry("srv", kind=tarfile.DIRTYPE, mode=0o755),
    ]
    inner: dict[str, Any] = {"Env": ["PATH=/bin"], "Cmd": ["sh"]}
    rich = inner | {
        "Env": ["PATH=/bin", "FROM_BASE=yes"], "Entrypoint": ["/bin/env"], "User": "user", "WorkingDir": "/srv",
        "Labels": {"base": "rich"}, "ExposedPorts": {"7/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 7_000_000_000},
    }  # fmt: skip
    triggers = ["ENV D=/order", "RUN echo 1 >$D", "WORKDIR /on", "COPY a.txt b.txt ./", "RUN echo 2 >>$D"]
    # The folders that engines mount on, as images that people use have them.
    points = _tar([_entry(name, kind=tarfile.DIRTYPE, mode=0o755) for name in ("dev", "proc", "sys", "run")])
    bottom, top = [plain, points], _tar(files)
    images = {
        "base": (inner, bottom), "rich": (rich, [*bottom, top]),
        "triggering": (inner | {"OnBuild": triggers}, bottom),
    }  # fmt: skip
    with tarfile.open(path, "w") as tar:
        manifest = []
        for name, (config, layers) in images.items():
            data = json.dumps(_config(config, layers)).encode()
            _add(tar, f"{_hex(data)}.json", data)
            names = [f"{name}-{number}/layer.tar" for number in range(len(layers))]
            for where, layer in zip(names, layers, strict=True):
                _add(tar, where, layer)
            manifest.append({"Config": f"{_hex(data)}.json", "RepoTags": [f"{name}:latest"], "Layers": names})
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return path


def _config(inner: Mapping[str, Any], layers: Sequence[bytes]) -> dict[str, Any]:
    created = "2001-09-09T01:46:40Z"
    return {
        "architecture": "amd64", "os": "linux", "created": created, "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_hex(layer)}" for layer in layers]},
        "history": [{"created": created, "created_by": f"layer {number}"} for number in range(len(layers))],
    }  # fmt: skip


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entry(
    name: str, content: bytes = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0, kind: bytes = tarfile.REGTYPE,
    link: str = "", capability: bool = False,
) -> tuple[tarfile.TarInfo, bytes]:  # fmt: skip
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
    info.size, info.mtime = len(content), OLD
    if capability:
        info.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
    return info, content


def _tar(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def _renamed(packed: bytes, folder: str) -> bytes:
    """The same tar with its content below another folder, so that two can be unpacked in one place."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        entries = []
        for info in tar:
            file = tar.extractfile(info) if info.isreg() else None
            content = file.read() if file else b""
            info.name = info.name.replace("p", folder, 1)
            if info.islnk():
                info.linkname = info.linkname.replace("p", folder, 1)
            entries.append((info, content))
    return _tar(entries)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
