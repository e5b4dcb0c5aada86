"""Software bills of materials: what an image holds, as a document of SPDX 2.3.

BuildKit (docs/attestations/sbom.md) runs a scanner's image. This engine reads the records of the image's package
managers itself (builder/packages.py), so nothing is pulled and no stranger's program sees the files.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from vmagent.builder.packages import Contents, Package
from vmagent.images.layer import hex_of

PREDICATE = "https://spdx.dev/Document"
_NAMESPACE = "https://cove.local/spdx"  # SPDX 2.3, 6.5: unique, and need not be an address that replies
_DOCUMENT, _IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-Image"
_UNSAID = "NOASSERTION"
_EXPRESSION = re.compile(r"[A-Za-z0-9.+\-]+( (AND|OR|WITH) [A-Za-z0-9.+\-]+)*")  # one of SPDX without parentheses


def document(name: str, manifest: str, found: Contents) -> dict[str, Any]:
    """The document about one image, whose manifest has the digest `manifest`."""
    described = {
        "SPDXID": _IMAGE,
        "name": name,
        "versionInfo": manifest,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "licenseConcluded": _UNSAID,
        "licenseDeclared": _UNSAID,
        "copyrightText": _UNSAID,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": hex_of(manifest)}],
    }
    packages = [(_id(package), package) for package in found.packages]
    relationships = [(_DOCUMENT, "DESCRIBES", _IMAGE), *((_IMAGE, "CONTAINS", one) for one, _ in packages)]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": name,
        "documentNamespace": f"{_NAMESPACE}/{hex_of(manifest)}",
        "creationInfo": {
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: cove"],
            "comment": "From the records of dpkg, apk and Python's installers; what has no such record is not listed.",
        },
        "packages": [described, *(_package(spdx_id, one, found) for spdx_id, one in packages)],
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relationships
        ],
    }


def _id(package: Package) -> str:
    """SPDX 2.3, 7.2: letters, digits, dots and dashes; the digest keeps two packages apart."""
    short = re.sub(r"[^A-Za-z0-9.-]", "-", package.name)
    whole = "\0".join(package.to_json().values())
    return f"SPDXRef-Package-{package.kind}-{short}-{sha256(whole.encode()).hexdigest()[:16]}"


def _package(spdx_id: str, package: Package, found: Contents) -> dict[str, Any]:
    is_expression = _EXPRESSION.fullmatch(package.license) is not None
    made: dict[str, Any] = {
        "SPDXID": spdx_id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": _UNSAID,
        "filesAnalyzed": False,
        "licenseConcluded": _UNSAID,
        "licenseDeclared": package.license if is_expression else _UNSAID,
        "copyrightText": _UNSAID,
        "sourceInfo": f"acquired package info from {package.path}",
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl(package, found),
            }
        ],
    }
    if package.supplier:
        made["supplier"] = f"Person: {' '.join(package.supplier.split())}"
    if re.fullmatch(r"https?://\S+", package.homepage):
        made["homepage"] = package.homepage
    return made


def purl(package: Package, found: Contents) -> str:
    """The package URL: purl-spec, types deb, apk and pypi."""
    if package.kind == "pypi":
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        return f"pkg:pypi/{quote(name)}@{quote(package.version)}"
    namespace = found.distribution or {"deb": "debian", "apk": "alpine"}[package.kind]
    qualifiers = {
        "arch": package.architecture,
        "distro": f"{found.distribution}-{found.release}" if found.distribution and found.release else "",
        "upstream": package.source if package.source != package.name else "",
    }
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in qualifiers.items() if value)
    base = f"pkg:{package.kind}/{quote(namespace.lower())}/{quote(package.name.lower())}@{quote(package.version)}"
    return f"{base}?{query}" if query else base
