"""Provenance of a build: SLSA's predicate v0.2 in an in-toto statement, with the fields that BuildKit fills.

BuildKit, docs/attestations/slsa-provenance.md and slsa-definitions.md. Mode `min` leaves out build arguments and
labels, which may hold secrets; `max` has them, and the Dockerfile. This builder has no LLB, so no `buildConfig`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from vmagent.builder.indexing import Attest
from vmagent.builder.result import BuildResult, BuiltImage, Material
from vmagent.buildkit import frontend
from vmagent.buildkit.jobs import Job
from vmagent.images.layer import hex_of
from vmagent.images.platforms import Platform
from vmagent.images.reference import Reference

PREDICATE = "https://slsa.dev/provenance/v0.2"
_STATEMENT = "https://in-toto.io/Statement/v0.1"
_BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
_METADATA = f"{_BUILD_TYPE}#metadata"
# Options that say more of the machine than of the build.
_HOST_OPTIONS = frozenset(("cgroup-parent", "image-resolve-mode", "platform", "cache-imports"))
_PRIVATE = ("build-arg:", "label:")


def attest(job: Job, names: list[str], result: BuildResult) -> Attest | None:
    """What makes the statement about each image; None if none is asked for. Raises InvalidBuild."""
    asked = frontend.provenance(job.options)
    if asked is None:
        return None
    predicate = _predicate(job, asked, result)

    def statements(image: BuiltImage, manifest: str) -> Mapping[str, bytes]:
        statement = {
            "_type": _STATEMENT,
            "predicateType": PREDICATE,
            "subject": [
                {"name": purl(Reference.parse(name).familiar, image.platform), "digest": {"sha256": hex_of(manifest)}}
                for name in names or ["_"]
            ],
            "predicate": predicate,
        }
        return {PREDICATE: json.dumps(statement, indent=2).encode()}

    return statements


def purl(name: str, platform: str, digest: str = "") -> str:
    """The package URL of an image: purl-spec, type docker."""
    reference = Reference.parse(name)
    version = f"@{reference.tag}" if reference.tag else ""
    query = f"digest={quote(digest, safe=':')}&" if digest and not reference.tag else ""
    return f"pkg:docker/{reference.familiar_name}{version}?{query}platform={quote(platform, safe='')}"


def _predicate(job: Job, asked: frontend.Provenance, result: BuildResult) -> dict[str, Any]:
    options = {
        key: _without_credentials(value) if key == "context" or key.startswith("context:") else value
        for key, value in job.options.items()
        if key not in _HOST_OPTIONS and not key.startswith("attest:")
    }
    arguments = options if asked.is_max else {k: v for k, v in options.items() if not k.startswith(_PRIVATE)}
    remote = options.get("context", "")
    source: dict[str, Any] = {"entryPoint": options.get("filename", "") or "Dockerfile"}
    if remote:
        source["uri"] = remote
    parameters: dict[str, Any] = {"frontend": job.frontend, "args": arguments}
    if not remote:
        parameters["locals"] = [{"name": "context"}, {"name": "dockerfile"}]
    metadata: dict[str, Any] = {
        "buildInvocationID": job.ref,
        "buildStartedOn": _time(job.started_ns),
        "buildFinishedOn": _time(time.time_ns()),
        "completeness": {
            "parameters": arguments == options,
            "environment": True,
            "materials": bool(remote) and all(one.digest for one in result.materials),
        },
        "reproducible": asked.is_reproducible,
    }
    if more := _buildkit_metadata(job, asked):
        metadata[_METADATA] = more
    return {
        "builder": {"id": asked.builder_id},
        "buildType": _BUILD_TYPE,
        "materials": [_material(one) for one in result.materials],
        "invocation": {
            "configSource": source,
            "parameters": parameters,
            "environment": {"platform": str(Platform.host())},
        },
        "metadata": metadata,
    }


def _buildkit_metadata(job: Job, asked: frontend.Provenance) -> dict[str, Any]:
    more: dict[str, Any] = {}
    vcs = {key: _without_credentials(value) for key, value in frontend.prefixed(job.options, "vcs:").items()}
    if vcs:
        more["vcs"] = vcs
    if asked.is_max and (source := job.status.source) is not None:
        data = base64.b64encode(source.data).decode()
        more["source"] = {"infos": [{"filename": source.filename, "language": source.language, "data": data}]}
    return more


def _material(one: Material) -> dict[str, Any]:
    found: dict[str, Any] = {"uri": purl(one.name, one.platform, one.digest)}
    if one.digest:
        found["digest"] = {"sha256": hex_of(one.digest)}
    return found


def _time(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _without_credentials(url: str) -> str:
    """A URL without the password, or token, in it."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="xxxxx:xxxxx@" + parts.netloc.rpartition("@")[2]))
