"""The app link's two ends as pure state machines: frames in, events and frames out (design §6).

    shell reads a frame ──▶ session.receive(frame, …) ──▶ events to act on
    shell writes        ◀── session.data_to_send()    ◀── what the session itself answers

One `ServerSession` a link at the box and at the cloud, one `ClientSession` in every native client; LAN,
cloud and local socket run the same code. The server's shell is `common.applink`. Nothing here knows a
transport, a loop or a clock: nonces and times are arguments.
"""

from common.appsession.client import ClientSession, Positions
from common.appsession.events import (
    Authenticated,
    Carried,
    Closed,
    CommandAsked,
    Event,
    Followed,
    ManageAsked,
    QueryAsked,
    RedeemAsked,
    RenewAsked,
)
from common.appsession.server import ServerSession, Serving

__all__ = [
    "Authenticated",
    "Carried",
    "ClientSession",
    "Closed",
    "CommandAsked",
    "Event",
    "Followed",
    "ManageAsked",
    "Positions",
    "QueryAsked",
    "RedeemAsked",
    "RenewAsked",
    "ServerSession",
    "Serving",
]
