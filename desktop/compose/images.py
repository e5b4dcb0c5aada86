"""Images of a project: pulled, pushed, or built by the engine from a service's `build`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop.client import buildcontext, buildsecrets, logins, reference
from desktop.client.buildcontext import ContextUnusable
from desktop.client.buildsecrets import SecretsUnusable
from desktop.client.engine import EngineClient, PullStream, StreamFailed
from desktop.compose.buildorder import context_services
from desktop.compose.errors import ComposeError
from desktop.compose.rehearsal import Rehearsal
from desktop.compose.shapes.scalars import is_remote

if TYPE_CHECKING:
    from desktop.compose.model.build import Build
    from desktop.compose.model.service import Service
    from desktop.compose.project import Project


class EngineImages:
    """Pulls, pushes and builds with `client`, for services of `project`.

    `report` gets what becomes of each image, `say` the lines of a build.
    """

    def __init__(
        self,
        client: EngineClient,
        project: Project,
        report: Callable[[str, str], None],
        say: Callable[[str], None],
        *,
        arguments: Mapping[str, str | None] | None = None,
        no_cache: bool = False,
        pull: bool = False,
        quiet_pull: bool = False,
    ) -> None:
        self._client, self._project = client, project
        self._report = report
        self._say = say
        self._arguments = arguments or {}
        self._no_cache = no_cache
        self._pull = pull
        self._quiet_pull = quiet_pull

    def pull(self, service: Service, image: str) -> None:
        """Raises ComposeError, ApiError."""
        if not self._quiet_pull:
            self._report(f"Image {image}", "Pulling")
        if not self._is_rehearsed(image):
            self._read(service, image, lambda: self._client.pull(image, platform=service.platform or None))
        if not self._quiet_pull:
            self._report(f"Image {image}", "Pulled")

    def push(self, service: Service, image: str) -> None:
        """Raises ComposeError, ApiError."""
        self._report(f"Image {image}", "Pushing")
        if not self._is_rehearsed(image):
            self._read(service, image, lambda: self._client.push(reference.parse(image)))
        self._report(f"Image {image}", "Pushed")

    def _read(self, service: Service, image: str, stream: Callable[[], PullStream]) -> None:
        try:
            with stream() as lines:
                for _ in lines:
                    pass
        except StreamFailed as e:
            raise ComposeError(f"service {service.name!r}: {image}: {e}") from e

    def _is_rehearsed(self, image: str) -> bool:
        """In a dry run the image counts as made."""
        if not isinstance(self._client, Rehearsal):
            return False
        self._client.make_image(image)
        return True

    def build(self, service: Service, image: str) -> None:
        """Raises ComposeError with the step that failed, ApiError."""
        try:
            self._build(service, image)
        except (ContextUnusable, SecretsUnusable) as e:
            raise ComposeError(f"service {service.name!r}: {e}") from e

    def _build(self, service: Service, image: str) -> None:
        build = service.build
        assert build is not None
        folder = _local_context(service, build)
        extra: Mapping[str, bytes]
        if build.dockerfile_inline:
            name, _, extra = buildcontext.added(folder, build.dockerfile_inline.encode())
        else:
            name, _, extra = buildcontext.find_dockerfile(folder, str(folder / (build.dockerfile or "Dockerfile")))
        self._report(f"Image {image}", "Building")
        if self._is_rehearsed(image):
            self._report(f"Image {image}", "Built")
            return
        sources, folders = buildcontext.named(self._contexts(service, build))
        if sources and not self._client.is_cove():
            raise ContextUnusable("only Cove's engine takes additional_contexts from here")
        secrets = buildsecrets.headers(self._client, self._secrets(service, build))
        lines = self._client.stream(
            "POST",
            "/build",
            {
                **self._query(service, build, image),
                "dockerfile": name,
                "contexts": json.dumps(sources) if sources else None,
            },
            data=buildcontext.of_folder(folder, extra, folders),
            headers={"Content-Type": "application/x-tar", **logins.headers_of_build(), **secrets},
        )
        step = ""
        try:
            for line in lines:
                for text in str(line.get("stream") or "").splitlines():
                    if text.startswith("Step "):
                        step = text
                    if text.strip() and not text.startswith(" --->"):
                        self._say(f"[{service.name}] {text}")
        except StreamFailed as e:
            raise ComposeError(f"service {service.name!r}: the build failed{f' at {step}' if step else ''}: {e}") from e
        self._report(f"Image {image}", "Built")

    def _contexts(self, service: Service, build: Build) -> dict[str, str]:
        """`build.additional_contexts`; a service's is its image. Raises ComposeError."""
        found = dict(build.additional_contexts)
        for name, other in context_services(service).items():
            found[name] = f"docker-image://{self._project.image_of(self._project.every[other])}"
        return found

    def _secrets(self, service: Service, build: Build) -> Mapping[str, bytes]:
        """What `build.secrets` names, by the id that the Dockerfile knows. Raises ComposeError."""
        found = {}
        for one in build.secrets:
            item = self._project.file_object("secrets", one.source)
            if not item.file and not item.environment:
                raise ComposeError(
                    f"service {service.name!r}: build.secrets only supports environment or file-based secrets: "
                    f"{one.source!r}"
                )
            found[one.target or one.source] = self._project.content("secrets", one.source)
        return found

    def _query(self, service: Service, build: Build, image: str) -> dict[str, Any]:
        limits = [
            {"Name": name, "Soft": one.soft or one.single, "Hard": one.hard or one.single}
            for name, one in build.ulimits.items()
        ]
        platform = service.platform or (build.platforms[0] if len(build.platforms) == 1 else None)
        return {
            "t": [image, *build.tags],
            "rm": True,
            "target": build.target or None,
            "nocache": build.no_cache or self._no_cache or None,
            "pull": True if build.pull or self._pull else None,
            "platform": platform,
            "networkmode": build.network or None,
            "extrahosts": [f"{host}:{one}" for host, every in build.extra_hosts.items() for one in every],
            "shmsize": build.shm_size or None,
            "buildargs": json.dumps({**build.args, **self._arguments}),
            "labels": json.dumps(dict(build.labels)),
            "cachefrom": json.dumps(list(build.cache_from)) if build.cache_from else None,
            "ulimits": json.dumps(limits) if limits else None,
        }


def _local_context(service: Service, build: Build) -> Path:
    """The folder to build from. Raises ComposeError for what the classic build request cannot carry."""
    keys = ("ssh", "cache_to", "entitlements", "privileged")
    refused = [key for key in keys if getattr(build, key)]
    if len(build.platforms) > 1:
        refused.append("platforms (several)")
    if is_remote(build.context):
        refused.append("context (an address)")
    if refused:
        raise ComposeError(
            f"service {service.name!r}: cove compose does not build with {', '.join(refused)} yet; "
            "`docker compose build` does, on this engine"
        )
    folder = Path(build.context)
    if not folder.is_dir():
        raise ComposeError(f"service {service.name!r}: the build context {folder} is no folder")
    return folder
