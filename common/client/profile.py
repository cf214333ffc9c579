"""What a device keeps: its key, the sites it may use, and commands whose end it has not heard.

One small file each in a private folder (`common.keystore`: 0600, written whole or not at all), so that two
programs of one person (a `watch` that renews a grant, a `pair` that adds a site) do not undo each other.
A command's file is written before the command leaves (design §7). It is not synced to the disk: it outlives
this program, and after a power cut the box still knows the command's id.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from common import wire
from common.commands import Name
from common.domain import Target
from common.errors import Code, LocalFault, PlugsideError, Refused, RemoteFault
from common.keystore import FILE_MODE, Keystore
from common.trust import IdentityKey, Rotation, newest_lists, open_succession, unb64
from common.trust.rotation import OLD_KEPT_MS, ROTATIONS_MAX

#: A command's file is kept for so long after its end: then nobody asks about it any more.
PENDING_KEPT_MS = 24 * 3_600_000
#: Addresses kept for one box: a few interfaces, IPv4 and IPv6.
ADDRESSES_MAX = 8


class FormerBox(msgspec.Struct, frozen=True):
    """A key that the site's box had, or a box that it had: what was signed by it then still counts."""

    box: str
    until_ms: int  #: site time; it signed nothing of ours later


class SiteEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One site this device was paired with."""

    site: str
    name: str = ""
    grant: str
    role: str = ""
    principal: str = ""
    box: str = ""  #: the box's identity fingerprint, pinned at pairing; empty = only through the cloud
    addresses: tuple[str, ...] = ()  #: host:port on the LAN, as box or cloud told; hints
    last_good: str = ""  #: the address that answered last
    cloud_url: str = ""
    cloud_key: str = ""  #: the cloud's identity fingerprint, pinned at pairing
    box_at_ms: int = 0  #: of the cloud's word by which `box` took another one's place
    box_number: int = 0  #: of the box's own statement by which it came to this key; 0 = none was followed
    former: tuple[FormerBox, ...] = ()  #: what `box` was before, the latest last
    box_lists: tuple[str, ...] = ()  #: lists of withdrawn rights that the box told, to be carried on
    cloud_lists: tuple[str, ...] = ()  #: the same of the cloud

    @property
    def was(self) -> dict[str, int]:
        """Fingerprints that the site's box had before, and until when what they signed counts, in ms."""
        return {one.box: one.until_ms for one in self.former}

    @property
    def lists(self) -> tuple[str, ...]:
        """What to bring to whoever serves this site."""
        return newest_lists(self.cloud_lists, self.box_lists)


def placed(entry: SiteEntry, access: wire.SiteAccess) -> SiteEntry:
    """The entry with the time of the cloud's word for the box that is pinned: none before it counts now.

    Raises RemoteFault(untrusted_peer).
    """
    told = open_succession(access.succession, site=entry.site, cloud=entry.cloud_key)
    if told.box != entry.box or told.at_ms <= entry.box_at_ms:
        return entry
    return msgspec.structs.replace(entry, box_at_ms=told.at_ms)


def succeeded(entry: SiteEntry, access: wire.SiteAccess) -> SiteEntry:
    """The entry with the site's new box, when its pinned cloud has signed that, and later than the last time.

    Raises RemoteFault(untrusted_peer).
    """
    told = open_succession(access.succession, site=entry.site, cloud=entry.cloud_key)
    if told.box != access.key or told.at_ms <= entry.box_at_ms:
        raise RemoteFault(Code.UNTRUSTED_PEER, "an earlier word about this site's box is told again")
    return msgspec.structs.replace(
        entry,
        box=told.box,
        box_at_ms=told.at_ms,
        box_number=0,
        former=_former(entry, FormerBox(entry.box, told.at_ms)),
        last_good="",
        box_lists=(),
    )


def rotated(entry: SiteEntry, chain: tuple[Rotation, ...]) -> SiteEntry:
    """The entry with the key that its box has now, by a chain that was verified from the pinned one."""
    gone = (FormerBox(one.former, one.at_s * 1000 + OLD_KEPT_MS) for one in chain)
    return msgspec.structs.replace(
        entry, box=chain[-1].box, box_number=chain[-1].number, former=_former(entry, *gone)
    )


def _former(entry: SiteEntry, *gone: FormerBox) -> tuple[FormerBox, ...]:
    known = {one.box: one for one in (*entry.former, *gone) if one.box}
    return tuple(known.values())[-ROTATIONS_MAX:]


class Pending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command that was made. `envelope` is what is sent, again and again the same."""

    id: str
    site: str
    name: Name
    target: Target
    envelope: str
    expires_ms: int  #: site time


class _GrantTimes(msgspec.Struct):
    iat: int
    exp: int


_times_decoder = msgspec.json.Decoder(_GrantTimes)


def default_folder(environ: dict[str, str] | None = None) -> Path:
    """`$PLUGSIDE_HOME`, else `plugside` in the XDG data folder (XDG Base Directory Specification)."""
    given = os.environ if environ is None else environ
    if home := given.get("PLUGSIDE_HOME"):
        return Path(home)
    data = given.get("XDG_DATA_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    base = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "plugside"


def renewal_due(grant: str, now_ms: int) -> bool:
    """Whether a grant of our own is past half its life. Its signature is the issuer's business."""
    try:
        _, payload, _ = grant.split(".")
        times = _times_decoder.decode(unb64(payload))
    except (ValueError, RecursionError):
        return True
    return now_ms >= (times.iat + times.exp) * 1000 // 2


