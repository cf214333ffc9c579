"""What the box is: its site's id and name, and the secret behind its tag references. keys/site.json."""

from __future__ import annotations

import hmac

import msgspec

from common.keystore import Keystore
from common.ports import Ids

_DOCUMENT = "site"
#: What a site is called that nobody has named yet.
UNNAMED = "Plugside"


class SiteDocument(msgspec.Struct, kw_only=True):
    """What the box is, on disk as site.json."""

    site: str
    instance: str  #: of this data folder; differs on a cloned card
    name: str = ""
    tag_secret: str = ""


class SiteFile:
    """The document, made at the first start."""

    def __init__(self, store: Keystore, ids: Ids, box: str, name: str) -> None:
        """box: the fingerprint of the box's first key. name: what people call the site; empty = as it was."""
        self._store = store
        known = store.load(_DOCUMENT, SiteDocument)
        if known is None:
            # A site outlives its box: named after the first key, kept by whoever replaces it.
            secret = ids.token(32).hex()
            known = SiteDocument(site=f"s-{box[:16]}", instance=ids.uid(), name=name, tag_secret=secret)
            self._document = known
            self._save()
        self._document = known
        if name and name != known.name:
            self.rename(name)

    @property
    def site(self) -> str:
        """The site's id."""
        return self._document.site

    @property
    def name(self) -> str:
        """What people call the site."""
        return self._document.name or UNNAMED

    @property
    def instance(self) -> str:
        """Which data folder this is."""
        return self._document.instance

    def rename(self, name: str) -> None:
        """Be called so from now on."""
        self._document.name = name
        self._save()

    def move(self, site: str) -> None:
        """Be another site's from now on."""
        self._document.site = site
        self._save()

    # --- tags ----------------------------------------------------------------------------------------------

    @property
    def file_secret(self) -> bytes:
        """What the addresses of chargers' files are made from: the same as long as the box is the same."""
        return hmac.digest(self._key, b"plugside-file-addresses", "sha512")  # no tag is hashed so

    @property
    def tag_secret(self) -> str:
        """What tag references are made with, hex. Leaves the box sealed to its recovery key only."""
        return self._document.tag_secret

    def take_tag_secret(self, secret: str) -> None:
        """Go on with the secret of the box before this one."""
        if len(bytes.fromhex(secret)) != 32:
            raise ValueError("a tag secret is 32 bytes")
        self._document.tag_secret = secret
        self._save()

    def tag_ref(self, tag: str) -> str:
        """A tag's reference: a keyed hash of its text, without blanks around it, in lower case."""
        text = tag.strip().casefold().encode(errors="surrogatepass")
        return hmac.digest(self._key, text, "sha256").hex()[:32]

    @property
    def _key(self) -> bytes:
        return bytes.fromhex(self._document.tag_secret)

    def _save(self) -> None:
        self._store.save(_DOCUMENT, self._document)
