"""A registry's HTTP API, from a pull worker: OCI distribution-spec 1.1, docker's token authentication.

Every byte is taken as the registry has it (`Accept-Encoding: identity`, the raw stream), since digests are of that.
A blob's download goes on where it broke off, with a Range request, as long as it gets further each time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlencode, urljoin, urlsplit

import requests
import urllib3

from vmagent.images import transport
from vmagent.images.faults import ImageFault
from vmagent.images.hosts import Endpoint, RegistryHosts
from vmagent.images.layer import Expected
from vmagent.images.manifests import MANIFEST_TYPES
from vmagent.images.platforms import INDEX_TYPES
from vmagent.images.reference import DEFAULT_DOMAIN
from vmagent.images.transport import CONNECT_S, READ_S, reason

BLOCK = 256 << 10
_MAX_TAG_PAGES, _MAX_TAGS = 1000, 1_000_000
MAX_MANIFEST = 4 << 20  # distribution-spec, "Pushing Manifests": registries need not take more
TRIES = 4
_HUB_INDEX = "https://index.docker.io"
_ACCEPT = ", ".join((*MANIFEST_TYPES, *sorted(INDEX_TYPES)))


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or token: it never prints itself."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client sent in X-Registry-Auth: a user and password, or a token of one kind or the other."""

    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    identity_token: Secret = field(default_factory=lambda: Secret(""))
    registry_token: Secret = field(default_factory=lambda: Secret(""))

    @classmethod
    def from_auth(cls, auth: Mapping[str, Any] | None) -> Credentials:
        """Engine API, AuthConfig; its field names in any case, `auth` as base64 of user:password."""
        found = {str(key).lower(): str(value or "") for key, value in (auth or {}).items()}
        username, password = found.get("username", ""), found.get("password", "")
        if not username and found.get("auth"):
            with contextlib.suppress(ValueError):
                username, _, password = base64.b64decode(found["auth"]).decode().partition(":")
        return cls(
            username,
            Secret(password),
            Secret(found.get("identitytoken", "")),
            Secret(found.get("registrytoken", "")),
        )

    def basic(self) -> str | None:
        """The Basic scheme's header, RFC 7617."""
        if not self.username:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode()

    @property
    def are_given(self) -> bool:
        return bool(self.username or self.identity_token.reveal() or self.registry_token.reveal())


class ConnectionBroken(ImageFault):
    """The connection to a registry that had replied before broke: another try may get through."""


