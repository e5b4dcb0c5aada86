"""Images: pull, push, load, save, lists and tags."""

from __future__ import annotations

from collections.abc import AsyncIterator

from vmagent.api.messages import CREATED, Request, Response, Version, json_response
from vmagent.api.parameters import filters, platform, registry_auth
from vmagent.api.pump import send_progress
from vmagent.api.router import Router
from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest, NotImplementedHere
from vmagent.images import search
from vmagent.images.platforms import Platform

LIST_FILTERS = frozenset(("before", "dangling", "label", "reference", "since", "until"))
PRUNE_FILTERS = frozenset(("dangling", "label", "label!", "until"))
# docker-compose in Python takes the newest version that it is offered, and needs a field that 1.45 has removed to make
# a container anew.
_OLD_COMPOSE = "docker-compose/1."


def add(router: Router, engine: Engine) -> None:
    """Add the endpoints of images."""
    routes = _Images(engine)
    router.add("GET", "/images/json", routes.list)
    router.add("POST", "/images/create", routes.create, streams=True)
    router.add("POST", "/images/load", routes.load, streams=True)
    router.add("GET", "/images/get", routes.save, streams=True)
    router.add("GET", "/images/search", routes.search)
    router.add("POST", "/images/prune", routes.prune)
    router.add("GET", "/images/{name...}/json", routes.inspect)
    router.add("GET", "/images/{name...}/history", routes.history)
    router.add("GET", "/images/{name...}/get", routes.save, streams=True)
    router.add("POST", "/images/{name...}/tag", routes.tag)
    router.add("POST", "/images/{name...}/push", routes.push, streams=True)
    router.add("DELETE", "/images/{name...}", routes.remove)
    router.add("GET", "/distribution/{name...}/json", routes.distribution)


class _Images:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def list(self, request: Request) -> Response:
        query = request.query
        images = await self._engine.images.list(
            filters(query, LIST_FILTERS),
            shared_size=request.version >= Version(1, 42) and query.flag("shared-size"),
            manifests=request.version >= Version(1, 47) and query.flag("manifests"),
        )
        return json_response([_adapted(image, request.version) for image in images])

    async def inspect(self, request: Request) -> Response:
        manifests = request.version >= Version(1, 48) and request.query.flag("manifests")
        wanted = _platform(request, Version(1, 49))
        if manifests and wanted is not None:
            raise BadRequest("conflicting options: manifests and platform options cannot both be set")
        image = await self._engine.images.inspect(request.params["name"], wanted, manifests=manifests)
        if request.version < Version(1, 45) or request.headers.get("user-agent", "").startswith(_OLD_COMPOSE):
            # The container that an image was made of had its configuration; dockerd knows that of few images.
            image = image | {"ContainerConfig": image["Config"]}
        return json_response(_adapted(image, request.version))

    async def history(self, request: Request) -> Response:
        wanted = _platform(request, Version(1, 48))
        return json_response(await self._engine.images.history(request.params["name"], wanted))

    async def create(self, request: Request) -> None:
        """Pull (`fromImage`) or import (`fromSrc`)."""
        query, images = request.query, self._engine.images
        wanted = query.get("platform") if request.version >= Version(1, 32) else ""
        source: AsyncIterator[JsonObject]
        if from_image := query.get("fromImage"):
            source = images.pull(from_image, tag=query.get("tag"), platform=wanted, auth=registry_auth(request))
        elif from_src := query.get("fromSrc"):
            if from_src != "-":
                raise NotImplementedHere("import from a URL is not supported: send the archive as the body")
            source = images.import_(
                aiter(request.body),
                repo=query.get("repo"),
                tag=query.get("tag"),
                changes=query.all("changes"),
                message=query.get("message"),
                platform=wanted,
            )
        else:
            raise BadRequest("either fromImage or fromSrc must be given")
        await send_progress(request, source)

    async def load(self, request: Request) -> None:
        source = self._engine.images.load(
            aiter(request.body), quiet=request.query.flag("quiet", True), platform=_platform(request, Version(1, 48))
        )
        await send_progress(request, source)

    async def save(self, request: Request) -> None:
        refs = [request.params["name"]] if "name" in request.params else request.query.all("names")
        if not refs:
            raise BadRequest("no image was named")
        wanted = _platform(request, Version(1, 48))
        async with self._engine.images.archive(refs, [] if wanted is None else [wanted]) as archive:
            stream = request.exchange.stream(content_type="application/x-tar")
            await stream.lend(archive.write)
            stream.finish()

    async def tag(self, request: Request) -> Response:
        query = request.query
        await self._engine.images.tag(request.params["name"], repo=query.get("repo"), tag=query.get("tag"))
        return CREATED

    async def push(self, request: Request) -> None:
        source = self._engine.images.push(
            request.params["name"],
            tag=request.query.get("tag"),
            platform=_platform(request, Version(1, 46)),
            auth=registry_auth(request),
        )
        await send_progress(request, source)

    async def remove(self, request: Request) -> Response:
        query = request.query
        texts = query.all("platforms") if request.version >= Version(1, 50) else []
        platforms = [wanted for text in texts if (wanted := platform(text)) is not None]
        if query.flag("restorable"):
            if platforms:
                raise BadRequest('"restorable" is for all platforms of an image')
            return json_response(await self._engine.image_bin.remove(request.params["name"], force=query.flag("force")))
        return json_response(
            await self._engine.images.remove(
                request.params["name"],
                force=query.flag("force"),
                noprune=query.flag("noprune"),
                platforms=platforms,
            )
        )

    async def prune(self, request: Request) -> Response:
        return json_response(await self._engine.image_bin.prune(filters(request.query, PRUNE_FILTERS)))

    async def search(self, request: Request) -> Response:
        query = request.query
        limit = query.integer("limit") if query.get("limit") else search.LIMIT
        found = await self._engine.images.search(
            query.get("term") or "", limit or 0, filters(query, search.FILTERS), registry_auth(request)
        )
        return json_response(found)

    async def distribution(self, request: Request) -> Response:
        images = self._engine.images
        return json_response(await images.distribution(request.params["name"], registry_auth(request)))


def _platform(request: Request, since: Version) -> Platform | None:
    """The platform that is asked for, by clients of API versions that have it. Raises BadRequest."""
    return platform(request.query.get("platform")) if request.version >= since else None


def _adapted(image: JsonObject, version: Version) -> JsonObject:
    """Add the fields that API versions before 1.44 had in lists and inspect (the API's change log, 1.43 and 1.44), and
    leave out what came with 1.48."""
    if version < Version(1, 48):
        image = {key: value for key, value in image.items() if key != "Descriptor"}
    if version < Version(1, 44):
        image = image | {"VirtualSize": image.get("Size", 0)}
        if version < Version(1, 43) and not image.get("RepoTags") and not image.get("RepoDigests"):
            if "Parent" in image and "Os" in image:
                return image  # inspect has empty lists
            image |= {"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    return image
