"""What the data root has of layers and images when the store opens. What can't be used is logged and left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from vmagent.durable import sweep
from vmagent.images import config as image_config
from vmagent.images import records
from vmagent.images.config import Config
from vmagent.images.faults import ImageFault
from vmagent.images.layer import Layer, hex_of
from vmagent.images.records import ImageRecord
from vmagent.paths import DataRoot

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Content:
    """Layers by diff_id; images, and their configs, by id."""

    layers: dict[str, Layer] = field(default_factory=dict)
    images: dict[str, ImageRecord] = field(default_factory=dict)
    configs: dict[str, Config] = field(default_factory=dict)


def read_content(root: DataRoot) -> Content:
    """Blocks. Raises OSError, ValueError (a newer schema)."""
    found = Content()
    for folder in root.layers.iterdir():
        try:
            sweep(folder)
            layer = Layer.read(folder)
        except (OSError, ValueError) as e:
            log.error("layer.unreadable", layer=folder.name, error=str(e))
            continue
        found.layers[layer.diff_id] = layer
    images, problems = records.read_images(root)
    for problem in problems:
        log.error("image.unreadable", error=problem)
    for record in images:
        try:
            config = image_config.parse((root.blobs / hex_of(record.id)).read_bytes())
        except (OSError, ImageFault) as e:
            log.error("image.unreadable", image=record.id, error=str(e))
            continue
        if missing := [diff_id for diff_id in record.layers if diff_id not in found.layers]:
            log.error("image.incomplete", image=record.id, layers=missing)
            continue
        found.images[record.id] = record
        found.configs[record.id] = config
    return found
