"""`cove images --tree`: each image with the images of its platforms below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from desktop.cli.table import human_size, print_table, short_id

_HEADINGS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")
_UNTAGGED = "<untagged>"


def print_tree(images: Iterable[Mapping[str, Any]]) -> None:
    """Of the Engine API's ImageSummary objects with their manifests. EXTRA has U where a container uses the image."""
    print_table(_HEADINGS, [row for image in images for row in _rows(image)])


def _rows(image: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    children = [one for one in image.get("Manifests") or () if one["Kind"] == "image"]
    content = sum(one["Size"]["Content"] for one in children)
    is_used = image["Containers"] > 0 or any(one["ImageData"]["Containers"] for one in children)
    for name in image.get("RepoTags") or (_UNTAGGED,):
        yield (name, short_id(image["Id"]), human_size(image["Size"]), human_size(content), "U" if is_used else "")
    for number, one in enumerate(children, 1):
        platform = one["ImageData"]["Platform"]
        text = "/".join(filter(None, (platform.get(key) for key in ("os", "architecture", "variant"))))
        yield (
            f"{'└─' if number == len(children) else '├─'} {text}",
            short_id(one["ID"]),
            human_size(one["Size"]["Total"]),
            human_size(one["Size"]["Content"]),
            "U" if one["ImageData"]["Containers"] else "",
        )
