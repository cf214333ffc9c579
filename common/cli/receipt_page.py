"""A receipt as a page to print: the same receipt gives the same bytes. Pure.

The page shows what the records in the receipt come to (`common.trust.receipts.summary`) and carries the
receipt itself, hidden, so that `plugside receipt verify` can check the file and that the page shows nothing
else. Everything is escaped; there is no script and nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape, unescape

from common.cli.words import instant_text
from common.domain import EnergyMethod
from common.facts import Fact
from common.trust.keys import fingerprint
from common.trust.receipts import BadReceipt, Flaw, Receipt, receipt_bytes, summary

_OPEN, _CLOSE = '<pre id="receipt" hidden>', "</pre>"
LANGUAGES = ("en", "de")

#: Every word on the page, by language.
TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Charging receipt",
        "site": "Site",
        "charger": "Charger",
        "outlet": "outlet",
        "began": "Began",
        "ended": "Ended",
        "meter_start": "Meter at the start",
        "meter_stop": "Meter at the end",
        "energy": "Energy",
        "how": "How obtained",
        "who": "Charged to",
        "session": "Session",
        "revision": "Revision",
        "notes": "Notes",
        "signed": "Signed meter data",
        "documents": "{count} in this file, as the charger sent it",
        "none": "none from this charger",
        "box": "Signed by box",
        "at": "Signed at",
        "place": "Place in the ledger",
        "unknown": "not known",
        "provisional": "Provisional: the charger has not reported the end itself yet.",
        "check": "To check this file, with no network: plugside receipt verify FILE",
        "times": "Times are UTC. The box signed what it wrote down when the charger reported it.",
        "measured": "measured",
        "estimated": "estimated",
        "operator": "set by the operator",
        EnergyMethod.REGISTER.value: "meter at the end less meter at the start",
        EnergyMethod.SAMPLES.value: "meter readings during the charge",
        EnergyMethod.INTERVAL.value: "amounts reported for each interval",
        EnergyMethod.INTEGRATED.value: "power over time",
        EnergyMethod.STATED.value: "stated with a reason",
        EnergyMethod.UNKNOWN.value: "not known",
    },
    "de": {
        "title": "Ladebeleg",
        "site": "Standort",
        "charger": "Ladestation",
        "outlet": "Ladepunkt",
        "began": "Beginn",
        "ended": "Ende",
        "meter_start": "Zählerstand zu Beginn",
        "meter_stop": "Zählerstand am Ende",
        "energy": "Energie",
        "how": "Ermittelt",
        "who": "Berechnet an",
        "session": "Ladevorgang",
        "revision": "Fassung",
        "notes": "Hinweise",
        "signed": "Signierte Messdaten",
        "documents": "{count} in dieser Datei, wie von der Ladestation gesendet",
        "none": "keine von dieser Ladestation",
        "box": "Signiert von Box",
        "at": "Signiert am",
        "place": "Stelle im Journal",
        "unknown": "nicht bekannt",
        "provisional": "Vorläufig: Die Ladestation hat das Ende noch nicht selbst gemeldet.",
        "check": "Diese Datei ohne Netz prüfen: plugside receipt verify DATEI",
        "times": "Zeiten sind UTC. Die Box hat signiert, was sie bei der Meldung der Ladestation aufschrieb.",
        "measured": "gemessen",
        "estimated": "geschätzt",
        "operator": "vom Betreiber festgelegt",
        EnergyMethod.REGISTER.value: "Zählerstand am Ende minus Zählerstand zu Beginn",
        EnergyMethod.SAMPLES.value: "Zählerstände während des Ladens",
        EnergyMethod.INTERVAL.value: "gemeldete Mengen je Intervall",
        EnergyMethod.INTEGRATED.value: "Leistung über die Zeit",
        EnergyMethod.STATED.value: "mit Begründung angegeben",
        EnergyMethod.UNKNOWN.value: "nicht bekannt",
    },
}

#: No script, nothing from elsewhere, whatever was put into the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = (
    "@page{size:A4;margin:18mm}"
    "body{font:11pt/1.5 system-ui,sans-serif;color:#111;background:#fff;max-width:42em;margin:2em auto;"
    "padding:0 1em}"
    "h1{font-size:20pt;margin:0 0 .2em}.sum{font-size:26pt;font-weight:600;margin:.2em 0 .8em}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.3em 0;border-top:1px solid #ccc;font-weight:400}"
    "th{color:#555;width:38%;padding-right:1em}td{overflow-wrap:anywhere}"
    "p{color:#555;font-size:9pt;margin:1em 0 0}"
    "@media print{body{margin:0;padding:0}}"
)


def page(receipt: Receipt, told: Iterable[Fact], language: str = "en") -> str:
    """The page of a receipt that was checked; `told` is what the check gave. language: one of LANGUAGES."""
    words = TEXTS[language]
    said = summary(told)
    row = said.row
    energy = words["unknown"] if row.energy_wh is None else f"{_number(row.energy_wh / 1000, language)} kWh"
    how = f"{words[said.obtained]}: {words[row.method.value]}"
    documents = words["documents"].format(count=len(said.documents)) if said.documents else words["none"]
    rows = [
        ("site", receipt.name or receipt.site),
        ("charger", f"{row.charger}, {words['outlet']} {row.evse}" if row.evse else row.charger),
        ("began", _time(row.started_at, words)),
        ("ended", _time(row.ended_at, words)),
        ("meter_start", _register(row.meter_start_wh, words, language)),
        ("meter_stop", _register(row.meter_stop_wh, words, language)),
        ("how", how),
        ("who", said.principal or words["unknown"]),
        ("session", receipt.session),
        ("revision", str(row.revision)),
        ("notes", ", ".join(said.flags)),
        ("signed", documents),
        ("box", fingerprint(receipt.key)),
        ("at", _time(receipt.at, words)),
        ("place", f"{receipt.epoch}, {receipt.records[-1].seq}"),
    ]
    cells = "".join(
        f"<tr><th>{escape(words[name])}</th><td>{escape(text)}</td></tr>\n" for name, text in rows if text
    )
    provisional = f"<p>{escape(words['provisional'])}</p>\n" if row.provisional else ""
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<meta http-equiv="content-security-policy" content="{_POLICY}">\n'
        f"<title>{escape(words['title'])} {escape(row.started_at[:10])}</title>\n<style>{_STYLE}</style>\n"
        f"</head>\n<body>\n<h1>{escape(words['title'])}</h1>\n"
        f'<div class="sum">{escape(energy)}</div>\n<table>\n{cells}</table>\n{provisional}'
        f"<p>{escape(words['times'])}</p>\n<p>{escape(words['check'])}</p>\n"
        f"{_OPEN}{escape(receipt_bytes(receipt).decode())}{_CLOSE}\n</body>\n</html>\n"
    )


def receipt_in(text: str) -> str:
    """The receipt that a page carries. Raises BadReceipt(form)."""
    _, found, rest = text.partition(_OPEN)
    inside, ended, _ = rest.partition(_CLOSE)
    if not found or not ended:
        raise BadReceipt(Flaw.FORM, "this page carries no receipt")
    return unescape(inside)


def check_page(text: str, receipt: Receipt, told: Iterable[Fact]) -> None:
    """Whether a page shows what its receipt says. Returns, or raises BadReceipt(page)."""
    facts = tuple(told)
    if not any(text == page(receipt, facts, language) for language in LANGUAGES):
        raise BadReceipt(
            Flaw.PAGE,
            "the receipt in it is genuine, but the page shows something else, or was made by another version",
        )


def _time(text: str, words: dict[str, str]) -> str:
    known = instant_text(text)
    if known != text or not text:
        return words["unknown"]
    return f"{text[:10]} {text[11:19]} UTC" if text.endswith("Z") else text


def _register(value_wh: float | None, words: dict[str, str], language: str) -> str:
    return words["unknown"] if value_wh is None else f"{_number(value_wh / 1000, language)} kWh"


def _number(value: float, language: str) -> str:
    text = f"{value:.3f}"
    return text.replace(".", ",") if language == "de" else text
