"""`cove compose` pull, build and push: the services' images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.compose.progress import Progress
from desktop.cli.flags import Flag, Spec, parse
from desktop.compose.images import EngineImages

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

PULL = Spec(
    name="compose pull",
    usage="[OPTIONS] [SERVICE...]",
    summary="Fetch the services' images",
    flags=(
        Flag("ignore-buildable", help="Not those that can be built"),
        Flag("ignore-pull-failures", help="Go on with the others"),
        Flag("include-deps", help="Also those of dependencies"),
        Flag("quiet", "q", help="Without progress"),
    ),
)
BUILD = Spec(
    name="compose build",
    usage="[OPTIONS] [SERVICE...]",
    summary="Build the services' images",
    flags=(
        Flag("build-arg", kind="list", many=True, help="A build argument (key=value)"),
        Flag("no-cache", help="Run all steps"),
        Flag("pull", help="Ask the registry for newer base images"),
        Flag("quiet", "q", help="Without output"),
        Flag("with-dependencies", help="Also those of dependencies"),
    ),
)
PUSH = Spec(
    name="compose push",
    usage="[OPTIONS] [SERVICE...]",
    summary="Send the images that services build to their registries",
    flags=(
        Flag("ignore-push-failures", help="Go on with the others"),
        Flag("include-deps", help="Also those of dependencies"),
        Flag("quiet", "q", help="Without progress"),
    ),
)


def _images_work(
    progress: Progress,
    work: Callable[[Any, str], None],
    names: dict[str, Any],
    *,
    ignore: bool,
    after: Mapping[str, set[str]] | None = None,
) -> None:
    """`after`: the images that have to be there before, by image."""
    from desktop.client.engine import ApiError
    from desktop.compose import order
    from desktop.compose.errors import ComposeError

    def one(image: str) -> None:
        try:
            work(names[image], image)
        except (ApiError, ComposeError) as e:
            if not ignore:
                raise
            progress.warn(f"{image}: {e}")

    order.each(after or {image: () for image in names}, one)


def pull(argv: Sequence[str], call: Call) -> int:
    flags = parse(PULL, argv)
    project = call.project(flags.args, dependencies=flags.on("include-deps"))
    wanted = {
        item.image: item
        for item in project.services.values()
        if item.image and not (item.build is not None and flags.on("ignore-buildable"))
    }
    with call.progress(quiet=flags.on("quiet")) as progress:
        images = EngineImages(call.client(), project, progress, print)
        _images_work(progress, images.pull, wanted, ignore=flags.on("ignore-pull-failures"))
    return 0


def build(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.buildorder import build_order, with_contexts

    flags = parse(BUILD, argv)
    project = call.project(flags.args, dependencies=flags.on("with-dependencies"))
    arguments: dict[str, str | None] = {}
    for text in flags.many("build-arg"):
        key, sign, value = text.partition("=")
        arguments[key] = value if sign else project.environment.get(key)
    wanted = {project.image_of(item): item for item in project.services.values() if item.build is not None}
    if not wanted:
        print("No services to build", file=sys.stderr)
        return 0
    wanted = with_contexts(project, wanted)
    quiet = flags.on("quiet") or call.look.progress == "quiet"
    with call.progress(quiet=quiet) as progress:
        images = EngineImages(
            call.client(), project, progress, lambda line: None if quiet else print(line, flush=True),
            arguments=arguments, no_cache=flags.on("no-cache"), pull=flags.on("pull"),
        )  # fmt: skip
        _images_work(progress, images.build, wanted, ignore=False, after=build_order(project, wanted))
    return 0


def push(argv: Sequence[str], call: Call) -> int:
    flags = parse(PUSH, argv)
    project = call.project(flags.args, dependencies=flags.on("include-deps"))
    wanted: dict[str, Any] = {}
    with call.progress(quiet=flags.on("quiet")) as progress:
        for name, item in project.services.items():
            if item.build is None or not item.image:
                progress(name, "", "Skipped")
                continue
            for image in (item.image, *item.build.tags):
                wanted.setdefault(image, item)
        images = EngineImages(call.client(), project, progress, print)
        _images_work(progress, images.push, wanted, ignore=flags.on("ignore-push-failures"))
    return 0