_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """One repository at one registry. Not for several threads at once. `close` when done."""

    def __init__(
        self,
        domain: str,
        path: str,
        *,
        hosts: RegistryHosts | None = None,
        endpoint: Endpoint | None = None,
        credentials: Credentials | None = None,
        authorization: str = "",
        actions: str = "pull",
    ) -> None:
        """`endpoint`: the server to ask, None for the domain's own; a mirror gets no credentials. `authorization`: an
        Authorization header that an earlier client of the same repository obtained there, to reuse."""
        self.domain, self.path = domain, path
        hosts = hosts or RegistryHosts()
        endpoint = endpoint or hosts.origin(domain)
        self._host = endpoint.host
        self._insecure = hosts.is_insecure(self._host) or endpoint.url.startswith("http:")
        self._credentials = Credentials() if endpoint.is_mirror or credentials is None else credentials
        self._actions = actions
        self.authorization = authorization
        self._identity_token = ""  # that a token server gave
        self._base = endpoint.url
        self._is_base_known = False
        self._session = transport.session(hosts)

    def close(self) -> None:
        self._session.close()

    # --- requests

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Any] | bytes | None = None,
        expect: tuple[int, ...] = (200,),
        doing: str = "",
    ) -> requests.Response:
        """One call, with authentication where it is asked for; the response's body is not read yet.

        `url` is below /v2/<path>/, a path of the server (with a slash), or absolute. `body` gives the body anew for
        each try. Raises ImageFault for any status not in `expect`, with the registry's own words; ConnectionBroken.
        """
        for attempt in range(2):
            response = self._send(method, url, headers or {}, body() if callable(body) else body)
            if response.status_code in expect:
                return response
            if response.status_code == 401 and attempt == 0 and self._authenticate(response):
                response.close()
                continue
            break
        with response:
            raise self._fault(response, doing)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> requests.Response:
        sent = dict(headers)
        if self.authorization:
            sent["Authorization"] = self.authorization
        while True:
            full = self._absolute(url)
            if _server_of(urlsplit(full)) != _server_of(urlsplit(self._base)):
                sent.pop("Authorization", None)  # another host's upload has no use for it, nor has one without TLS
            try:
                response = self._session.request(
                    method, full, headers=sent, data=body, stream=True, timeout=(CONNECT_S, READ_S)
                )
                self._is_base_known = True
                return response
            except (requests.exceptions.SSLError, requests.exceptions.ConnectionError) as e:
                # An insecure registry is tried by TLS first, then without, as docker does.
                if self._insecure and not self._is_base_known and self._base.startswith("https:"):
                    self._base = f"http://{self._host}"
                    continue
                fault = ConnectionBroken if self._is_base_known else ImageFault
                raise fault(f'{method.capitalize()} "{full}": {self._why(e)}') from e
            except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as e:
                raise ImageFault(f'{method.capitalize()} "{full}": {self._why(e)}') from e

    def _absolute(self, url: str) -> str:
        if "://" in url:
            return url
        return self._base + (url if url.startswith("/") else f"/v2/{self.path}{'/' if self.path else ''}{url}")

    def _why(self, error: Exception) -> str:
        """What the network said, of the host that was asked: a redirect may have led to another one."""
        request = getattr(error, "request", None)
        return reason(error, urlsplit(str(request.url)).netloc if request is not None else self._host)

    def _authenticate(self, response: requests.Response) -> bool:
        """Answer a challenge (RFC 7235; distribution's token specification). False: nothing better to offer, or the
        challenge is of a server that a redirect led to, which has no business with these credentials.

        Raises ImageFault: no password where one is wanted, or one that the token server refuses.
        """
        if self._session.should_strip_auth(self._base, response.url):  # type: ignore[no-untyped-call]
            return False
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").partition(" ")
        fields = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "basic":
            header = self._credentials.basic()
            if header is None:
                raise ImageFault(f"{_doing(response)}: no basic auth credentials")
        elif scheme.lower() == "bearer":
            header = self._token(fields, response)
        else:
            header = None
        if header is None or header == self.authorization:
            return False
        self.authorization = header
        return True

    def _token(self, fields: Mapping[str, str], response: requests.Response) -> str | None:
        if token := self._credentials.registry_token.reveal():
            return f"Bearer {token}"
        realm = fields.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self._insecure:
            raise ImageFault(f"the registry {self.domain} sends its users to {realm!r} for a token: not over TLS")
        query = {"scope": f"repository:{self.path}:{self._actions}"} if self.path else {}
        if service := fields.get("service"):
            query["service"] = service
        try:
            if identity := self._credentials.identity_token.reveal():
                answer = self._session.post(
                    realm,
                    data={**query, "grant_type": "refresh_token", "refresh_token": identity, "client_id": "cove"},
                    timeout=(CONNECT_S, READ_S),
                    allow_redirects=False,  # the token is in the body, which a redirect would take to another server
                )
            else:
                headers = {}
                if basic := self._credentials.basic():
                    headers["Authorization"] = basic
                    query["account"] = self._credentials.username
                if not self.path:  # a login: a token to show instead of the password is welcome
                    query |= {"client_id": "cove", "offline_token": "true"}
                answer = self._session.get(realm, params=query, headers=headers, timeout=(CONNECT_S, READ_S))
        except requests.exceptions.RequestException as e:
            raise ImageFault(f'Get "{realm}": {self._why(e)}') from e
        with answer:
            if answer.status_code in (401, 403):
                if self._credentials.are_given:
                    said = _errors(answer) or "unauthorized: incorrect username or password"
                    raise ImageFault(said if self.path else f"{_doing(response)}: {said}", "unauthorized")
                return None
            try:
                data = answer.json() if answer.status_code == 200 else {}
                issued = data.get("token") or data.get("access_token")
                self._identity_token = str(data.get("refresh_token") or "")
            except (ValueError, AttributeError):
                issued = None
            if not issued:
                raise ImageFault(f'Get "{realm}": no token in its answer (status {answer.status_code})')
            return f"Bearer {issued}"

    def _fault(self, response: requests.Response, doing: str) -> ImageFault:
        words = _errors(response)
        status = response.status_code
        name = f"{self.domain}/{self.path}".removeprefix("docker.io/").removeprefix("library/")
        if status in (401, 403):
            if self._credentials.are_given and status == 401:
                return ImageFault(words or "unauthorized: authentication required", "unauthorized")
            return ImageFault(
                f"pull access denied for {name}, repository does not exist or may require 'docker login': "
                f"{words or 'denied: requested access to the resource is denied'}"
                if self._actions == "pull"
                else words or "denied: requested access to the resource is denied",
                "not-found" if self._actions == "pull" else "forbidden",
            )
        if status == 404:
            return ImageFault(f"{doing or response.url} not found: {words or 'not found'}", "not-found")
        if status == 429:
            return ImageFault(f"toomanyrequests: {words or 'the registry asks for a pause'}")
        return ImageFault(f"{doing or response.url}: received unexpected HTTP status: {status} {words}".rstrip())

    def log_in(self) -> str:
        """Show the credentials to the registry as a whole (`path` is ""): distribution-spec, "Determining Support".

        Returns the identity token to show from now on, "" for the password. Raises ImageFault where they are refused.
        """
        response = self._send("GET", "", {}, None)
        if response.status_code == 401 and self._authenticate(response):
            response.close()
            response = self._send("GET", "", {}, None)
        with response:
            if (status := response.status_code) != 200:
                raise ImageFault(
                    f"login attempt to {response.url} failed with status: {status} {response.reason}",
                    "unauthorized" if status == 401 else "failed",
                )
        return self._identity_token or self._credentials.identity_token.reveal()

    # --- content

    def manifest(self, reference: str, name: str) -> tuple[bytes, str]:
        """A manifest or index by tag or digest: its bytes and their digest. `name` is what the user calls it.

        Raises ImageFault: unknown, too large, not what its digest says.
        """
        response = self.request(
            "GET", f"manifests/{reference}", headers={"Accept": _ACCEPT}, doing=f"manifest for {name}"
        )
        data = self._small(response, MAX_MANIFEST, f"manifest for {name}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        told = reference if reference.startswith("sha256:") else response.headers.get("Docker-Content-Digest", digest)
        if told.startswith("sha256:") and told != digest:
            raise ImageFault(f"manifest verification failed for digest {told}: the data is {digest}")
        return data, digest

    def small_blob(self, expected: Expected, limit: int) -> bytes:
        """A blob that fits in memory, checked. Raises ImageFault."""
        if expected.size > limit:
            raise ImageFault(f"blob {expected.digest} of {expected.size} bytes is too large for what it is")
        response = self.request("GET", f"blobs/{expected.digest}", doing=f"blob {expected.digest}")
        data = self._small(response, expected.size, f"blob {expected.digest}")
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if len(data) != expected.size or found != expected.digest:
            raise ImageFault(f"verification failed for digest {expected.digest}: {len(data)} bytes of {found}")
        return data

    @staticmethod
    def _small(response: requests.Response, limit: int, what: str) -> bytes:
        with response:
            data = bytearray()
            try:
                while len(data) <= limit and (block := response.raw.read(BLOCK, decode_content=False)):
                    data += block
            except urllib3.exceptions.HTTPError as e:
                raise ImageFault(f"{what}: {reason(e)}") from e
        if len(data) > limit:
            raise ImageFault(f"{what} is larger than {limit} bytes")
        return bytes(data)

    def blob(self, expected: Expected, start: int = 0) -> Iterator[bytes]:
        """A blob's bytes from `start` on as they come, unchecked but for the length announced. Raises ImageFault."""
        at = start
        failures = 0
        while at < expected.size:
            headers = {"Range": f"bytes={at}-"} if at else {}
            response = self.request(
                "GET", f"blobs/{expected.digest}", headers=headers, expect=(200, 206), doing=f"blob {expected.digest}"
            )
            with response:
                skip = at if response.status_code == 200 else 0
                announced = response.headers.get("Content-Length")
                if announced is not None and announced != str(expected.size - at + skip):
                    raise ImageFault(
                        f"blob {expected.digest} has {announced} bytes at the registry, "
                        f"its manifest says {expected.size}"
                    )
                start = at
                try:
                    while block := response.raw.read(BLOCK, decode_content=False):
                        if skip:
                            block, skip = block[skip:], max(0, skip - len(block))
                        at += len(block)
                        if block:
                            yield block
                    if at < expected.size and announced is None:
                        return  # a chunked body that ended: the reader sees how short it is
                    if at < expected.size:
                        raise urllib3.exceptions.IncompleteRead(at, expected.size - at)
                except (urllib3.exceptions.HTTPError, OSError) as e:
                    failures = 0 if at > start else failures + 1
                    if failures >= TRIES - 1:
                        raise ImageFault(
                            f"blob {expected.digest} broke off at {at} of {expected.size} bytes: {self._why(e)}"
                        ) from e
                    time.sleep(0.1 * 3**failures)

    def search(self, term: str, limit: int) -> list[Mapping[str, Any]]:
        """What the registry's index knows of `term`: docker's v1 API, "Search", which the Hub and some registries have.
        Raises ImageFault."""
        query = urlencode({"q": term, "n": limit})
        base = _HUB_INDEX if self.domain == DEFAULT_DOMAIN else ""
        response = self.request("GET", f"{base}/v1/search?{query}", doing="search")
        try:
            results = json.loads(self._small(response, MAX_MANIFEST, "search"))["results"]
            return [result for result in results if isinstance(result, dict)]
        except (ValueError, KeyError, TypeError) as e:
            raise ImageFault(f"search at {self.domain}: not the results of a search: {e}") from e

    def tags(self) -> list[str]:
        """All tags of the repository: distribution-spec, "Listing Tags". Raises ImageFault."""
        found: list[str] = []
        url = "tags/list?n=1000"
        for _ in range(_MAX_TAG_PAGES):
            response = self.request("GET", url, doing=f"repository {self.path}")
            try:
                page = json.loads(self._small(response, MAX_MANIFEST, "list of tags"))
                tags: list[str] = page.get("tags") or []
                if not all(isinstance(tag, str) for tag in tags):
                    raise TypeError("not all tags are texts")
                found += tags
            except (ValueError, AttributeError, TypeError) as e:
                raise ImageFault(f"list of tags: {e}") from e
            link = re.match(r"<([^>]+)>", response.headers.get("Link", ""))
            if link is None:
                return found
            if len(found) > _MAX_TAGS:
                break
            url = urljoin(response.url, link[1])
        raise ImageFault(f"repository {self.path}: its list of tags has no end after {len(found)} tags")


def _server_of(url: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port, as far as they are the same server."""
    return url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _doing(response: requests.Response) -> str:
    """What was asked, as docker says it."""
    return f'{(response.request.method or "").capitalize()} "{response.url}"'


def _errors(response: requests.Response) -> str:
    """The registry's own words: distribution-spec, "Error Codes"."""
    try:
        listed = response.json()["errors"]
        first = listed[0]
        code = str(first.get("code", "")).lower().replace("_", " ")
        return ": ".join(filter(None, (code, str(first.get("message") or ""))))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, requests.exceptions.RequestException):
        return ""
