"""Questions about a Dockerfile that a client asks in place of a build (`docker build --call`, `--check`, `--print`).

The frontend's option `requestid` has the question; the reply is the metadata of a result without content
(frontend/subrequests of BuildKit). `result.json` is for programs, `result.txt` what buildx shows if it does not know
the question.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from vmagent.builder.request import BuildRequest
from vmagent.dockerfile import rules
from vmagent.dockerfile.errors import Lines
from vmagent.dockerfile.expand import predefined_arguments
from vmagent.dockerfile.lint import Checked
from vmagent.dockerfile.outline import OutlineMount, outline, targets
from vmagent.dockerfile.parser import parse
from vmagent.images.platforms import Platform

DESCRIBE, OUTLINE, TARGETS, LINT = (
    "frontend.subrequests.describe", "frontend.outline", "frontend.targets", "frontend.lint",
)  # fmt: skip
_DESCRIPTIONS = {
    OUTLINE: "List all parameters current build target supports",
    TARGETS: "List all targets current build supports",
    LINT: "Lint a Dockerfile",
    DESCRIBE: "List available subrequest types",
}
_VERSION = "1.0.0"
Metadata = dict[str, bytes]


def describe() -> Metadata:
    """The questions that have an answer."""
    entries = [
        {
            "name": name,
            "version": _VERSION,
            "type": "rpc",
            "description": description,
            "opts": [{"name": "target", "description": "Target build stage"}] if name == OUTLINE else [],
            "inputs": None,
            "metadata": [{"name": "result.json", "description": ""}, {"name": "result.txt", "description": ""}],
            "refs": None,
        }
        for name, description in _DESCRIPTIONS.items()
    ]
    rows = [("NAME", "VERSION", "DESCRIPTION")]
    rows += [(name.removeprefix("frontend."), _VERSION, description) for name, description in _DESCRIPTIONS.items()]
    return _reply(entries, _table(rows))


def outlined(request: BuildRequest) -> Metadata:
    """The parameters of the request's target. Raises DockerfileError."""
    host = Platform.host()
    platform = request.platforms[0] if request.platforms else str(host)
    predefined = predefined_arguments(str(host), platform, request.target, request.build_args)
    found = outline(parse(request.dockerfile), request.target, request.build_args, predefined, request.contexts)
    arguments = [
        _without_empty(name=one.name, description=one.description, value=one.value, location=_location(one.lines))
        for one in found.arguments
    ]
    document = _without_empty(
        name=found.name,
        description=found.description,
        args=arguments,
        secrets=_mounts(found.secrets),
        ssh=_mounts(found.ssh),
        sources=[_text(request)],
    )
    parts = list[list[tuple[str, ...]]]()
    if found.name or found.description:
        parts.append([("TARGET:", found.name or "(default)")])
        parts[-1] += [("DESCRIPTION:", found.description)] if found.description else []
    if found.arguments:
        rows = [(one.name, one.value, one.description) for one in found.arguments]
        parts.append([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows])
    for title, mounts in (("SECRET", found.secrets), ("SSH", found.ssh)):
        if mounts:
            parts.append([(title, "REQUIRED"), *((one.name, "true" if one.required else "") for one in mounts)])
    return _reply(document, "\n".join(_table(rows) for rows in parts))


def listed_targets(request: BuildRequest) -> Metadata:
    """The Dockerfile's stages. Raises DockerfileError."""
    found = targets(parse(request.dockerfile))
    document = {
        "targets": [
            _without_empty(
                name=one.name,
                default=one.is_default,
                description=one.description,
                base=one.base,
                platform=one.platform,
                location=_location(one.lines),
            )
            for one in found
        ],
        "sources": [_text(request)],
    }
    rows = [("TARGET", "DESCRIPTION")]
    for one in found:
        mark = " (default)" if one.name else "(default)"
        rows.append((one.name + (mark if one.is_default else ""), one.description))
    return _reply(document, _table(rows))


def linted(request: BuildRequest, found: Checked) -> Metadata:
    """What the build checks have found."""
    document: dict[str, Any] = {
        "warnings": [
            _without_empty(
                ruleName=one.rule.name,
                description=one.rule.description,
                url=one.rule.url,
                detail=one.message,
                location=_location(one.lines),
            )
            for one in found.findings
        ],
        "sources": [{"filename": request.dockerfile_name, "data": _text(request), "language": "Dockerfile"}],
    }
    if found.error is not None:
        where = {"location": _location(found.error.lines)} if found.error.lines else {}
        document["buildError"] = {"message": str(found.error), **where}
    source = request.dockerfile.decode("utf-8", "replace")
    metadata = _reply(document, rules.report(found.findings, source, request.dockerfile_name, found.error))
    return metadata | {"result.statuscode": b"1" if found.findings or found.error else b"0"}


def _reply(document: object, text: str) -> Metadata:
    shown = json.dumps(document, indent=2).encode()
    return {"result.json": shown, "result.txt": text.encode(), "version": _VERSION.encode()}


def _text(request: BuildRequest) -> str:
    return base64.b64encode(request.dockerfile).decode()


def _location(lines: Lines) -> dict[str, Any]:
    return {"ranges": [{"start": {"line": lines.first}, "end": {"line": lines.last}}]}


def _mounts(mounts: Iterable[OutlineMount]) -> list[dict[str, Any]]:
    return [_without_empty(name=one.name, required=one.required, location=_location(one.lines)) for one in mounts]


def _without_empty(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell and three spaces."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)
