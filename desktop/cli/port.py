"""`cove port`: list the host addresses of a container's published ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Spec, parse

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="port",
    usage="CONTAINER [PRIVATE_PORT[/PROTO]]",
    summary="Show a container's published ports",
    least=1,
    most=2,
)


def main(argv: Sequence[str], app: App) -> int:
    name, *wanted = parse(SPEC, argv).args
    ports = (app.client().inspect(name).get("NetworkSettings") or {}).get("Ports") or {}
    if wanted:
        port, _, protocol = wanted[0].partition("/")
        key = f"{port}/{protocol or 'tcp'}"
        bindings = ports.get(key)
        if not bindings:
            raise Failure(f"Error: No public port '{wanted[0]}' published for {name}")
        for binding in bindings:
            print(_address(binding))
        return 0
    lines = [f"{key} -> {_address(binding)}" for key, bindings in ports.items() for binding in bindings or ()]
    for line in sorted(lines):
        print(line)
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding["HostIp"]
    return f"[{host}]:{binding['HostPort']}" if ":" in host else f"{host}:{binding['HostPort']}"
