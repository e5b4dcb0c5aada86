"""`cove info`: facts about the engine and what it has."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import human_memory
from desktop.cli.version import VERSION

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="info",
    usage="[OPTIONS]",
    summary="Show facts about the engine",
    most=0,
    flags=(Flag("format", "f", "string", "A template ({{.ServerVersion}}) or json"),),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    template = flags.text("format")
    if template is not None:
        from desktop.cli.template import render

        print(render(template, app.client().info()))
        return 0
    print(f"Client:\n Version:    {VERSION}\n Context:    {app.context().name}\n\nServer:")
    try:
        info = app.client().info()
    except FAILURES as e:
        raise Failure(message_of(e)) from e
    print("\n".join(f" {line}" for line in _lines(info)))
    sys.stdout.flush()
    for warning in info.get("Warnings") or ():
        print(warning, file=sys.stderr)
    return 0


def _lines(info: Mapping[str, Any]) -> Iterator[str]:
    yield f"Containers: {info.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f" {state}: {info.get(f'Containers{state}', 0)}"
    yield f"Images: {info.get('Images', 0)}"
    yield f"Server Version: {info.get('ServerVersion', '')}"
    yield f"Storage Driver: {info.get('Driver', '')}"
    for key, value in info.get("DriverStatus") or ():
        yield f" {key}: {value}"
    for name, key in (
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ):
        if info.get(key):
            yield f"{name}: {info[key]}"
    plugins = info.get("Plugins") or {}
    yield "Plugins:"
    for kind in ("Volume", "Network", "Log"):
        if plugins.get(kind):
            yield f" {kind}: {' '.join(plugins[kind])}"
    yield f"Runtimes: {' '.join(info.get('Runtimes') or ())}"
    yield f"Default Runtime: {info.get('DefaultRuntime', '')}"
    if info.get("SecurityOptions"):
        yield "Security Options:"
        for option in info["SecurityOptions"]:
            fields = dict(pair.partition("=")[::2] for pair in str(option).split(","))
            yield f" {fields.pop('name', option)}"
            for key, value in fields.items():
                yield f"  {key.capitalize()}: {value}"
    for name, key in (
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ):
        yield f"{name}: {info.get(key, '')}"
    yield f"Total Memory: {human_memory(info.get('MemTotal') or 0)}"
    for name, key in (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir")):
        yield f"{name}: {info.get(key, '')}"
    for label in info.get("Labels") or ():
        yield f"Label: {label}"
    networks = (info.get("RegistryConfig") or {}).get("InsecureRegistryCIDRs") or ()
    if networks:
        yield "Insecure Registries:"
        for network in networks:
            yield f" {network}"
