"""Manifest lists that are being made: docker's own files below its folder, so that its client goes on with them.

`manifests/LIST/IMAGE`, where `:` is `-` and `/` is `_`; each file is one JSON object: `Ref`, `Descriptor` (an OCI
descriptor with the platform), `Raw` (the manifest's bytes in base64), and the manifest under the name of its kind.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.client.registry import LIST_TYPES, MANIFEST_TYPES

_OCI, _DOCKER = MANIFEST_TYPES
_KINDS = {_OCI: "OCIManifest", _DOCKER: "SchemaV2Manifest"}


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a list. `reference`: in full."""

    reference: str
    media_type: str
    digest: str
    platform: Mapping[str, Any]
    data: bytes

    def descriptor(self) -> dict[str, Any]:
        """As a list has it."""
        return {
            "mediaType": self.media_type,
            "size": len(self.data),
            "digest": self.digest,
            "platform": dict(self.platform),
        }

    def to_json(self) -> dict[str, Any]:
        named = {"Ref": self.reference, "Descriptor": self.descriptor(), "Raw": base64.b64encode(self.data).decode()}
        return {**named, _KINDS.get(self.media_type, _KINDS[_DOCKER]): json.loads(self.data)}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> ListedImage:
        """Raises KeyError, ValueError, TypeError."""
        found = read["Descriptor"]
        platform = found.get("platform") or {}
        return cls(read["Ref"], found["mediaType"], found["digest"], platform, base64.b64decode(read["Raw"]))


class ManifestLists:
    """The lists in docker's folder."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        folder = environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
        self._folder = os.path.join(folder, "manifests")

    def images(self, name: str) -> list[ListedImage]:
        """The images of list `name`, a full reference; empty if there is no such list. Raises OSError, ValueError."""
        try:
            files = sorted(os.listdir(self._path(name)))
        except FileNotFoundError:
            return []
        found = []
        for file in files:
            with open(os.path.join(self._path(name), file), "rb") as opened:
                try:
                    found.append(ListedImage.from_json(json.load(opened)))
                except (KeyError, TypeError, ValueError) as e:
                    raise ValueError(f"{self._path(name)}/{file} is no image of a manifest list: {e}") from e
        return found

    def save(self, name: str, image: ListedImage) -> None:
        """Raises OSError."""
        os.makedirs(self._path(name), exist_ok=True)
        temporary = os.path.join(self._folder, f".{os.getpid()}")  # each file in the list's own folder is an image
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(image.to_json(), file)
            os.replace(temporary, os.path.join(self._path(name), _file_name(image.reference)))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def remove(self, name: str) -> None:
        """Raises OSError."""
        shutil.rmtree(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, _file_name(name))


def _file_name(reference: str) -> str:
    return reference.replace(":", "-").replace("/", "_")


def document(descriptors: list[dict[str, Any]]) -> tuple[str, bytes]:
    """A list of these, as docker writes it: its media type and its bytes."""
    is_oci = bool(descriptors) and descriptors[0]["mediaType"] == _OCI
    media_type = LIST_TYPES[0] if is_oci else LIST_TYPES[1]
    content = {"schemaVersion": 2, "mediaType": media_type, "manifests": descriptors}
    return media_type, json.dumps(content, indent=3).encode()
