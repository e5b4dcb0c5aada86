"""HTTP to registries: certificates of each host as docker keeps them, proxies by the environment, docker's words.

`certs.d/HOST[:PORT]/` holds authorities (`*.crt`, beside the system's) and client certificates (`NAME.cert` with
`NAME.key`): https://docs.docker.com/engine/security/certificates. They serve this host alone: a token server or a
storage host that a registry sends its clients to has a folder of its own, and no credentials of the registry.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.utils
import urllib3

from vmagent.images.faults import ImageFault
from vmagent.images.hosts import RegistryHosts, is_loopback

CONNECT_S, READ_S = 15, 60
_UNKNOWN_AUTHORITY = frozenset((2, 18, 19, 20, 21))  # X509_V_ERR_*, openssl/x509_vfy.h
_NOT_YET_VALID, _EXPIRED = 9, 10
_HOSTNAME_MISMATCH, _IP_MISMATCH = 62, 64


def session(hosts: RegistryHosts) -> requests.Session:
    """A session that asks hosts as `hosts` and the environment say. Close it when done."""
    made = _Session()
    made.headers.update({"Accept-Encoding": "identity", "User-Agent": "cove"})
    made.mount("https://", _TlsAdapter(hosts))
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return made


class _Session(requests.Session):
    """Without what requests takes from the home (.netrc), and with Go's rules for proxies."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _unsigned
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # as Go's client: they know no port

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        return {"proxies": _proxies(str(url)), "stream": stream, "verify": True, "cert": None}

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> dict[str, str]:
        return _proxies(str(prepared_request.url))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """After a redirect: the header stays only for the same server, and none is added."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _proxies(url: str) -> dict[str, str]:
    """HTTP_PROXY, HTTPS_PROXY, NO_PROXY. Loopback is never asked through a proxy: net/http, ProxyFromEnvironment."""
    if is_loopback(urlsplit(url).hostname or ""):
        return {}
    found: dict[str, str] = requests.utils.get_environ_proxies(url)
    return found


class _TlsAdapter(requests.adapters.HTTPAdapter):
    """Chooses the certificates by the host of each request, not by the session."""

    def __init__(self, hosts: RegistryHosts) -> None:
        self._hosts = hosts
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host_params, _ = super().build_connection_pool_key_attributes(request, True)
        host = urlsplit(str(request.url)).netloc
        return host_params, {"ssl_context": context(self._hosts, host)}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave all to the context."""


def context(hosts: RegistryHosts, host: str) -> ssl.SSLContext:
    """What HOST[:PORT] is verified with and shown. Raises ImageFault: files that do not belong together or can't be
    read."""
    files: list[tuple[str, int]] = []
    for folder in hosts.certificates:
        try:
            found = sorted((folder / host).iterdir())
            files += [(str(path), path.stat().st_mtime_ns) for path in found]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as e:
            raise ImageFault(f"open {e.filename}: {str(e.strerror).lower()}") from e
    return _context(tuple(files), hosts.is_insecure(host))


@lru_cache(maxsize=16)
def _context(files: tuple[tuple[str, int], ...], is_insecure: bool) -> ssl.SSLContext:
    made = ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE and SSL_CERT_DIR
    # As Go does: any certificate that the user trusts ends a chain, and one without key identifiers is fine.
    made.verify_flags = (made.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    names = [Path(name) for name, _ in files]
    for path in names:
        try:
            match path.suffix:
                case ".crt":
                    made.load_verify_locations(path)
                case ".cert":
                    if (key := path.with_suffix(".key")) not in names:
                        raise ImageFault(
                            f"missing key {key.name} for client certificate {path.name}. "
                            "CA certificates must use the extension .crt"
                        )
                    made.load_cert_chain(path, key)
                case ".key" if path.with_suffix(".cert") not in names:
                    raise ImageFault(f"missing client certificate {path.stem}.cert for key {path.name}")
        except (OSError, ssl.SSLError) as e:
            raise ImageFault(f"open {path}: {reason(e)}") from e
    if is_insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


# --- words


def reason(error: BaseException, host: str = "") -> str:
    """What the network said, in Go's words, from the innermost of requests' and urllib3's wrappers. `host`: whom we
    asked, HOST[:PORT]."""
    seen: BaseException = error
    is_proxy = False
    for _ in range(8):
        is_proxy = is_proxy or isinstance(seen, requests.exceptions.ProxyError | urllib3.exceptions.ProxyError)
        wrapped = (getattr(seen, "reason", None), seen.__cause__, seen.__context__, *seen.args[:1])
        inner = next((one for one in wrapped if isinstance(one, BaseException)), None)
        if inner is None:
            break
        seen = inner
    said = _words(seen, host, is_proxy)
    return f"proxyconnect tcp: {said}" if is_proxy else said


def _words(error: BaseException, host: str, is_proxy: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_distrust(error, urlsplit(f'//{host}').hostname or '')}"
    if isinstance(error, ssl.SSLError):
        return _tls_words(error)
    if isinstance(error, socket.gaierror):
        return "dial tcp: lookup failed: no such host" if is_proxy else f"dial tcp: lookup {_bare(host)}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return "dial tcp: connect: connection refused" if is_proxy else f"dial tcp {host}: connect: connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return re.sub(r"^(<[^>]*>|\w+\([^)]*\)): ", "", str(error))


def _bare(host: str) -> str:
    return urlsplit(f"//{host}").hostname or host


def _distrust(error: ssl.SSLCertVerificationError, name: str) -> str:
    match error.verify_code:
        case code if code in _UNKNOWN_AUTHORITY:
            return "certificate signed by unknown authority"
        case code if code in (_NOT_YET_VALID, _EXPIRED):
            return f"certificate has expired or is not yet valid: {error.verify_message}"
        case code if code == _HOSTNAME_MISMATCH:
            return f"certificate is valid for other names, not {name}"
        case code if code == _IP_MISMATCH:
            return f"cannot validate certificate for {name} because it doesn't contain this address"
    return str(error.verify_message)


_ALERTS: Mapping[str, str] = {
    "CERTIFICATE_REQUIRED": "certificate required",
    "BAD_CERTIFICATE": "bad certificate",
    "UNKNOWN_CA": "unknown certificate authority",
    "HANDSHAKE_FAILURE": "handshake failure",
    "PROTOCOL_VERSION": "protocol version not supported",
}


def _tls_words(error: ssl.SSLError) -> str:
    said = str(getattr(error, "reason", "") or "")
    if said in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return "http: server gave HTTP response to HTTPS client"
    for alert, words in _ALERTS.items():
        if said.endswith(f"ALERT_{alert}"):
            return f"remote error: tls: {words}"
    return f"tls: {said.replace('_', ' ').lower() or error}"
