"""Builds: the classic wire, and the build cache."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmagent.api.buildkit import BuildKitWire
from vmagent.api.messages import EMPTY_OK, JSON, NO_CONTENT, Query, Request, Response, dump_json, is_true, json_response
from vmagent.api.parameters import filters
from vmagent.api.pump import send_progress, send_progress_lists
from vmagent.api.router import Router
from vmagent.builder.builder import Builder
from vmagent.builder.cache import PruneFilters, age_ns
from vmagent.builder.classic import OUTPUTS, Line, run
from vmagent.builder.contexts import SpooledContext, UploadPart
from vmagent.builder.remotes import RemoteContext, Remotes, is_remote
from vmagent.builder.request import (
    BuildRequest,
    CacheExport,
    Context,
    ImageContext,
    InvalidBuild,
    Limits,
    NamedContext,
    RegistryCache,
    Ulimit,
)
from vmagent.containers.model import now_ns
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest
from vmagent.images.reference import Reference, registry_of

if TYPE_CHECKING:
    from vmagent.dockerfile.lint import Checked

_DOCKERFILE_BYTES = 1 << 20
_EPOCH = re.compile("[0-9]{1,11}")  # of times that datetime can hold
_UPLOAD, _IMAGE, _MAIN = "upload:", "docker-image://", "main"  # of named contexts; a part of the body
_PART = re.compile("[0-9]{1,6}")
_FLAGS = frozenset(("inuse", "shared", "private"))
_FIELDS = frozenset(("parent", "type", "description")) | _FLAGS
PRUNE_FILTERS = frozenset(("until", "unused-for", "id")) | _FIELDS


def add(router: Router, engine: Engine, wire: BuildKitWire) -> None:
    """Add the endpoints of builds."""
    routes = _Builds(engine, wire)
    router.add("POST", "/build", routes.build, streams=True)
    router.add("POST", "/build/cancel", routes.cancel)
    router.add("POST", "/build/prune", routes.prune)
    router.add("GET", "/cove/v1/builds", routes.list)
    router.add("GET", "/cove/v1/builds/events", routes.follow, endless=True, passive=True)
    router.add("GET", "/cove/v1/builds/{id}", routes.one)
    router.add("DELETE", "/cove/v1/builds/{id}", routes.delete)
    router.add("GET", "/cove/v1/builds/{id}/log", routes.log, streams=True)
    router.add("POST", "/cove/v1/builds/{id}/cancel", routes.end)


class _Builds:
    def __init__(self, engine: Engine, wire: BuildKitWire) -> None:
        self._engine, self._wire = engine, wire

    @property
    def _builder(self) -> Builder:
        return self._engine.builder

    async def build(self, request: Request) -> None:
        """ImageBuild."""
        query = request.query
        if query.get("version") not in ("", "1"):
            return await self._buildkit(request)
        if query.flag("squash"):
            raise BadRequest("squash is only supported with experimental mode")
        credentials, given = _Credentials(request), _GivenSecrets(request)
        async with aclosing(self._lines(query, credentials, given, aiter(request.body))) as lines:
            await send_progress_lists(request, lines)

    async def _buildkit(self, request: Request) -> None:
        """ImageBuild, version 2: the client's files come by its session."""
        query = request.query
        if not query.get("session"):
            raise BadRequest("a build of version 2 needs a session")
        if query.get("outputs") not in ("", "null", "[]", '[{"Type":"moby","Attrs":{}}]'):
            raise BadRequest("outputs are supported with buildx only")
        served = await self._wire.get()
        names = {"name": ",".join(query.all("t"))}
        reference = query.get("buildid") or secrets.token_hex(16)
        options = frontend_options(query)
        if query.get("remote") not in ("", "client-session"):
            options["context"] = query.get("remote")
        async with aclosing(served.build(reference, query.get("session"), options, names)) as lines:
            await send_progress(request, _only_id(lines) if query.flag("q") else lines)

    async def cancel(self, request: Request) -> Response:
        """BuildCancel: of a build of version 2. One that has ended is no error."""
        if not request.query.get("id"):
            raise BadRequest("build ID not provided")
        await self._wire.cancel(request.query.get("id"))
        return EMPTY_OK

    async def _lines(
        self, query: Query, credentials: _Credentials, given: _GivenSecrets, chunks: AsyncIterator[bytes]
    ) -> AsyncGenerator[list[Line], None]:
        asked = build_request(query)
        async with self._contexts(query, chunks, asked.dockerfile_name) as (context, named):
            if isinstance(context, RemoteContext):
                asked = replace(asked, dockerfile_name=await context.dockerfile_name(asked.dockerfile_name))
            dockerfile = await _dockerfile(context, asked.dockerfile_name)
            whole = replace(
                asked,
                dockerfile=dockerfile,
                context=context,
                contexts=named,
                credentials=credentials,
                secrets=given,
            )
            if query.flag("check"):
                yield check_lines(whole, await self._builder.check(whole))
                return
            names = query.all("t")
            recorder = (await self._wire.get()).record(frontend_options(query), names, dockerfile)
            source = run(
                self._builder,
                whole,
                names,
                quiet=query.flag("q"),
                cache_to=cache_exports(query),
                recorder=recorder,
                output=output_of(query),
            )
            async with aclosing(source) as lines:
                async for line in lines:
                    yield line

    @asynccontextmanager
    async def _contexts(
        self, query: Query, chunks: AsyncIterator[bytes], dockerfile: str
    ) -> AsyncIterator[tuple[Context, dict[str, NamedContext]]]:
        """The main context: what the body holds, of which `dockerfile` will be read, or what the engine fetches for
        `remote`; and the named ones. Raises EngineError."""
        sources = named_sources(query)
        remote = query.get("remote")
        if remote and not is_remote(remote):
            raise BadRequest(f"remote is neither a URL nor a git repository: {remote}")
        has_parts = any(source.startswith(_UPLOAD) for source in sources.values())
        async with AsyncExitStack() as stack:
            upload: SpooledContext | None = None
            if not remote or has_parts:
                read = f"{_MAIN}/{dockerfile}" if has_parts else dockerfile
                upload = await stack.enter_async_context(self._builder.spooled(chunks, lambda _: None, read))
            remotes: Remotes | None = None
            made: dict[str, NamedContext] = {}
            main: Context | None = UploadPart(upload, _MAIN) if upload is not None and has_parts else upload
            for name, source in {"": remote, **sources}.items():
                if upload is not None and source.startswith(_UPLOAD):
                    made[name] = UploadPart(upload, source.removeprefix(_UPLOAD))
                elif source.startswith(_IMAGE):
                    made[name] = ImageContext(source.removeprefix(_IMAGE))
                elif source:
                    if remotes is None:
                        remotes = await stack.enter_async_context(self._builder.remotes(None, None))
                    fetched = self._builder.remote_context(remotes, source)
                    stack.push_async_callback(fetched.close)
                    made[name] = fetched
                    main = made.pop("", main) if not name else main  # type: ignore[assignment]  # a RemoteContext
            assert main is not None
            yield main, made

    async def list(self, _: Request) -> Response:
        """All builds that are known."""
        return json_response((await self._wire.get()).builds.list())

    async def follow(self, request: Request) -> None:
        """A JSON line for each build, then for each change, until the client leaves."""
        await _send(request, (await self._wire.get()).builds.follow())

    async def one(self, request: Request) -> Response:
        """One build, and where it failed."""
        return json_response((await self._wire.get()).builds.one(request.params["id"]))

    async def log(self, request: Request) -> None:
        """The reports of a build as JSON lines, until it ends."""
        builds = (await self._wire.get()).builds
        builds.one(request.params["id"])  # NotFound is the reply
        await _send(request, builds.log(request.params["id"]))

    async def delete(self, request: Request) -> Response:
        await (await self._wire.get()).builds.delete(request.params["id"])
        return NO_CONTENT

    async def end(self, request: Request) -> Response:
        """Cancel a build that runs."""
        (await self._wire.get()).builds.cancel(request.params["id"])
        return NO_CONTENT

    async def prune(self, request: Request) -> Response:
        """BuildPrune."""
        return json_response(await self._builder.prune(prune_filters(request.query)))


