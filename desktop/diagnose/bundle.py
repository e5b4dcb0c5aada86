"""The bundle of `cove diagnose --bundle`: logs, settings, findings and states in a tar.gz, without secrets.

What goes in is listed here, by name: no keys, no registry logins, no values of environment variables. Settings of other
names than ours are left out, and in logs what looks like a secret is replaced.
"""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from desktop.diagnose.report import Finding, as_json, as_text
from desktop.paths import HostPaths

LOG_BYTES = 2 << 20  # of each log, its end
_SETTINGS: Mapping[str, frozenset[str] | None] = {
    "schema": None,
    "context": None,
    "vm": frozenset({"memory_mb", "cpus", "disk_gb", "accelerator", "save_after_minutes"}),
    "ports": frozenset({"publish", "host_network"}),
}
_REMOVED = "<removed>"
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=authorization: )\S+(?: \S+)?"),
    re.compile(r"(?i)(?<=x-registry-auth: )\S+"),
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    # NAME=value: of an environment, or of a setting that is called a secret
    re.compile(r"(?<![\w-])(?<=[A-Z0-9_]=)\S+"),
    re.compile(r"(?i)(?<=password[=:])\s*\S+|(?<=secret[=:])\s*\S+|(?<=token[=:])\s*\S+"),
)


def write(file: Path, paths: HostPaths, findings: Sequence[Finding]) -> list[str]:
    """Write the bundle, open to its owner alone; returns the names in it. Raises OSError."""
    names = []
    half = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with (
            open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
            tarfile.open(fileobj=out, mode="w:gz") as archive,
        ):
            for name, data in _contents(paths, findings):
                entry = tarfile.TarInfo(f"cove-diagnose/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(data))
                names.append(name)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
    return names


def _contents(paths: HostPaths, findings: Sequence[Finding]) -> Iterator[tuple[str, bytes]]:
    yield "findings.txt", clean(as_text(findings)).encode()
    yield "findings.json", clean(json.dumps(as_json(findings), indent=2)).encode()
    if (settings := _settings(paths.config_file)) is not None:
        yield "config.json", settings
    for record in (paths.vm_record, paths.accelerator_file, paths.qemu_file):
        if (text := _end_of(record)) is not None:
            yield f"state/{record.name}", clean(text).encode()
    logs = [paths.agent_log, paths.qemu_log, paths.home / "logs" / "agent.log", paths.console_log]
    logs += [paths.earlier_console_log(number) for number in range(1, 5)]
    for log in logs:
        if (text := _end_of(log)) is not None:
            yield f"logs/{log.name}", clean(text).encode()
    if paths.vm.is_dir():
        listed = [f"{one.stat().st_size:>14} {one.name}" for one in sorted(paths.vm.iterdir()) if one.exists()]
        yield "vm-folder.txt", ("\n".join(listed) + "\n").encode()


def clean(text: str) -> str:
    """`text` without what looks like a secret."""
    for pattern in _SECRETS:
        text = pattern.sub(_REMOVED, text)
    return text


def _settings(file: Path) -> bytes | None:
    """The settings that are ours; of others the names alone."""
    try:
        chosen = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        return f"unreadable: {e}\n".encode()
    if not isinstance(chosen, dict):
        return b"not an object\n"
    kept: dict[str, object] = {}
    for name, value in chosen.items():
        known = _SETTINGS.get(name)
        if name in _SETTINGS and known is None:
            kept[name] = value
        elif known is not None and isinstance(value, dict):
            kept[name] = {key: one if key in known else _REMOVED for key, one in value.items()}
        else:
            kept[name] = _REMOVED
    return (json.dumps(kept, indent=2) + "\n").encode()


def _end_of(file: Path) -> str | None:
    try:
        with open(file, "rb") as log:
            log.seek(max(0, log.seek(0, 2) - LOG_BYTES))
            return log.read().decode(errors="replace")
    except OSError:
        return None
