"""The build checks of a Dockerfile without a build (`docker build --check`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from vmagent.builder.contexts import read_ignore_file
from vmagent.builder.request import BuildRequest, ImageContext
from vmagent.dockerfile import expand, lint, stages
from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.ignore import compile_ignore, ignore_file_names
from vmagent.dockerfile.tree import Dockerfile
from vmagent.images.platforms import Platform

Describe = Callable[[str, Platform], Awaitable[Mapping[str, Any]]]  # from an image's name to its config


async def checked(
    request: BuildRequest, dockerfile: Dockerfile, platform: Platform, describe: Describe
) -> lint.Checked:
    """What the checks find in the stages that the target needs; with the fault that a build would end with.

    `describe` is asked for the base images. Raises EngineError.
    """
    given = request.build_args
    predefined = expand.predefined_arguments(str(Platform.host()), str(platform), request.target, given)
    try:
        options = lint.check_options(dockerfile, given)
        build = expand.global_scope(dockerfile, given, predefined)
        found = stages.bases(dockerfile, build, request.contexts)
        target = stages.target_stage(dockerfile, request.target)
        needed = stages.needed_stages(dockerfile, found, target, request.contexts)
    except DockerfileError as e:
        return lint.Checked((), e)
    images: dict[int, lint.BaseImage] = {}
    for index in sorted(needed):
        base = found[index]
        named = request.contexts.get(base.name)
        if base.stage is not None or base.name == "scratch" or (named and not isinstance(named, ImageContext)):
            continue
        name = named.reference if isinstance(named, ImageContext) else base.name
        config = await describe(name, Platform.parse(base.platform) if base.platform else platform)
        inner = config.get("config") or {}
        env = dict(entry.partition("=")[::2] for entry in inner.get("Env") or ())
        images[index] = lint.BaseImage(env, bool(inner.get("Shell")), str(Platform.from_json(dict(config))))
    ignored = await read_ignore_file(request.context, ignore_file_names(request.dockerfile_name))
    what = lint.CheckInput(
        dockerfile=dockerfile,
        given=given,
        predefined=predefined,
        images=images,
        stages=needed,
        ignore=compile_ignore(ignored) if ignored else None,
        target_platform=str(platform),
    )
    return lint.check(what, options)
