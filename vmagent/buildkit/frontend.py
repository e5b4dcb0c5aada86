"""The frontend `dockerfile.v0`: a client's options for a build, as a request to the builder.

The options are those that BuildKit's own frontend reads (frontend/dockerui/config.go); buildx makes them of its flags.
`gateway.v0`, which would run a frontend's image, is served for images of `docker/dockerfile` by this same frontend.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vmagent.builder.request import InvalidBuild, Ulimit
from vmagent.errors import BadRequest
from vmagent.images.reference import DEFAULT_DOMAIN, Reference

DOCKERFILE, GATEWAY = "dockerfile.v0", "gateway.v0"
OWN_FRONTENDS = ("docker/dockerfile", "docker/dockerfile-upstream")  # on the Hub

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))


def check_frontend(frontend: str, options: Mapping[str, str]) -> None:
    """Raises InvalidBuild where another program than the Dockerfile frontend would be needed."""
    if frontend == DOCKERFILE:
        return
    source = options.get("source", "")
    if frontend == GATEWAY and is_own(source):
        return
    if frontend == GATEWAY:
        raise InvalidBuild(f"frontend {source or 'without a source'} is not supported: this engine builds Dockerfiles")
    raise InvalidBuild(f"invalid frontend: {frontend or 'none: definitions of LLB are not supported'}")


def check_options(options: Mapping[str, str]) -> None:
    """Raises InvalidBuild for what a client asks for and would not get."""
    for kind, value in prefixed(options, "attest:").items():
        if "disabled=true" in value.split(","):
            continue
        if kind == "sbom":
            wants_sbom(options)
        elif kind == "provenance":
            provenance(options)
        else:
            raise InvalidBuild(f"attestations of type {kind} are not supported by this engine")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What `attest:provenance` asks for: docs/attestations/slsa-provenance.md of BuildKit."""

    version: str  # of SLSA
    is_max: bool
    builder_id: str
    is_reproducible: bool


def provenance(options: Mapping[str, str]) -> Provenance | None:
    """None if nothing is asked for that an image keeps. Raises InvalidBuild."""
    text = options.get("attest:provenance")
    if text is None:
        return None
    given = _pairs(text)
    # buildx adds a provenance by itself that is only for its own metadata file.
    if given.get("disabled") == "true" or given.get("inline-only") == "true":
        return None
    mode = given.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidBuild(f"invalid provenance mode {mode!r}: min and max are known")
    if (version := given.get("version", "v0.2")) not in ("v0.2", "v1"):
        raise InvalidBuild(f"invalid SLSA version {version!r} of the provenance: v0.2 and v1 are known")
    return Provenance(version, mode == "max", given.get("builder-id", ""), is_true(given.get("reproducible", "")))


def wants_sbom(options: Mapping[str, str]) -> bool:
    """Whether `attest:sbom` asks for a list of packages. Raises InvalidBuild for one by another scanner than ours."""
    text = options.get("attest:sbom")
    if text is None:
        return False
    given = _pairs(text)
    if given.get("disabled") == "true":
        return False
    if generator := given.get("generator", ""):
        raise InvalidBuild(
            f"the SBOM generator {generator} is an image, which this engine does not run: leave out the generator, and"
            " the engine lists the packages of dpkg, apk and Python itself"
        )
    return True


def is_own(image: str) -> bool:
    """Whether `image`, of `# syntax=` or `source`, is the frontend that this engine has built in."""
    try:
        reference = Reference.parse(image)
    except BadRequest:
        return False
    return reference.domain == DEFAULT_DOMAIN and reference.path in OWN_FRONTENDS


def prefixed(options: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The options whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)}


def platforms(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(one for one in options.get("platform", "").split(",") if one)


def no_cache(options: Mapping[str, str]) -> tuple[bool, tuple[str, ...]]:
    """Whether no step may use the cache, and the stages whose steps may not."""
    value = options.get("no-cache")
    if value is None:
        return False, ()
    stages = tuple(stage.strip() for stage in value.split(",") if stage.strip())
    return not stages, stages


def extra_hosts(options: Mapping[str, str]) -> tuple[str, ...]:
    """`add-hosts`: CSV of NAME=ADDRESS. Raises InvalidBuild."""
    made = []
    for field in _fields(options.get("add-hosts", "")):
        name, equals, address = field.partition("=")
        if not equals or not name or not address:
            raise InvalidBuild(f"failed to parse additional hosts: invalid key-value pair {field!r}")
        made.append(f"{name}:{address}")
    return tuple(made)


def ulimits(options: Mapping[str, str]) -> tuple[Ulimit, ...]:
    """`ulimit`: CSV of NAME=SOFT[:HARD]. Raises InvalidBuild."""
    made = []
    for field in _fields(options.get("ulimit", "")):
        match = re.fullmatch(r"(\w+)=(-?\d+)(?::(-?\d+))?", field)
        if match is None:
            raise InvalidBuild(f"failed to parse ulimit: {field!r}")
        name, soft, hard = match.groups()
        made.append(Ulimit(name, int(soft), int(hard if hard is not None else soft)))
    return tuple(made)


def shm_size(options: Mapping[str, str]) -> int:
    """In bytes; 0 where the client did not ask. Raises InvalidBuild."""
    text = options.get("shm-size", "") or "0"
    if not text.isdecimal():
        raise InvalidBuild(f"failed to parse shm size: {text!r}")
    return int(text)


def source_date_epoch(build_args: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH among the build arguments, in seconds. Raises InvalidBuild."""
    text = build_args.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if re.fullmatch(r"-?\d{1,18}", text) is None:
        raise InvalidBuild(f"invalid SOURCE_DATE_EPOCH: {text}")
    return int(text)


def is_true(text: str) -> bool:
    """Go's strconv.ParseBool; other words than its own are false."""
    return text in _TRUE


def _fields(text: str) -> Iterable[str]:
    return next(csv.reader([text]), []) if text else []


def _pairs(text: str) -> dict[str, str]:
    """CSV of NAME=VALUE; a name alone has the value ""."""
    return {key: value for key, _, value in (field.partition("=") for field in _fields(text))}
