"""The order of builds of which one uses the image of another service (`build.additional_contexts`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from desktop.compose.errors import ComposeError

if TYPE_CHECKING:
    from desktop.compose.model.service import Service
    from desktop.compose.project import Project

_SERVICE = "service:"


def context_services(service: Service) -> dict[str, str]:
    """The services whose images are contexts of this one's build, by the context's name."""
    contexts = service.build.additional_contexts if service.build is not None else {}
    return {name: one.removeprefix(_SERVICE) for name, one in contexts.items() if one.startswith(_SERVICE)}


def build_order(project: Project, wanted: Mapping[str, Service]) -> dict[str, set[str]]:
    """The images of `wanted`, each with those that its build uses as contexts. Raises ComposeError if some need each
    other."""
    found: dict[str, set[str]] = {}
    for image, item in wanted.items():
        found[image] = {project.image_of(project.every[other]) for other in context_services(item).values()}
    _check_acyclic(found)
    return found


def _check_acyclic(needed: Mapping[str, set[str]]) -> None:
    left = dict(needed)
    while ready := [name for name, used in left.items() if not used & left.keys()]:
        for name in ready:
            del left[name]
    if left:
        raise ComposeError(f"the builds of {', '.join(left)} need each other's images")


def with_contexts(project: Project, wanted: Mapping[str, Service]) -> dict[str, Service]:
    """`wanted` (services to build by image) with the services that can be built and whose images these builds use."""
    found, queue = dict(wanted), list(wanted.values())
    while queue:
        for other in context_services(queue.pop()).values():
            item = project.every.get(other)
            if item is not None and item.build is not None and project.image_of(item) not in found:
                found[project.image_of(item)] = item
                queue.append(item)
    return found