class Profile:
    """See the module. Opening it makes the folder; the key is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        """Raises LocalFault(folder_unusable) when others can look in."""
        self.folder = folder
        self._store = Keystore(folder)
        self._key: IdentityKey | None = None
        self._sites: dict[str, SiteEntry] = {}
        self.reload()

    @property
    def key(self) -> IdentityKey:
        """This device's key; never leaves the folder."""
        if self._key is None:
            self._key = self._store.identity("device")
        return self._key

    # --- sites ---------------------------------------------------------------------------------------------

    @property
    def sites(self) -> tuple[SiteEntry, ...]:
        """Every site, by name."""
        return tuple(sorted(self._sites.values(), key=lambda entry: (entry.name, entry.site)))

    def reload(self) -> None:
        """Read the sites again, as other programs of this person have left them."""
        found = {}
        for file in self.folder.glob("site-*.json"):
            entry = self._store.load(file.stem, SiteEntry)
            if entry is not None:
                found[entry.site] = entry
        self._sites = found

    def find(self, text: str) -> SiteEntry:
        """The site that a person means: its id, or its name in any case. Raises Refused(unknown_site)."""
        if text in self._sites:
            return self._sites[text]
        named = [entry for entry in self.sites if entry.name.casefold() == text.casefold()]
        if len(named) == 1:
            return named[0]
        if named:
            ids = ", ".join(entry.site for entry in named)
            raise Refused(Code.UNKNOWN_SITE, f"several are called {text}: {ids}", hint="Use the site's id.")
        raise Refused(Code.UNKNOWN_SITE, text, hint=self._known())

    def _known(self) -> str:
        if not self._sites:
            return LocalFault(Code.NOT_PAIRED).hint
        return "Paired with: " + ", ".join(entry.name or entry.site for entry in self.sites)

    def get(self, site: str) -> SiteEntry:
        """The site with this id. Raises Refused(unknown_site)."""
        if site not in self._sites:
            raise Refused(Code.UNKNOWN_SITE, site, hint=self._known())
        return self._sites[site]

    def put(self, entry: SiteEntry, *, paired: bool = False) -> SiteEntry:
        """Add a site, or replace what is known about it; on disk when this returns. Returns what is kept.

        A box's key that another program of this person has moved on from does not come back by what this one
        still knows; only pairing anew (`paired`) brings it back.
        """
        if self._sites.get(entry.site) != entry:
            kept = None if paired else self._store.load(_file_of(entry.site), SiteEntry)
            if kept is not None and entry.box_at_ms <= kept.box_at_ms and entry.box in kept.was:
                entry = msgspec.structs.replace(
                    entry,
                    box=kept.box,
                    box_at_ms=kept.box_at_ms,
                    box_number=kept.box_number,
                    former=kept.former,
                )
            self._store.save(_file_of(entry.site), entry)
            self._sites[entry.site] = entry
        return entry

    def forget(self, site: str) -> None:
        """Remove a site from this device."""
        self._store.remove(_file_of(site))
        self._sites.pop(site, None)

    # --- commands on their way -----------------------------------------------------------------------------

    def remember(self, pending: Pending) -> None:
        """Store a command before it is sent. Raises LocalFault(folder_unusable)."""
        path = self._pending_file(pending.id)
        try:
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(opened, "wb") as file:
                file.write(msgspec.json.encode(pending))
        except OSError as unusable:
            raise LocalFault(Code.FOLDER_UNUSABLE, f"{path}: {unusable.strerror}") from None

    def settle(self, command_id: str) -> None:
        """The command's end is known."""
        with suppress(OSError):  # it is asked about once more, and answered the same
            self._pending_file(command_id).unlink(missing_ok=True)

    def pending(self, now_ms: int) -> tuple[Pending, ...]:
        """Commands whose end was not heard, the oldest first; those long past are forgotten here."""
        found = []
        for file in self.folder.glob("pending-*.json"):
            try:
                one = self._store.load(file.stem, Pending)
            except PlugsideError:
                one = None  # cut short when its program died, so never sent
            if one is None or one.expires_ms + PENDING_KEPT_MS < now_ms:
                file.unlink(missing_ok=True)
            else:
                found.append(one)
        return tuple(sorted(found, key=lambda one: one.id))

    def _pending_file(self, command_id: str) -> Path:
        return self.folder / f"pending-{command_id}.json"


def _file_of(site: str) -> str:
    # A site's id comes from another machine and is no file name until it is hashed.
    return "site-" + sha256(site.encode(errors="surrogatepass")).hexdigest()[:24]
