"""`cove inspect`: all details of containers, images, networks and volumes, as JSON or by a template."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import FAILURES, Failure, message_of
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent
from desktop.client.api import path_part
from desktop.client.engine import ApiError, EngineClient

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="inspect",
    usage="[OPTIONS] NAME|ID [NAME|ID...]",
    summary="Show all there is to know about containers, images, networks and volumes",
    least=1,
    flags=(
        Flag("format", "f", "string", "A template ({{.State.Status}}) or json"),
        Flag("platform", kind="string", help="An image's, for this platform (linux/arm64)"),
        Flag("size", "s", help="With a container's sizes"),
        Flag("type", kind="string", help="Only this kind: container, image, network, volume"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    client = app.client()
    wanted, platform = flags.text("type"), sent(client, flags.text("platform"), (1, 49))
    if platform is not None and wanted != "image":
        raise Failure("--platform is for images: use it with --type image, or with `image inspect`")
    kinds = _kinds(client, size=flags.on("size"), platform=platform)
    if wanted is not None:
        if wanted not in kinds:
            raise Failure(f'unknown type: "{wanted}": must be one of "container", "image", "network", "volume"')
        kinds = {wanted: kinds[wanted]}
    found, failures = [], []
    for name in flags.args:
        try:
            found.append(_find(kinds, name, wanted))
        except FAILURES as e:
            failures.append(message_of(e) if not isinstance(e, _NoSuch) else str(e))
    template = flags.text("format")
    if template is None:
        print(json.dumps(found, indent=4, ensure_ascii=False))
    else:
        _print_by(template, found)
    sys.stdout.flush()
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


class _NoSuch(ApiError):
    """No object of any kind has this name."""


def _kinds(client: EngineClient, *, size: bool, platform: str | None) -> dict[str, Callable[[str], Any]]:
    return {
        "container": lambda name: client.inspect(name.strip("/"), size=size),
        "image": lambda name: client.image_inspect(name, platform=platform),
        "network": lambda name: client.request("GET", f"/networks/{path_part(name)}"),
        "volume": lambda name: client.request("GET", f"/volumes/{path_part(name)}"),
    }


def _find(kinds: dict[str, Callable[[str], Any]], name: str, wanted: str | None) -> Any:
    for look in kinds.values():
        try:
            return look(name)
        except ApiError as e:
            # The engine replies 400 to a name that is not a valid image reference.
            is_other = "does not provide the specified platform" in str(e)  # the image is there
            if e.status not in (400, 404) or (wanted is not None and e.status != 404) or is_other:
                raise
    raise _NoSuch(404, f"Error: No such {wanted or 'object'}: {name}")


def _print_by(template: str, found: list[Any]) -> None:
    from desktop.cli.template import render

    for value in found:
        print(render(template, value))
    if not found:
        print()
