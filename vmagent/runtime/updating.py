"""`cove-runtime` pause, resume and update: changes to a running container."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vmagent.runtime.failure import OTHER, SPEC, LaunchError
from vmagent.runtime.handover import read_json
from vmagent.runtime.log import Log
from vmagent.runtime.state import Container
from vmagent.runtime.updateflags import FLAGS, WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def pause(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    if (status := container.status()) not in ("running", "created"):
        raise LaunchError(OTHER, f"container not running: {status}")
    container.cgroup.freeze()
    return 0


def resume(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    if container.status() != "paused":
        raise LaunchError(OTHER, "container not paused")
    container.cgroup.thaw()
    return 0


def update(options: argparse.Namespace, log: Log) -> int:
    container = Container.load(options.root, options.id)
    if container.status() == "stopped":
        raise LaunchError(OTHER, "container not running")
    if options.l3_cache_schema or options.mem_bw_schema:
        raise LaunchError(SPEC, "Intel RDT is not supported")
    try:
        container.cgroup.update(_resources(options))
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        raise LaunchError(OTHER, f"failed to update the cgroup: {where}{e.strerror}") from e
    return 0


def _resources(options: argparse.Namespace) -> dict[str, Any]:
    if options.resources == "-":
        try:
            given = json.load(sys.stdin)
        except ValueError as e:
            raise LaunchError(SPEC, f"resources: {e}") from e
        return _changes(given)
    if options.resources:
        return _changes(read_json(Path(options.resources)))
    resources: dict[str, Any] = {}
    for flag, (controller, key, is_size) in FLAGS.items():
        value = getattr(options, flag)
        if value in (None, ""):
            continue
        if flag in WORDS:
            resources.setdefault(controller, {})[key] = value
            continue
        number = size(value) if is_size else _number(flag, value)
        if number or flag in ("cpu_idle", "cpu_burst"):
            resources.setdefault(controller, {})[key] = number
    return resources


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """The values of `given` that are to be changed.

    As in runc, 0 means "do not change" (a limit of zero processes or bytes would make no sense), and device rules are
    not changed: engines send the resources of the whole specification, which does not list the devices that every
    container has, so a running container would lose those.
    """
    result = {controller: values for controller, values in given.items() if controller != "devices"}
    for controller in ("memory", "pids", "blockIO"):
        if isinstance(values := result.get(controller), dict):
            result[controller] = {key: value for key, value in values.items() if value != 0}
    return result


def size(text: str) -> int:
    """The number of bytes that a text such as "512m", "-1" or "1048576" means. Raises LaunchError."""
    word = text.strip().lower().removesuffix("ib")
    digits = word.rstrip("bkmgt")
    unit = word[len(digits) :]
    unit = unit.removesuffix("b") if len(unit) > 1 else unit
    try:
        return int(float(digits) * _UNITS[unit])
    except (KeyError, ValueError) as e:
        raise LaunchError(SPEC, f"invalid size: {text!r}") from e


def _number(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as e:
        raise LaunchError(SPEC, f"invalid value {text!r} for --{flag.replace('_', '-')}") from e
