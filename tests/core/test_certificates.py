"""A charger's certificate request: signed if somebody can, refused if nobody can, answered always."""

from __future__ import annotations

import pytest

from common import facts
from common.commands import DeleteCertificate, InstallCertificate, ListCertificates, Name
from common.errors import Code
from edge.core import certificates, inputs
from tests.core.world import HOUR, MINUTE, SECOND, Site, kinds, operator, stages


def over_tls() -> Site:
    site = Site().ready()
    site.feed(inputs.Note(body=facts.ChargerSecured(charger="CP1", change="set", profile=2)))
    return site


def asked(site: Site, *, authority: bool) -> inputs.Decision:
    return site.feed(inputs.CertificateAsked(charger="CP1", csr="a request", authority=authority))


def test_without_an_authority_it_is_refused_and_told_once_in_a_while() -> None:
    site = Site().ready()
    for known in (["certificate_changed"], [], []):
        decision = asked(site, authority=False)
        assert decision.reply == inputs.CertificateReply(accepted=False)
        assert kinds(decision) == known
    site.wait(certificates.REFUSED_AGAIN_MS)
    assert kinds(asked(site, authority=False)) == ["certificate_changed"]
    site.check()


def test_the_chain_is_delivered_and_what_the_charger_says_is_kept() -> None:
    site = over_tls()
    assert asked(site, authority=True).reply == inputs.CertificateReply(accepted=True)
    made = site.feed(inputs.CertificateMade(charger="CP1", chain="PEM"))
    (request,) = made.requests
    assert request.action == inputs.DeliverCertificate("PEM")
    not_installed = [(answer, "not_installed") for answer in ("rejected", "error", "lost")]
    for answer, change in [("accepted", "installed"), *not_installed]:
        site.feed(inputs.CallEnded(charger="CP1", request=request.id, answer=answer))
        assert site.last(facts.CertificateChanged).change == change
    assert [body.change for body in site.all(facts.CertificateChanged)][:2] == ["asked", "sent"]
    site.check()


@pytest.mark.parametrize(
    "made", [{"reason": "not its key"}, {"chain": "x" * (certificates.CHAIN_CHARS_MAX + 1)}]
)
def test_no_chain_or_one_that_is_too_long_is_not_sent(made: dict[str, str]) -> None:
    site = over_tls()
    asked(site, authority=True)
    decision = site.feed(inputs.CertificateMade(charger="CP1", **made))
    assert decision.requests == ()
    assert site.last(facts.CertificateChanged).change == "failed"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        (Name.INSTALL_CERTIFICATE, InstallCertificate("manufacturer", "P" * 5500)),
        (Name.DELETE_CERTIFICATE, DeleteCertificate("SHA256", "aa", "bb", "01")),
        (Name.LIST_CERTIFICATES, ListCertificates()),
    ],
)
def test_root_certificates_end_with_the_chargers_answer(
    name: Name, args: InstallCertificate | DeleteCertificate | ListCertificates
) -> None:
    for answer, outcome in (("accepted", "succeeded"), ("rejected", "failed")):
        site = Site().ready()
        decision = site.command(name, args, claims=operator(), expires_ms=site.now + MINUTE)
        assert stages(site.answer(decision, answer)) == ["confirmed", "settled"]
        assert site.last(facts.CommandSettled).outcome == outcome
    site = Site().ready()
    site.answer(site.command(name, args, claims=operator(), expires_ms=site.now + 30 * SECOND), "timeout")
    site.wait(HOUR)
    assert site.last(facts.CommandSettled).code == Code.CHARGER_TIMEOUT
    site.check()
