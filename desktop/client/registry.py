"""A registry as the command line asks it itself: manifests and blobs of one repository. OCI distribution-spec 1.1.

For `manifest`, whose lists are the client's and not the engine's. Layers never pass through here: they are mounted from
one repository into another at the registry. Logins are docker's (logins.py); the environment's proxies count.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from desktop.client.logins import Login
from desktop.client.reference import HUB

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LIST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ACCEPT = ", ".join((*MANIFEST_TYPES, *LIST_TYPES))
_MAX_BYTES = 8 << 20  # of a manifest or an image's config
_LIMIT_S = 30.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(Exception):
    """What a registry refuses, or why it can't be asked; str() is one line."""


class NoSuchManifest(RegistryError):
    """The repository has no manifest of this name."""


class Found(NamedTuple):
    """A manifest or list, byte for byte."""

    digest: str
    media_type: str
    data: bytes


class Registry:
    """One repository. Not for several threads at once."""

    def __init__(self, domain: str, path: str, login: Login | None, *, insecure: bool = False) -> None:
        """`domain`: HOST[:PORT]. `insecure`: without TLS where the registry has none, and with any certificate; always
        so for a registry on this machine, as docker does."""
        host = "registry-1.docker.io" if domain == HUB else domain
        self._path, self._login, self._host, self._name = path, login, host, f"{domain}/{path}"
        self._insecure = insecure or _is_local(host)
        self._base = f"https://{host}"
        self._authorization = ""
        context = ssl.create_default_context()
        if self._insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    # --- content

    def manifest(self, version: str) -> Found:
        """By tag or digest. Raises NoSuchManifest, RegistryError."""
        status, headers, data = self._call("GET", f"manifests/{version}", {"Accept": _ACCEPT}, expect=(200, 404))
        if status == 404:
            raise NoSuchManifest(f"no such manifest: {self._name}{'@' if ':' in version else ':'}{version}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise RegistryError(f"manifest verification failed for digest {version}: the data is {digest}")
        try:
            media_type = str(json.loads(data).get("mediaType") or headers.get("content-type", ""))
        except (ValueError, AttributeError) as e:
            raise RegistryError(f"{self._name}: the registry's reply is no manifest: {e}") from e
        return Found(digest, media_type, data)

    def blob(self, digest: str) -> bytes:
        """A small one, checked. Raises RegistryError."""
        _, _, data = self._call("GET", f"blobs/{digest}", {})
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise RegistryError(f"verification failed for digest {digest}")
        return data

    def put_manifest(self, version: str, media_type: str, data: bytes) -> str:
        """Its digest. Raises RegistryError."""
        self._call("PUT", f"manifests/{version}", {"Content-Type": media_type}, data, expect=(201, 202))
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def mount(self, digest: str, source: str) -> None:
        """Have a blob of the repository `source` in this one. Raises RegistryError."""
        query = urlencode({"mount": digest, "from": source})
        status, _, _ = self._call("POST", f"blobs/uploads/?{query}", {}, b"", expect=(201, 202), more=source)
        if status != 201:
            raise RegistryError(f"error mounting {source}@{digest} to {self._path}")

    # --- requests

    def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        expect: tuple[int, ...] = (200,),
        more: str = "",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """`more`: another repository that the request reads. Raises RegistryError."""
        for attempt in range(2):
            status, answered, data = self._send(method, f"{self._base}/v2/{self._path}/{url}", headers, body)
            if status in expect:
                return status, answered, data
            if status != 401 or attempt or not self._authenticate(answered.get("www-authenticate", ""), method, more):
                break
        raise RegistryError(_words(data) or f"{method.capitalize()} {url}: received unexpected HTTP status: {status}")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        request = urllib.request.Request(url, body, dict(headers), method=method)
        if self._authorization:  # not sent on to where a redirect leads
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with self._opener.open(request, timeout=_LIMIT_S) as response:
                return response.status, _lower(response.headers), _limited(response)
        except urllib.error.HTTPError as e:
            with e:
                return e.code, _lower(e.headers), _limited(e)
        except (OSError, http.client.HTTPException) as e:
            if self._insecure and url.startswith("https:"):
                self._base = f"http://{self._host}"
                return self._send(method, urljoin(self._base, url.partition(self._host)[2]), headers, body)
            reason = " ".join(str(e.reason if isinstance(e, urllib.error.URLError) else e).split())
            raise RegistryError(f'{method.capitalize()} "{url}": {reason}') from e

    def _authenticate(self, challenge: str, method: str, more: str) -> bool:
        """Whether there is a new Authorization to try: RFC 7235; distribution's token specification."""
        scheme, _, rest = challenge.partition(" ")
        login, before = self._login, self._authorization
        basic = ""
        if login is not None and login.username:
            basic = "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        if scheme.lower() == "basic":
            self._authorization = basic
        elif scheme.lower() == "bearer":
            self._authorization = self._token(dict(_CHALLENGE.findall(rest)), basic, method, more)
        return bool(self._authorization) and self._authorization != before

    def _token(self, fields: Mapping[str, str], basic: str, method: str, more: str) -> str:
        realm = fields.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self._insecure:
            raise RegistryError(f"the registry {self._host} sends its users to {realm!r} for a token: not over TLS")
        actions = "pull" if method == "GET" else "pull,push"
        scopes = [f"repository:{self._path}:{actions}", *([f"repository:{more}:pull"] if more else ())]
        query: list[tuple[str, str]] = [("scope", scope) for scope in scopes]
        if service := fields.get("service"):
            query.append(("service", service))
        data = None
        if self._login is not None and self._login.identity_token:
            form = [("grant_type", "refresh_token"), ("refresh_token", self._login.identity_token)]
            data = urlencode(
                [*form, ("client_id", "cove"), ("scope", " ".join(scopes)), *query[len(scopes) :]]
            ).encode()
        url = realm if data else f"{realm}?{urlencode(query)}"
        request = urllib.request.Request(url, data)
        if basic and not data:
            request.add_unredirected_header("Authorization", basic)
        try:
            with self._opener.open(request, timeout=_LIMIT_S) as response:
                issued = json.loads(_limited(response))
            return f"Bearer {issued.get('token') or issued['access_token']}"
        except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError) as e:
            raise RegistryError(f'Get "{realm}": {e}') from e


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _lower(headers: Any) -> Mapping[str, str]:
    return {str(key).lower(): str(value) for key, value in headers.items()}


def _limited(response: Any) -> bytes:
    data: bytes = response.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise RegistryError(f"a reply of more than {_MAX_BYTES} bytes")
    return data


def _words(data: bytes) -> str:
    """The registry's own: distribution-spec, "Error Codes"."""
    try:
        first = json.loads(data)["errors"][0]
        code = str(first.get("code", "")).lower().replace("_", " ")
        return ": ".join(filter(None, (code, str(first.get("message") or ""))))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""
