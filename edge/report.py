"""What the box tells of itself, as plain data: its health and its chargers. Reads, changes nothing.

Asked for by `edge.queries`, for the command line and for operators by way of the cloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from common.domain import iso
from common.view import ChargerView, View
from edge.chargers import explain
from edge.chargers.listener import ChargerListener
from edge.chargers.reasons import Reason

if TYPE_CHECKING:
    from edge.site import Site


def health(site: Site) -> dict[str, Any]:
    """Every room, the journal and the tunnel."""
    uplink = site.uplink
    return {
        "site": site.authority.site,
        "name": site.authority.name,
        "edge": site.authority.edge_id,
        "key": site.rekeying.describe(),
        "started_at": iso(site.started_ms),
        "time": iso(site.clock.now_ms()),
        "clock": site.clock.quality,
        "epoch": site.journal.epoch,
        "seq": site.journal.committed_seq,
        **site.ocpp_urls,
        "files_port": site.files.port,
        "lan": list(site.authority.addresses),
        "links": site.apps.links,
        "cloud": {
            "url": site.authority.cloud_url or site.authority.asks,
            "enrolled": bool(site.authority.cloud_url),
            "connected": bool(uplink and uplink.connected),
            "backlog": uplink.cursor.backlog if uplink else 0,
        },
        "journal": site.keeper.describe(),
        "refused": dict(site.listener.refusals),
        "rooms": [msgspec.to_builtins(room) for room in site.supervisor.health()],
    }


def chargers(view: View, listener: ChargerListener) -> Iterable[dict[str, Any]]:
    """Every charger: as people see it, and its connection; then those that wait to be adopted."""
    about = {entry["charger"]: entry for entry in listener.describe()}
    dials = list(listener.dials())
    for entry in view.chargers.values():
        if entry.adopted:
            places = {str(evse): _whole(place) for evse, place in entry.connectors.items()}
            connection = about.get(entry.id)
            why = explain.charger(entry.id, entry.since, entry.address, connection, dials)
            yield _whole(entry) | {
                "connectors": places,
                "connection": connection,
                "why": why,
                "last": _last(entry, connection),
            }
    for waiting in listener.waiting():
        yield {
            "id": waiting.charger,
            "adopted": False,
            "address": waiting.address,
            "protocol": waiting.protocol,
            "first_at": iso(waiting.first_ms),
            "last_at": iso(waiting.last_ms),
            "dials": waiting.dials,
            "why": [explain.dial(one) for one in dials if one.charger == waiting.charger]
            or [explain.finding(Reason.NOT_ADOPTED, charger=waiting.charger, address=waiting.address)],
        }


def dials(listener: ChargerListener) -> Iterable[dict[str, Any]]:
    """Every connection that was turned away and why, the latest first."""
    return (explain.dial(one) for one in listener.dials())


def _last(entry: ChargerView, connection: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What somebody last did at a charger, so that three alike can be told apart by walking to one of them.

    Since the box started: a plug or a tag. Before that, as far as it is known: when a connector changed.
    """
    seen = [
        {"what": "plugged in" if told["plug"] == "in" else "unplugged", "evse": evse, "at": told["since_ms"]}
        for evse, told in (connection or {}).get("plugs", {}).items()
    ]
    if connection and connection["tag_ms"]:
        seen.append({"what": "tag", "at": connection["tag_ms"]})
    if seen:
        last = max(seen, key=lambda one: one["at"])
        return last | {"at": iso(last["at"])}
    changed = max(entry.connectors.values(), key=lambda place: place.since, default=None)
    if changed is None or not changed.since:
        return None
    return {"what": changed.state.value, "evse": changed.evse, "at": changed.since}


def _whole(struct: msgspec.Struct) -> dict[str, Any]:
    """Every field as plain data: a program that reads JSON should not have to know our defaults."""
    return {
        name: msgspec.to_builtins(value)
        for name, value in msgspec.structs.asdict(struct).items()
        if name != "connectors"
    }
