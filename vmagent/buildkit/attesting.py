"""The statements about a built image that become its attestations: its provenance, and the list of its packages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vmagent.builder.indexing import Attest
from vmagent.builder.packages import Contents
from vmagent.builder.result import BuildResult, BuiltImage
from vmagent.buildkit import provenance, sbom
from vmagent.buildkit.jobs import Job
from vmagent.images.layer import hex_of
from vmagent.images.reference import Reference

_STATEMENT = "https://in-toto.io/Statement/v0.1"


def attest(
    job: Job, names: Sequence[str], result: BuildResult, contents: Mapping[str, Contents] | None
) -> Attest | None:
    """What makes the statements about each image; None if none is asked for. `contents`: the packages of each platform,
    if a list is asked for. Raises InvalidBuild."""
    said = provenance.predicate(job, result)
    if said is None and contents is None:
        return None

    def statements(image: BuiltImage, manifest: str) -> Mapping[str, bytes]:
        subjects = _subjects(names, image, manifest)
        made: dict[str, bytes] = {}
        if contents is not None:
            name = Reference.parse(names[0]).familiar if names else "image"
            document = sbom.document(name, manifest, contents[image.platform])
            made[sbom.PREDICATE] = _statement(subjects, sbom.PREDICATE, document)
        if said is not None:
            made[said[0]] = _statement(subjects, *said)
        return made

    return statements


def _statement(subjects: Sequence[Mapping[str, Any]], kind: str, predicate: Mapping[str, Any]) -> bytes:
    """The in-toto statement with a predicate of type `kind`."""
    whole = {"_type": _STATEMENT, "predicateType": kind, "subject": [*subjects], "predicate": predicate}
    return json.dumps(whole, indent=2).encode()


def _subjects(names: Sequence[str], image: BuiltImage, manifest: str) -> Sequence[Mapping[str, Any]]:
    """The image's manifest under each of its names."""
    return [
        {
            "name": provenance.purl(Reference.parse(name).familiar, image.platform),
            "digest": {"sha256": hex_of(manifest)},
        }
        for name in names or ["_"]
    ]
