"""Facts about a charger's upkeep: its firmware, its logs, its certificates, and what it is able to do.

Bodies of `facts`, where they are listed and from where they are used.
"""

from __future__ import annotations

from typing import ClassVar

from common.body import Audience, Body


class FirmwareChanged(Body, frozen=True, kw_only=True):
    """How far a charger's firmware update is, in the charger's own word; `fetched`: the box served it whole.

    `status`: scheduled | downloading | paused | downloaded | download_failed | verified | invalid_signature |
    install_scheduled | installing | rebooting | installed | install_failed | fetched
    """

    KIND: ClassVar[str] = "firmware_changed"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    status: str
    detail: str = ""


class UploadChanged(Body, frozen=True, kw_only=True):
    """A charger's log on its way: its own word (uploading | uploaded | upload_failed), or `received`: it is
    here, whole. For staff: a log may hold anything."""

    KIND: ClassVar[str] = "upload_changed"
    charger: str
    status: str
    command: str = ""
    file: str = ""  #: the box's name of it, with `received`
    name: str = ""  #: the charger's, for people
    size_bytes: int = 0
    sha256: str = ""
    detail: str = ""


class CapabilityLearned(Body, frozen=True, kw_only=True):
    """What a charger can do was found out by asking; forgotten when it boots with another firmware.

    `ability`: protocols (value: as it told them) | a step of `edge.core.steps` (value: no).
    """

    KIND: ClassVar[str] = "capability_learned"
    AUDIENCE: ClassVar[Audience] = Audience.SITE
    charger: str
    ability: str
    value: str


class CertificateChanged(Body, frozen=True, kw_only=True):
    """A charger's own certificate. `change`: asked | refused | failed | sent | installed | not_installed.

    `until`: with `sent`, when it runs out.
    """

    KIND: ClassVar[str] = "certificate_changed"
    charger: str
    change: str
    sha256: str = ""  #: of the signing request's text, or of the certificate chain's
    detail: str = ""
    until: str = ""


class ChargerSecured(Body, frozen=True, kw_only=True):
    """How a charger proves who it is: its security profile, and which password. Holds no secret.

    `change`: set (by somebody at the box) | moving (it may come in with profile `to`, too) | offered (it is
    told a new password, or somebody types it there) | moved, rotated (it came in so: what was before is over)
    | refused (it stays as it was). `credential` is the name of a password: of the one offered, or in use.
    """

    KIND: ClassVar[str] = "charger_secured"
    charger: str
    change: str
    profile: int  #: that holds from here on
    to: int | None = None
    credential: str = ""
    detail: str = ""
