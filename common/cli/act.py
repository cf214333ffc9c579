"""`plugside start` and `stop`: a command's stages as they come, and an exit code that a script can trust."""

from __future__ import annotations

import argparse
import asyncio
import sys

from common import wire
from common.cli.output import DONE, FAILED, REFUSED, exit_code, print_json, printable, report_error
from common.cli.show import settle
from common.cli.words import energy_text
from common.client.client import Client
from common.client.courier import Run
from common.client.naming import called, find_charger, open_session
from common.commands import Name
from common.domain import Path, Target
from common.errors import Code, PlugsideError, Refused
from common.view import ChargerView

#: How long the final figures of a charge may be behind the news that it has ended.
FIGURES_S = 1.0


async def start(client: Client, args: argparse.Namespace) -> int:
    """Begin a charge. One that was asked for before, and may still come, is asked about instead."""
    site, charger = await find(client, args.charger)
    target = Target(charger.id, args.evse)
    again = [one for one in client.pending(site) if one.name is Name.START and one.target == target]
    run = client.resume(again[-1]) if again else client.command(site, Name.START, target)
    return await Report(client, run, charger, args).follow()


async def stop(client: Client, args: argparse.Namespace) -> int:
    """End the charge of one's own at a charger."""
    site, charger = await find(client, args.charger)
    session = open_session(client.view(site), charger, args.evse)
    target = Target(charger.id, session.evse)
    run = client.command(site, Name.STOP, target, {"session": session.session})
    for one in client.pending(site):
        if one.name is Name.START and one.target.charger == charger.id:
            client.profile.settle(one.id)  # the next start is a new one
    return await Report(client, run, charger, args).follow()


async def find(client: Client, text: str) -> tuple[str, ChargerView]:
    """The charger that is meant, among all that can be seen. Raises PlugsideError."""
    reasons = await settle(client)
    views = {site: client.view(site) for site in client.sites if site not in reasons}
    if not views:
        raise next(iter(reasons.values()))
    try:
        return find_charger(views, text)
    except Refused as unknown:
        # Where a site is out of reach, the charger may well be there.
        raise next(iter(reasons.values()), unknown) from None


class Report:
    """Tells of one run."""

    def __init__(self, client: Client, run: Run, charger: ChargerView, args: argparse.Namespace) -> None:
        self._client, self._run = client, run
        self._name = printable(called(charger))
        self._json: bool = args.json
        self._wait: bool = not args.no_wait

    async def follow(self) -> int:
        """To the end, or to the charger's answer. Returns the exit code."""
        run = self._run
        self._say(f"{run.name.value.replace('_', ' ')} asked")
        try:
            await run.accepted()
            self._say(f"accepted by the box {self._way('accepted')}")
            answer = await run.confirmed()
            if answer is not None:
                says = _ANSWERS.get(answer.answer, printable(answer.answer))
                self._say(f"the charger {says} {self._way('confirmed')}")
                if not self._wait and answer.answer in _YES:
                    return self._told(DONE)
            end = await run.settled()
        except PlugsideError as failed:
            return self._failed(failed)
        return await self._ended(end)

    def _say(self, text: str) -> None:
        if not self._json:
            print(f"{self._name}: {text}", flush=True)

    def _way(self, stage: str) -> str:
        by = {Path.LAN: "on the LAN", Path.CLOUD: "through the cloud", None: ""}[self._run.path]
        return f"({self._run.timings_ms[stage]:.0f} ms, {by})"

    async def _ended(self, end: wire.Settled) -> int:
        if end.outcome == "succeeded":
            figures = await self._figures(end)
            limit_a = end.result.get("limit_a")
            limited = "no limit of your own any more" if limit_a is None else f"at most {limit_a:g} A, proven"
            done = {
                Name.STOP: f"stopped{figures}",
                Name.LIMIT: limited,
                Name.CLEAR_LIMIT: limited,
                Name.RESERVE: "kept for you",
                Name.CANCEL_RESERVATION: "no longer kept for you",
            }
            self._say(done.get(self._run.name, "charging"))
            return self._told(DONE, end)
        if not self._json:
            told = end.message or f"{self._run.name.value}: {end.outcome}."
            print(f"{self._name}: {printable(told)}", file=sys.stderr)
            if end.hint:
                print(end.hint, file=sys.stderr)
        return self._told(REFUSED if end.outcome == "refused" else FAILED, end)

    async def _figures(self, end: wire.Settled) -> str:
        """What was charged, once the session's end is here too."""
        if self._run.name is not Name.STOP or self._json:
            return ""
        view, changes = self._client.view(self._run.site), self._client.changes()
        try:
            async with asyncio.timeout(FIGURES_S):
                while (session := view.sessions.get(end.session)) is None or not session.ended_at:
                    await anext(changes)
                    view = self._client.view(self._run.site)
        except TimeoutError:
            return ""
        energy = energy_text(session.energy_wh)
        return f", {energy}" if energy else ""

    def _failed(self, failed: PlugsideError) -> int:
        # What was sent and not heard of again is not "unreachable": it may have happened.
        unknown = bool(self._run.sent_by) and failed.code in {Code.NO_PATH, Code.SHUTTING_DOWN}
        if not self._json:
            code = report_error(failed)
            return FAILED if unknown else code
        code = FAILED if unknown else exit_code(failed)
        error = {"code": failed.code.value, "message": failed.message, "hint": failed.hint}
        print_json({**self._facts(), "outcome": "unknown" if unknown else "refused", "error": error})
        return code

    def _told(self, code: int, end: wire.Settled | None = None) -> int:
        if self._json:
            told = {"outcome": end.outcome, "code": end.code, "message": end.message} if end else {}
            session = {"session": end.session or None} if end else {}
            print_json({**self._facts(), **told, **session})
        return code

    def _facts(self) -> dict[str, object]:
        run = self._run
        return {
            "command": run.id,
            "name": run.name.value,
            "site": run.site,
            "charger": run.target.charger,
            "path": run.path,
            "sent_by": list(run.sent_by),
            "answer": run.answer.answer if run.answer else None,
            "timings_ms": {stage: round(ms, 2) for stage, ms in run.timings_ms.items()},
        }


_YES = frozenset({"accepted", "scheduled"})
_ANSWERS = {
    "accepted": "says yes",
    "scheduled": "will do it when it can",
    "rejected": "says no",
    "not_supported": "cannot do that",
    "timeout": "has not answered yet",
    "error": "answered with an error",
}
