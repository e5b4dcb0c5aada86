"""Provenance of a build: SLSA's predicate v0.2 or v1, with the fields that BuildKit fills.

BuildKit, docs/attestations/slsa-provenance.md and slsa-definitions.md. Mode `min` leaves out build arguments and
labels, which may hold secrets; `max` has them, the Dockerfile, and the steps (llb.py).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from vmagent.builder.result import BuildResult, Material
from vmagent.buildkit import frontend, llb
from vmagent.buildkit.jobs import Job
from vmagent.images.layer import hex_of
from vmagent.images.platforms import Platform
from vmagent.images.reference import Reference
from vmagent.urls import without_credentials

PREDICATE = "https://slsa.dev/provenance/v0.2"
PREDICATE_1 = "https://slsa.dev/provenance/v1"
_BUILD_TYPE_1 = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
_BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
_METADATA = f"{_BUILD_TYPE}#metadata"
# Options that say more of the machine than of the build.
_HOST_OPTIONS = frozenset(("cgroup-parent", "image-resolve-mode", "platform", "cache-imports"))
_PRIVATE = ("build-arg:", "label:")


def predicate(job: Job, result: BuildResult) -> tuple[str, Mapping[str, Any]] | None:
    """The type of the predicate, and what it says of the build; None if nothing is asked for. Raises InvalidBuild."""
    asked = frontend.provenance(job.options)
    if asked is None:
        return None
    made = _predicate(job, asked, result)
    return (PREDICATE, made) if asked.version == "v0.2" else (PREDICATE_1, _as_v1(made))


def _as_v1(made: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same by SLSA v1, with BuildKit's names for what is its own."""
    invocation, metadata = made["invocation"], made["metadata"]
    source = {"path" if key == "entryPoint" else key: value for key, value in invocation["configSource"].items()}
    internal = {"builderPlatform": invocation["environment"]["platform"]}
    if "buildConfig" in made:
        internal["buildConfig"] = made["buildConfig"]
    complete = metadata["completeness"]
    return {
        "buildDefinition": {
            "buildType": _BUILD_TYPE_1,
            "externalParameters": {"configSource": source, "request": invocation["parameters"]},
            "internalParameters": internal,
            "resolvedDependencies": made["materials"],
        },
        "runDetails": {
            "builder": made["builder"],
            "metadata": {
                "invocationID": metadata["buildInvocationID"],
                "startedOn": metadata["buildStartedOn"],
                "finishedOn": metadata["buildFinishedOn"],
                "buildkit_metadata": metadata.get(_METADATA, {}),
                "buildkit_completeness": {
                    "request": complete["parameters"],
                    "resolvedDependencies": complete["materials"],
                },
                "buildkit_reproducible": metadata["reproducible"],
            },
        },
    }


def purl(name: str, platform: str, digest: str = "") -> str:
    """The package URL of an image: purl-spec, type docker."""
    reference = Reference.parse(name)
    version = f"@{reference.tag}" if reference.tag else ""
    query = f"digest={quote(digest, safe=':')}&" if digest and not reference.tag else ""
    return f"pkg:docker/{reference.familiar_name}{version}?{query}platform={quote(platform, safe='')}"


def _predicate(job: Job, asked: frontend.Provenance, result: BuildResult) -> dict[str, Any]:
    options = {
        key: without_credentials(value) if key == "context" or key.startswith("context:") else value
        for key, value in job.options.items()
        if key not in _HOST_OPTIONS and not key.startswith("attest:")
    }
    arguments = options if asked.is_max else {k: v for k, v in options.items() if not k.startswith(_PRIVATE)}
    remote = options.get("context", "")
    materials = _materials(job, result)
    source: dict[str, Any] = {"entryPoint": options.get("filename", "") or "Dockerfile"}
    if remote:
        source["uri"] = remote
        if (fetched := job.contexts.get(job.options["context"])) is not None:
            source["digest"] = dict(fetched.digests)
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
            "materials": bool(remote) and all("digest" in one for one in materials),
        },
        "reproducible": asked.is_reproducible,
    }
    if more := _buildkit_metadata(job, asked, result):
        metadata[_METADATA] = more
    made = {
        "builder": {"id": asked.builder_id},
        "buildType": _BUILD_TYPE,
        "materials": materials,
        "invocation": {
            "configSource": source,
            "parameters": parameters,
            "environment": {"platform": str(Platform.host())},
        },
        "metadata": metadata,
    }
    if asked.is_max:
        made["buildConfig"] = llb.build_config(result.definition)
    return made


def _materials(job: Job, result: BuildResult) -> list[dict[str, Any]]:
    """Images, and what was fetched of repositories and URLs. Folders of the client are none: nobody else has them."""
    fetched = {one.uri: one for one in (*job.contexts.values(), *result.fetched)}
    return [
        *(_material(one) for one in result.materials),
        *({"uri": without_credentials(one.uri), "digest": dict(one.digests)} for one in fetched.values()),
    ]


def _buildkit_metadata(job: Job, asked: frontend.Provenance, result: BuildResult) -> dict[str, Any]:
    more: dict[str, Any] = {}
    vcs = {key: without_credentials(value) for key, value in frontend.prefixed(job.options, "vcs:").items()}
    if vcs:
        more["vcs"] = vcs
    if asked.is_max and (source := job.status.source) is not None:
        data = base64.b64encode(source.data).decode()
        more["source"] = {
            "locations": llb.locations(result.definition),
            "infos": [{"filename": source.filename, "language": source.language, "data": data}],
        }
    return more


def _material(one: Material) -> dict[str, Any]:
    found: dict[str, Any] = {"uri": purl(one.name, one.platform, one.digest)}
    if one.digest:
        found["digest"] = {"sha256": hex_of(one.digest)}
    return found


def _time(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
