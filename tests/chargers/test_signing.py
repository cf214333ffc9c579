"""A charger's certificate request over a real connection: signed by an authority at hand, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from common import facts
from common.clock import SystemClock, SystemIds
from common.errors import Code, Refused
from common.supervise import Supervisor
from edge.chargers.listener import ChargerListener
from edge.chargers.ocpp16.dialect import Ocpp16
from edge.chargers.ports import Issued, ReplyTo
from edge.chargers.signing import CSR_CHARS_MAX, CertificateDesk, NoAuthority
from edge.core import inputs
from tests.box.support import eventually
from tests.chargers.site import Charger, tag_ref
from tests.core.world import Site as Core

CSR = "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n"


class Authority:
    """Signs what it is let to."""

    ready = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.go = asyncio.Event()
        self.refuses = False

    async def sign(self, charger: str, csr: str) -> Issued:
        self.asked.append((charger, csr))
        await self.go.wait()
        if self.refuses:
            raise Refused(Code.BAD_SIGNATURE, "not its key")
        return Issued("-----BEGIN CERTIFICATE-----")


class Gate:
    """A real core as the gateway; its requests leave through the listener."""

    accepting = True

    def __init__(self) -> None:
        self.core = Core()
        self.core.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change="set", profile=2)))
        self.listener: ChargerListener | None = None

    def submit(self, given: inputs.Input, reply_to: ReplyTo | None = None) -> None:
        decision = self.core.feed(given)
        if reply_to is not None and decision.reply is not None:
            reply_to.send(reply_to.render(decision.reply))
        assert self.listener is not None
        for request in decision.requests:
            later = SystemClock().now_ms() + 60_000
            self.listener.send(inputs.Request(**{**_fields(request), "expires_ms": later}))


def _fields(request: inputs.Request) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


@asynccontextmanager
async def charger(authority: Authority | NoAuthority) -> AsyncIterator[tuple[Charger, Gate]]:
    clock, ids, gate = SystemClock(), SystemIds(), Gate()
    desk = CertificateDesk(gate, authority, Supervisor(clock, ids))
    gate.listener = ChargerListener(
        desk,
        [Ocpp16(tag_ref)],
        host="127.0.0.1",
        port=0,
        clock=clock,
        ids=ids,
        adopted=lambda identity: identity,
        in_session=lambda _: False,
    )
    async with gate.listener as listener:
        url = f"ws://127.0.0.1:{listener.port}/CP1"
        async with connect(url, subprotocols=[Subprotocol("ocpp1.6")], proxy=None) as ws:
            one = Charger(ws)
            await one.call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
            yield one, gate


def changes(gate: Gate) -> list[str]:
    return [body.change for body in gate.core.all(facts.CertificateChanged)]


async def test_a_request_is_accepted_signed_and_the_chain_delivered() -> None:
    authority = Authority()
    async with charger(authority) as (one, gate):
        assert (await one.call("SignCertificate", {"csr": CSR}))[2] == {"status": "Accepted"}
        # while one is being signed another one is refused: the charger asks again
        assert (await one.call("SignCertificate", {"csr": CSR}))[2] == {"status": "Rejected"}
        authority.go.set()
        call = await one.recv()
        assert call[2:] == ["CertificateSigned", {"certificateChain": "-----BEGIN CERTIFICATE-----"}]
        await one.send(f'[3,"{call[1]}",{{"status":"Accepted"}}]')
        await eventually(lambda: changes(gate)[-1:] == ["installed"], "the charger's answer")
        assert changes(gate) == ["asked", "refused", "sent", "installed"]
        assert authority.asked == [("CP1", CSR)]
        assert (await one.call("SignCertificate", {"csr": CSR}))[2] == {"status": "Accepted"}


async def test_what_the_authority_refuses_is_kept_with_its_reason() -> None:
    authority = Authority()
    authority.refuses = True
    authority.go.set()
    async with charger(authority) as (one, gate):
        assert (await one.call("SignCertificate", {"csr": CSR}))[2] == {"status": "Accepted"}
        await eventually(lambda: changes(gate)[-1:] == ["failed"], "the refusal")
        assert "not its key" in gate.core.last(facts.CertificateChanged).detail


async def test_no_authority_or_no_sensible_request_is_refused_at_once() -> None:
    for authority, csr in ((NoAuthority(), CSR), (Authority(), "x" * (CSR_CHARS_MAX + 1)), (Authority(), "")):
        async with charger(authority) as (one, _):
            assert (await one.call("SignCertificate", {"csr": csr}))[2] == {"status": "Rejected"}
            assert await one.alive()