async def _send(request: Request, lines: AsyncIterator[dict[str, Any]]) -> None:
    """JSON lines as they come; the head of the reply at once."""
    stream = request.exchange.stream(content_type=JSON)
    async for line in lines:
        await stream.write(dump_json(line))
    stream.finish()


def check_lines(request: BuildRequest, found: Checked) -> list[Line]:
    """The lines of a check, which `cove build --check` asks for: the report, and how many findings it has."""
    source = request.dockerfile.decode("utf-8", "replace")
    from vmagent.dockerfile.rules import report

    text = report(found.findings, source, request.dockerfile_name, found.error)
    return [{"stream": text}, {"aux": {"Findings": len(found.findings), "Failed": found.error is not None}}]


async def _only_id(lines: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """What is left of a build's lines with `--quiet`: the last one's image id, as text."""
    async for line in lines:
        if isinstance(line["aux"], dict):
            yield {"stream": f"{line['aux']['ID']}\n"}


async def _dockerfile(context: Context, name: str) -> bytes:
    found = await context.read(name, _DOCKERFILE_BYTES)
    if found is None:
        raise InvalidBuild(f"Cannot locate specified Dockerfile: {name}")
    return found


def build_request(query: Query) -> BuildRequest:
    """The request that ImageBuild's query describes, without its files. Raises BadRequest."""
    if query.all("securityopt"):
        raise BadRequest("The daemon on this platform does not support setting security options on build")
    arguments = _strings(query, "buildargs")
    epoch = arguments.get("SOURCE_DATE_EPOCH", "")
    if epoch and _EPOCH.fullmatch(epoch) is None:
        raise BadRequest(f"invalid SOURCE_DATE_EPOCH: {epoch}")
    hosts = query.all("extrahosts")
    if len(hosts) == 1 and hosts[0].startswith("["):
        hosts = _json(query, "extrahosts", list)
        _check("extrahosts", all(isinstance(host, str) for host in hosts))
    return BuildRequest(
        dockerfile=b"",
        dockerfile_name=query.get("dockerfile") or "Dockerfile",
        target=query.get("target"),
        build_args=arguments,
        labels=_strings(query, "labels"),
        platforms=tuple(one for one in query.get("platform").split(",") if one),
        no_cache=query.flag("nocache"),
        no_cache_stages=tuple(one.lower() for one in query.all("nocachefilter") if one),
        pull=query.flag("pull"),
        network=query.get("networkmode"),
        extra_hosts=tuple(hosts),
        shm_size=query.integer("shmsize") or 0,
        ulimits=tuple(_ulimit(one) for one in _json(query, "ulimits", list)),
        limits=Limits(
            memory=query.integer("memory") or 0,
            memory_swap=query.integer("memswap") or 0,
            cpu_shares=query.integer("cpushares") or 0,
            cpu_period=query.integer("cpuperiod") or 0,
            cpu_quota=query.integer("cpuquota") or 0,
            cpuset_cpus=query.get("cpusetcpus"),
            cpuset_mems=query.get("cpusetmems"),
        ),
        cgroup_parent=query.get("cgroupparent"),
        source_date_epoch=int(epoch) if epoch else None,
        cache_from=_cache_from(query),
        inline_cache=is_true(arguments.get("BUILDKIT_INLINE_CACHE", "")) or {"type": "inline"} in _cache_to(query),
    )


def _cache_from(query: Query) -> tuple[RegistryCache, ...]:
    """`cachefrom`: names of images or caches. Raises BadRequest."""
    listed = _json(query, "cachefrom", list)
    _check("cachefrom", all(isinstance(one, str) for one in listed))
    return tuple(RegistryCache(Reference.parse(one).familiar) for one in listed if one)


def _cache_to(query: Query) -> list[dict[str, str]]:
    """`cacheto`, a parameter of `cove build`: words of docker's `--cache-to`. Raises BadRequest."""
    listed: list[dict[str, str]] = _json(query, "cacheto", list)
    for one in listed:
        _check("cacheto", isinstance(one, dict) and all(isinstance(value, str) for value in one.values()))
    return listed


def named_sources(query: Query) -> dict[str, str]:
    """`contexts`, a parameter of `cove build`: where each named context comes from. Raises BadRequest."""
    found = _strings(query, "contexts")
    for name, source in found.items():
        if source.startswith(_UPLOAD):
            _check("contexts", _PART.fullmatch(source.removeprefix(_UPLOAD)) is not None)
        elif not name or not (source.startswith(_IMAGE) or is_remote(source)):
            raise BadRequest(f"unsupported context source {source} for {name}")
    return found


def output_of(query: Query) -> str:
    """`outputs`, as with version 2, of which one may be sent to the client: its type; "": none. Raises BadRequest."""
    listed = _json(query, "outputs", list)
    kinds = [one.get("Type") if isinstance(one, dict) else None for one in listed]
    wanted = [kind for kind in kinds if kind not in ("moby", "image")]
    for kind in wanted:
        if kind not in OUTPUTS:
            raise BadRequest(f"exporter {json.dumps(kind)} could not be found")
    if len(wanted) > 1:
        raise BadRequest("one output can be sent to the client")
    return str(wanted[0]) if wanted else ""


def cache_exports(query: Query) -> list[CacheExport]:
    """The caches that a build writes. Raises BadRequest."""
    made = []
    for one in _cache_to(query):
        if (mode := one.get("mode") or "min") not in ("min", "max"):
            raise BadRequest(f"invalid cache mode {mode!r}")
        if one.get("type") == "registry":
            target = RegistryCache(Reference.parse(one.get("ref", "")).with_default_tag().familiar)
            made.append(CacheExport(target, mode == "max", ignores_errors=is_true(one.get("ignore-error", ""))))
        elif one.get("type") != "inline":
            raise BadRequest(f"unknown cache exporter: {one.get('type')!r}")
    return made


def frontend_options(query: Query) -> dict[str, str]:
    """The query of ImageBuild as options of the Dockerfile frontend. Raises BadRequest."""
    asked = build_request(query)
    options = {
        "filename": asked.dockerfile_name,
        "target": asked.target,
        "platform": ",".join(asked.platforms),
        "force-network-mode": asked.network if asked.network not in ("", "default") else "",
        "add-hosts": ",".join(host.replace(":", "=", 1) for host in asked.extra_hosts),
        "shm-size": str(asked.shm_size or ""),
        "ulimit": ",".join(f"{one.name}={one.soft}:{one.hard}" for one in asked.ulimits),
        "cgroup-parent": asked.cgroup_parent,
        "image-resolve-mode": "pull" if asked.pull else "",
    }
    options = {key: value for key, value in options.items() if value}
    if asked.no_cache:
        options["no-cache"] = ""
    if asked.cache_from:
        entries = [{"Type": "registry", "Attrs": {"ref": one}} for one in _json(query, "cachefrom", list) if one]
        options["cache-imports"] = json.dumps(entries)
    options |= {f"build-arg:{key}": value for key, value in asked.build_args.items()}
    return options | {f"label:{key}": value for key, value in asked.labels.items()}


def _json(query: Query, key: str, kind: type[Any]) -> Any:
    """A parameter that holds JSON; empty if it is absent or null. Raises BadRequest."""
    text = query.get(key)
    if not text:
        return kind()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadRequest(f"error reading {key}: {e}") from e
    if value is None:
        return kind()
    _check(key, isinstance(value, kind))
    return value


def _strings(query: Query, key: str) -> dict[str, str]:
    """A parameter that holds a JSON object of strings, without those that are null. Raises BadRequest."""
    found = {name: value for name, value in _json(query, key, dict).items() if value is not None}
    _check(key, all(isinstance(value, str) for value in found.values()))
    return found


def _ulimit(value: object) -> Ulimit:
    """One of `ulimits`. Raises BadRequest."""
    found = value if isinstance(value, dict) else {}
    name, soft, hard = found.get("Name"), found.get("Soft") or 0, found.get("Hard") or 0
    _check("ulimits", isinstance(name, str) and isinstance(soft, int) and isinstance(hard, int))
    return Ulimit(str(name), soft, hard)


def _check(key: str, is_right: bool) -> None:
    if not is_right:
        raise BadRequest(f"error reading {key}: not of the right type")


class _GivenSecrets:
    """X-Cove-Build-Secrets, which `cove build` sends: secrets by id, as base64 of JSON, the values in base64 too."""

    def __init__(self, request: Request) -> None:
        """Raises BadRequest."""
        self._by_id: dict[str, bytes] = {}
        text = request.headers.get("x-cove-build-secrets", "")
        try:
            value = json.loads(base64.b64decode(text, altchars=b"-_", validate=True) or b"{}")
            self._by_id = {str(key): base64.b64decode(one, validate=True) for key, one in value.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):  # binascii.Error is a ValueError
            raise BadRequest("X-Cove-Build-Secrets is not base64 of JSON with values in base64") from None

    async def get(self, secret_id: str) -> bytes | None:
        return self._by_id.get(secret_id)


class _Credentials:
    """X-Registry-Config: the client's logins by registry."""

    def __init__(self, request: Request) -> None:
        """A header that can't be decoded counts as absent, as in moby."""
        self._by_registry: dict[str, Mapping[str, Any]] = {}
        text = request.headers.get("x-registry-config", "").replace("+", "-").replace("/", "_").rstrip("=")
        try:
            value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) or b"{}")
        except (ValueError, binascii.Error, RecursionError):
            return
        if isinstance(value, dict):
            for address, auth in value.items():
                if isinstance(auth, dict):
                    self._by_registry[registry_of(address)] = auth

    async def get(self, registry: str) -> Mapping[str, Any]:
        return self._by_registry.get(registry, {})


def prune_filters(query: Query) -> PruneFilters:
    """What a prune takes; `all` changes nothing, as no record is in use without a build. Raises BadRequest."""
    asked = filters(query, PRUNE_FILTERS)
    until = [*asked.get("until", ()), *asked.get("unused-for", ())]
    if len(until) > 1:
        raise BadRequest("filters expect only one value")
    fields = {key: values for key, values in asked.items() if key in _FIELDS and values}
    for key in _FLAGS & asked.keys():  # one without a value has to be true
        fields[key] = [str(is_true(one)).lower() for one in asked[key] or ["true"]]
    return PruneFilters(
        until_ns=now_ns() - age_ns(until[0]) if until else None,
        keep_bytes=query.integer("keep-storage") or 0,
        ids=tuple(asked.get("id", ())),
        fields=fields,
    )
