"""`cove version`: the versions of this client and of the engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import architecture
from desktop.client.engine import API_VERSION

if TYPE_CHECKING:
    from desktop.cli.app import App

VERSION = "0.1.0"  # as pyproject.toml says; asking the installed metadata takes 15 ms

SPEC = Spec(
    name="version",
    usage="[OPTIONS]",
    summary="Show the versions of client and engine",
    most=0,
    flags=(Flag("format", "f", "string", "A template ({{.Client.Version}}) or json"),),
    statuses=(("0", "both are known"), ("1", "no engine answers"), ("125", "a flag is wrong")),
)


def main(argv: Sequence[str], app: App) -> int:
    """Prints the client's version in any case, and the engine's only if it runs: it is not started for this."""
    flags = parse(SPEC, argv)
    chosen = app.context()
    failure: str | None = None
    server: dict[str, Any] | None = None
    from desktop.client.engine import EngineClient

    try:
        with EngineClient(chosen.endpoint, timeout_s=10) as client:
            server = client.version()
            spoken = client.api_version
    except FAILURES as e:
        failure = message_of(e)
        spoken = _dotted(API_VERSION)
    told: dict[str, Any] = {
        "Client": {
            "Version": VERSION,
            "APIVersion": spoken,
            "DefaultAPIVersion": _dotted(API_VERSION),
            "PythonVersion": ".".join(map(str, sys.version_info[:3])),
            "Os": "windows" if sys.platform == "win32" else sys.platform,
            "Arch": architecture(),
            "Context": chosen.name,
        },
        "Server": {**server, "APIVersion": server.get("ApiVersion")} if server else None,  # docker's name for it
    }
    template = flags.text("format")
    if template:
        from desktop.cli.template import render

        print(render(template, told))
    else:
        print(_client_text(told["Client"]))
        if server is not None:
            print("\n" + _server_text(server))
    if failure is not None:
        raise Failure(failure)
    return 0


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _client_text(client: dict[str, Any]) -> str:
    api = str(client["APIVersion"])
    if api != client["DefaultAPIVersion"]:
        api += f" (downgraded from {client['DefaultAPIVersion']})"
    rows = (
        ("Version", client["Version"]),
        ("API version", api),
        ("Python version", client["PythonVersion"]),
        ("OS/Arch", f"{client['Os']}/{client['Arch']}"),
        ("Context", client["Context"]),
    )
    return "Client: Cove\n" + "\n".join(f" {name + ':':<18} {value}" for name, value in rows)


def _server_text(server: dict[str, Any]) -> str:
    name = (server.get("Platform") or {}).get("Name")
    lines = [f"Server: {name}".rstrip() if name else "Server:"]
    for component in server.get("Components") or ():
        details = component.get("Details") or {}
        lines += [f" {component['Name']}:", f"  {'Version:':<17} {component.get('Version', '')}"]
        if component["Name"] == "Engine":
            api = f"{details.get('ApiVersion')} (minimum version {details.get('MinAPIVersion')})"
            os_arch = f"{details.get('Os')}/{details.get('Arch')}"
            rows = (("API version", api), ("Kernel version", details.get("KernelVersion")), ("OS/Arch", os_arch))
            lines += [f"  {key + ':':<17} {value}" for key, value in rows if value]
        elif details.get("GitCommit"):
            lines.append(f"  {'GitCommit:':<17} {details['GitCommit']}")
    return "\n".join(lines)
