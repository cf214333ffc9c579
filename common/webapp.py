"""The built web app as pages: which file answers a path, with which headers. For the cloud and for the box.

The build (`common/web/dist`, made by `npm run build`, shipped in the wheel) is read once. Only names that
were read are served, so no path can lead anywhere else. Files whose names carry a hash of their content are
kept for ever, everything else is asked for again; text goes out compressed as the build left it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).parent / "web" / "dist"
#: The build has some 30 files; more, or larger ones, are not ours.
FILES_MAX: Final = 200
FILE_BYTES_MAX: Final = 4 * 1024 * 1024

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
#: Compressed forms beside a file, the best first.
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))

#: What a page of ours may do. Scripts, styles, pictures: from here alone. It speaks to the clouds and boxes
#: of its sites, whose addresses nobody knows beforehand: https covers WebTransport where browsers ask for no
#: more, and `unsafe-webtransport-hashes` is how they will ask for it (w3c/webappsec-csp #791).
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "connect-src 'self' https: wss: 'unsafe-webtransport-hashes'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
#: With every answer of the app.
GUARDS: Final = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _File(msgspec.Struct, frozen=True):
    headers: Mapping[str, str]
    tag: str
    body: bytes
    packed: Mapping[str, bytes]


class WebApp:
    """See the module. `built` is False where nobody has built the app."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {f"/{name}": _read(folder / name, name) for name in _names(folder)}
        index = self._files.get("/index.html")
        if index is not None:
            self._files["/"] = index

    @property
    def built(self) -> bool:
        return "/" in self._files

    @property
    def paths(self) -> frozenset[str]:
        """What is served."""
        return frozenset(self._files)

    def answer(self, path: str, *, accepts: str = "", known: str = "") -> Answer | None:
        """What to say to GET `path` (no query). None: it is not the app's.

        accepts: the request's Accept-Encoding; known: its If-None-Match.
        """
        file = self._files.get(path)
        if file is None:
            return None
        encoding = next((name for name, _ in _ENCODINGS if name in file.packed and _takes(accepts, name)), "")
        tag = f'"{file.tag}{"-" if encoding else ""}{encoding}"'
        headers = {**file.headers, "etag": tag}
        if tag in {one.strip().removeprefix("W/") for one in known.split(",")}:
            return Answer(304, headers, b"")
        if encoding:
            headers["content-encoding"] = encoding
        body = file.packed[encoding] if encoding else file.body
        return Answer(200, {**headers, "content-length": str(len(body))}, body)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    suffixes = {suffix for _, suffix in _ENCODINGS}
    names = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and not path.name.startswith(".")
        and path.suffix not in suffixes
    ]
    return names[:FILES_MAX]


def _read(path: Path, name: str) -> _File:
    body = _content(path)
    packed = {
        encoding: _content(beside)
        for encoding, suffix in _ENCODINGS
        if (beside := path.with_name(path.name + suffix)).is_file()
    }
    headers = {
        **GUARDS,
        "content-type": _TYPES.get(path.suffix, "application/octet-stream"),
        "cache-control": "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache",
        "vary": "accept-encoding",
    }
    return _File(headers=headers, tag=sha256(body).hexdigest()[:16], body=body, packed=packed)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX)


def _takes(accepts: str, encoding: str) -> bool:
    """Whether an Accept-Encoding takes this one (RFC 9110 §12.5.3)."""
    for part in accepts.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == encoding:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
