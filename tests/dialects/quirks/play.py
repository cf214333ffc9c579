"""Plays a trace: each step does something, or holds something against what the box did. See README.md."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import itertools
import json
import logging
import re
import shlex
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from common import view
from common.commands import CLASSES, Name, arguments
from common.domain import Path, Role, Target
from common.errors import PlugsideError
from common.facts import AuthorizationChanged, ChargerSecured
from common.live import live
from common.policy import Claims
from common.view import ChargerView
from edge.core import inputs
from tests.dialects.quirks import box as boxes
from tests.dialects.quirks.answers import ANSWERS
from tests.dialects.quirks.box import SITE, Box, Clock, Ids
from tests.dialects.quirks.lines import PROTOCOL_KEY, Client, VirtualLoop, request
from tests.dialects.quirks.match import Names, differs
from tests.dialects.quirks.trace import Step, Trace
from tests.sim.disk import Disk

#: How long a step waits for what it expects, in virtual s.
PATIENCE_S = 5.0
#: The same on a socket, in real s, on a machine that may be busy.
REAL_PATIENCE_S = 30.0
#: After this long (s) with nothing more to come, what was said is all.
QUIET_S = 1.0
#: How long a command may live if its class lets it, in ms.
_EXPIRES_MS = 300_000
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_CALL = re.compile(r"([A-Za-z]+)(?:#(\S+))?\s*(.*)", re.DOTALL)


class Departs(AssertionError):  # noqa: N818 - it reads as what happened
    """The box did something else than the trace says."""


def play(trace: Trace) -> None:
    """Play one trace. Raises Departs with the line that does not hold."""
    factory = VirtualLoop if trace.on == "memory" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(Player(trace).run())


class Link:
    """One connection of a charger, as the trace sees it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: list[Any] = []  #: ids of our calls, in order
        self.calls: deque[list[Any]] = deque()  #: the box's calls that the trace has yet to look at
        self.said: deque[Any] = deque()  #: the box's answers, likewise
        self.answering: Any = None  #: the id of the call that the next `> {...}` answers


class Log(logging.Handler):
    """What the box writes to its log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Player:
    """The state of one play."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._patience_s = PATIENCE_S if trace.on == "memory" else REAL_PATIENCE_S
        self.names = Names()
        self.links: dict[str, Link] = {}
        self.answers = {**ANSWERS, **{key: _json(value) for key, value in trace.answers.items()}}
        self.disk = Disk()
        self.clock, self.ids = Clock(), Ids()
        self.vault = boxes.Vault()
        self.stages: dict[str, deque[inputs.CommandReply]] = {}  #: what apps hear, by command
        self.told: deque[inputs.CommandReply] = deque()  #: of the command that was given last
        self.log = Log()
        self._ids = itertools.count(1)
        self._left = list(trace.steps)
        self.box: Box

    async def run(self) -> None:
        """Play from beginning to end."""
        logger = logging.getLogger("plugside")
        level = logger.level
        logger.addHandler(self.log)
        logger.setLevel(logging.INFO)
        self.box = Box(self.disk, self.clock, self.ids, self.vault)
        await self.box.start(self.trace.adopted)
        try:
            while self._left:
                step = self._left.pop(0)
                await self._do(step)
        finally:
            logger.removeHandler(self.log)
            logger.setLevel(level)
            for link in self.links.values():
                link.client.transport.abort()
            await self.box.end()

    async def _do(self, step: Step) -> None:
        what = getattr(self, f"_do_{_VERBS.get(step.verb, step.verb)}", None)
        if what is None:
            raise Departs(f"{self.trace.path.name}, {step}: no such step; README.md lists them")
        try:
            await what(step)
        except (Departs, PlugsideError) as departs:
            seen = self._seen(step.link)
            raise Departs(f"{self.trace.path.name}, {step}\n  {departs}{seen}") from None

    def _seen(self, name: str) -> str:
        link = self.links.get(name)
        lines = [f"\n  not yet looked at: {list(link.said) + list(link.calls)}"] if link else []
        lines += [f"\n  log: {line}" for line in self.log.lines[-5:]]
        return "".join(lines)

    # --- connections -------------------------------------------------------------------------------------

    async def _do_dial(self, step: Step) -> None:
        """dial [PATH] [offer=..] [from=..] [basic=..] [expect=..] [pong=no] [header:Name=value]..."""
        first, _, raw = step.rest.partition("\n")
        words = [word for word in shlex.split(self.names.filled(first)) if word != "raw"]
        options = dict(word.split("=", 1) for word in words if "=" in word.partition("/")[0])
        path = next((word for word in words if "=" not in word.partition("/")[0]), "/CP1")
        client = Client(pongs=options.pop("pong", "yes") != "no")
        link = self.links[step.link] = Link(client)
        client.arrived = lambda: self._sort(link)
        expected = options.pop("expect", "101")
        loop: Any = asyncio.get_running_loop()
        where = {"address": options.pop("from", "10.0.0.7")} if self.trace.on == "memory" else {}
        options.pop("from", None)
        try:
            await loop.create_connection(lambda: client, "127.0.0.1", self.box.listener.port, **where)
        except OSError as refused:
            if expected != "unreachable":
                raise Departs(f"could not dial: {refused}") from None
            return
        client.transport.write(unescaped(raw) if raw else request(path, self._headers(options)))
        await client.until(lambda: client.status is not None or client.lost, 30)
        status = "dropped" if client.status is None else str(client.status)
        if status != expected:
            raise Departs(f"answered {status}, not {expected}: {client.response.decode()!r}")

    def _headers(self, options: dict[str, str]) -> dict[str, str]:
        headers = {
            "Host": "box",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": PROTOCOL_KEY,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": options.pop("offer", "ocpp" + self.trace.protocol),
        }
        if "basic" in options:
            import base64

            token = unescaped(options.pop("basic"))
            headers["Authorization"] = "Basic " + base64.b64encode(token).decode()
        for name, value in options.items():
            if not name.startswith("header:"):
                raise Departs(f"dial knows no option {name}")
            headers[name.removeprefix("header:")] = value
        return headers

    async def _do_handshake(self, step: Step) -> None:
        """handshake {pattern}: what the answer to the dial said, headers in lower case."""
        client = self._link(step).client
        about = {
            "status": client.status,
            "text": client.response.decode("utf-8", "replace"),
            **client.headers,
        }
        self._hold(_json(step.rest), about)

    async def _do_drop(self, step: Step) -> None:
        """drop [LINK]: the link breaks, with no word to anybody."""
        self._link(step, step.rest).client.transport.abort()
        await asyncio.sleep(0.1)

    async def _do_hangup(self, step: Step) -> None:
        """hangup CODE: the charger closes."""
        link = self._link(step)
        link.client.hang_up(int(step.rest or 1000))
        await link.client.until(lambda: link.client.lost, self._patience_s)

    async def _do_mute(self, step: Step) -> None:
        """mute: the charger's network is gone, and nothing says so: it neither hears nor speaks."""
        self._link(step).client.transport.pause_reading()

    async def _do_disk(self, step: Step) -> None:
        """disk fails: what was not on disk by now will never be; the box does what `edge.site` does then."""
        if step.rest != "fails":
            raise Departs("a disk only fails")
        self.box.fail()

    async def _do_bytes(self, step: Step) -> None:
        """bytes ...: raw bytes on the connection, below WebSocket; escapes as in Python."""
        self._link(step).client.transport.write(unescaped(step.rest))
        await asyncio.sleep(0.05)

    def _link(self, step: Step, name: str = "") -> Link:
        link = self.links.get(name or step.link)
        if link is None:
            raise Departs("nothing has dialled yet")
        return link

    # --- the charger speaks ------------------------------------------------------------------------------

    async def _do_say(self, step: Step) -> None:
        link, text = self._link(step), self.names.filled(step.rest)
        if text == "raw" or text.startswith("raw "):
            data = unescaped(text[4:])
        elif text.startswith("["):
            data = text.encode()
            with contextlib.suppress(ValueError, IndexError):
                frame = json.loads(text)
                link.asked += [frame[1]] if frame[0] == 2 else []
        elif text.startswith("{"):
            data = f"[3,{json.dumps(self._answering(link))},{text}]".encode()
        elif text.startswith("error "):
            _, code, *words = text.split(" ", 2)
            error = [4, self._answering(link), code, " ".join(words), {}]
            data = json.dumps(error).encode()
        else:
            called = _CALL.fullmatch(text)
            if called is None:
                raise Departs("not a frame: `Action {...}`, `{...}`, `error Code`, `[...]` or `raw ...`")
            message_id = called[2] or f"m{next(self._ids)}"
            link.asked.append(message_id)
            data = f'[2,{json.dumps(message_id)},"{called[1]}",{called[3] or "{}"}]'.encode()
        if link.client.lost:
            raise Departs("the connection is over")
        link.client.send(data)

    def _answering(self, link: Link) -> Any:
        if link.answering is None:
            raise Departs("there is no call of the box to answer: look at it first, with `< Action {...}`")
        answering, link.answering = link.answering, None
        return answering

    # --- the box speaks ----------------------------------------------------------------------------------

    def _sort(self, link: Link) -> None:
        """Calls to one side, answers to the other; calls that the trace is not about are answered at once."""
        while link.client.frames:
            frame = link.client.frames.popleft()
            if frame[0] != 2:
                link.said.append(frame)
            elif frame[2] in ANSWERS and frame[2] not in self._upcoming():
                self._answer(link, frame)
            else:
                link.calls.append(frame)

    def _upcoming(self) -> set[str]:
        """Actions that a later step looks at."""
        return {step.rest.split(None, 1)[0] for step in self._left if step.verb == "<" and step.rest} | {
            self._awaited
        }

    _awaited = ""

    def _answer(self, link: Link, call: list[Any]) -> None:
        answer = self.answers.get(call[2])
        if answer == "silence":
            return
        given = answer(call[3]) if callable(answer) else answer
        link.client.send(json.dumps([3, call[1], given]).encode())

    async def _do_hear(self, step: Step) -> None:
        link, text = self._link(step), step.rest
        if text.startswith("nothing"):
            await self._hear_nothing(link, text.removeprefix("nothing").strip())
        elif text.startswith("closed"):
            await self._hear_close(link, text.removeprefix("closed").split())
        elif text == "ping":
            await self._until(link, lambda: link.client.pings > 0, "no ping came")
            link.client.pings = 0
        elif text[:1] in "{[" or text.startswith("error"):
            await self._hear_answer(link, text)
        else:
            await self._hear_call(link, text)

    async def _hear_nothing(self, link: Link, within: str) -> None:
        await asyncio.sleep(_seconds(within) if within else QUIET_S)
        if link.said or link.calls:
            raise Departs("something came")

    async def _hear_close(self, link: Link, words: list[str]) -> None:
        await self._until(link, lambda: link.client.lost, "the connection stands")
        code = link.client.closed.code if link.client.closed else 1006
        if words and str(int(code)) != words[0]:
            raise Departs(f"closed with {code}, not {words[0]}")

    async def _hear_answer(self, link: Link, text: str) -> None:
        await self._until(link, lambda: bool(link.said), "no answer came")
        frame = link.said.popleft()
        if text.startswith("["):
            self._hold(_json(text), frame)
            return
        if not link.asked or frame[1] != link.asked[-1]:
            raise Departs(f"it answers {frame[1]!r}, not the last call: {frame}")
        if text.startswith("error"):
            code = text.removeprefix("error").strip()
            if frame[0] != 4 or code not in ("", frame[2]):
                raise Departs(f"not that error: {frame}")
        elif frame[0] != 3:
            raise Departs(f"not a result: {frame}")
        else:
            self._hold(_json(text), frame[2])

    async def _hear_call(self, link: Link, text: str) -> None:
        action, _, pattern = text.partition(" ")
        wanted = _json(pattern) if pattern else {}
        self._awaited = action
        try:
            while True:
                await self._until(link, lambda: bool(link.calls), f"no {action} came")
                call = link.calls.popleft()
                why = f"it is {call[2]}" if call[2] != action else differs(wanted, call[3], self.names)
                if why is None:
                    link.answering = call[1]
                    return
                if call[2] not in ANSWERS:
                    raise Departs(f"{why}: {call}")
                self._answer(link, call)
        finally:
            self._awaited = ""

    async def _until(self, link: Link, condition: Any, otherwise: str) -> None:
        if not await link.client.until(condition, self._patience_s):
            raise Departs(otherwise)

    async def _do_answer(self, step: Step) -> None:
        """answer ACTION {...}: from here on, how calls are answered that no step looks at."""
        action, _, text = step.rest.partition(" ")
        self.answers[action] = _json(text)

    # --- the world ---------------------------------------------------------------------------------------

    async def _do_wait(self, step: Step) -> None:
        """wait 30s"""
        await asyncio.sleep(_seconds(step.rest))

    async def _do_clock(self, step: Step) -> None:
        """clock +2h: the box's wall clock steps."""
        self.clock.stepped_ms += round(1000 * _seconds(step.rest.lstrip("+-"))) * (
            -1 if step.rest.startswith("-") else 1
        )

    async def _do_restart(self, _: Step) -> None:
        """restart: the box's process is killed, and starts again from its disk."""

        def cut() -> None:
            for link in self.links.values():
                link.client.transport.abort()

        await self.box.crash(cut)
        await self._come_up()

    async def _do_stop(self, _: Step) -> None:
        """stop: the box is shut down, and starts again."""
        await self.box.end()
        await self._come_up()

    async def _come_up(self) -> None:
        self.box = Box(self.disk, self.clock, self.ids, self.vault)
        await self.box.start()

    async def _do_adopt(self, step: Step) -> None:
        """adopt CP2"""
        from common.facts import ChargerAdopted

        self.box.gateway.note(ChargerAdopted(charger=step.rest))
        await asyncio.sleep(0.2)

    async def _do_password(self, step: Step) -> None:
        """password CP1 secret; escapes as in Python"""
        charger, _, secret = step.rest.partition(" ")
        self.box.credentials.forget(charger)
        self.box.credentials.take({charger: boxes.planted("planted", unescaped(secret))})
        self.box.gateway.note(ChargerSecured(charger=charger, change="set", profile=1))
        await asyncio.sleep(0.2)

    async def _do_tag(self, step: Step) -> None:
        """tag TEXT belongs to anna"""
        tag, _, _, principal = step.rest.split()
        ref = boxes.tag_ref(tag.casefold())
        self.box.gateway.note(AuthorizationChanged(change="tag_assigned", tag_ref=ref, principal=principal))
        await asyncio.sleep(0.2)

    # --- people ------------------------------------------------------------------------------------------

    async def _do_app(self, step: Step) -> None:
        """app NAME CHARGER[/EVSE] [as=anna] [role=driver] [id=..] [{args}]"""
        words, brace, rest = self.names.filled(step.rest).partition("{")
        name, target, *options = words.split()
        told = dict(option.split("=", 1) for option in options)
        charger, _, evse = target.partition("/")
        command = Name(name)
        args = json.loads(brace + rest) if brace else {}
        role = Role(told.get("role", "driver" if command in _DRIVERS else "operator"))
        command_id = told.get("id", f"cmd-{next(self._ids)}")
        self.told = self.stages.setdefault(command_id, deque())
        given = inputs.CommandReceived(
            claims=Claims(site=SITE, principal=told.get("as", "anna"), role=role),
            path=Path.LAN,
            id=command_id,
            name=command,
            target=Target(charger, int(evse) if evse else None),
            args=arguments(command, args),
            expires_ms=self.clock.now_ms() + min(CLASSES[command].ttl_ms, _EXPIRES_MS),
            fingerprint=f"{name} {target} {args}",
            site=SITE,
        )
        self.box.gateway.command(given, self.told.append)

    async def _do_told(self, step: Step) -> None:
        """told [id=..] STAGE [answer, outcome or code] [{pattern}]: the next that the app hears."""
        words, brace, rest = step.rest.partition("{")
        if words.startswith("id="):
            which, _, words = words.removeprefix("id=").partition(" ")
            self.told = self.stages[which]
        for _ in range(int(self._patience_s * 100)):
            if self.told:
                break
            await asyncio.sleep(0.01)
        else:
            raise Departs("the app heard nothing")
        reply = msgspec.to_builtins(self.told.popleft())
        values = {reply["stage"], reply["answer"], reply["outcome"], reply["code"]}
        if not set(words.split()) <= values:
            raise Departs(f"the app heard {reply}")
        if brace:
            self._hold(_json(brace + rest), reply)

    # --- what is true now --------------------------------------------------------------------------------

    async def _do_fact(self, step: Step) -> None:
        """fact KIND [{pattern}]: at least one"""
        if not await self._facts(step.rest):
            raise Departs(f"there is none among {self._kinds(step.rest)}")

    async def _do_no(self, step: Step) -> None:
        """no fact KIND [{pattern}], no why {pattern}, no session, no log WORDS"""
        what, _, rest = step.rest.partition(" ")
        if what == "fact":
            found: Any = await self._facts(rest)
        elif what == "why":
            found = self._whys(rest)
        elif what == "log":
            found = [line for line in self.log.lines if re.search(rest, line)]
        else:
            found = await self._sessions()
        if found:
            raise Departs(f"there is: {found}")

    async def _do_facts(self, step: Step) -> None:
        """facts N KIND [{pattern}]: exactly so many"""
        count, _, rest = step.rest.partition(" ")
        found = await self._facts(rest)
        if len(found) != int(count):
            raise Departs(f"there are {len(found)}: {found}")

    async def _facts(self, text: str) -> list[Any]:
        kind, _, pattern = text.partition(" ")
        await asyncio.sleep(0.3)
        wanted = _json(pattern) if pattern else {}
        bodies = [msgspec.to_builtins(fact.body) for fact in self.disk.facts if fact.kind == kind]
        return [body for body in bodies if differs(wanted, body, self.names) is None]

    def _kinds(self, text: str) -> Any:
        kind = text.split(" ")[0]
        alike = [msgspec.to_builtins(fact.body) for fact in self.disk.facts if fact.kind == kind]
        return alike or sorted({fact.kind for fact in self.disk.facts})

    async def _sessions(self) -> list[dict[str, Any]]:
        await asyncio.sleep(0.3)
        return boxes.sessions(self.disk)

    async def _do_session(self, step: Step) -> None:
        """session [N] {pattern}: the only session, or the Nth that began"""
        which, brace, rest = step.rest.partition("{")
        found = await self._sessions()
        if not which.strip() and len(found) != 1:
            raise Departs(f"there are {len(found)} sessions: {found}")
        number = int(which or 1)
        if len(found) < number:
            raise Departs(f"there are {len(found)} sessions")
        self._hold(_json(brace + rest), found[number - 1])

    async def _do_sessions(self, step: Step) -> None:
        """sessions N"""
        found = await self._sessions()
        if len(found) != int(step.rest):
            raise Departs(f"there are {len(found)}: {found}")

    async def _do_charger(self, step: Step) -> None:
        """charger [ID] {pattern}: as people see it"""
        which, brace, rest = step.rest.partition("{")
        await asyncio.sleep(0.3)
        self._hold(_json(brace + rest), _whole(self._charger(which)))

    async def _do_connector(self, step: Step) -> None:
        """connector EVSE {pattern}: of CP1; absent fields read as their defaults"""
        which, brace, rest = step.rest.partition("{")
        await asyncio.sleep(0.3)
        place = self._charger("").connectors.get(int(which))
        if place is None:
            raise Departs("there is no such connector")
        self._hold(_json(brace + rest), _whole(place))

    async def _do_flow(self, step: Step) -> None:
        """flow CHARGER/EVSE {pattern}: live figures of the open session there, as an app shows them now"""
        where, brace, rest = step.rest.partition("{")
        charger, _, evse = where.strip().partition("/")
        await asyncio.sleep(0.3)
        open_there = view.open_session(self.box.gateway.state.view, charger, int(evse))
        if open_there is None:
            raise Departs("there is no open session")
        self._hold(_json(brace + rest), msgspec.structs.asdict(live(open_there, self.clock.now_ms())))

    def _charger(self, which: str) -> ChargerView:
        entry = self.box.gateway.state.view.chargers.get(which.strip() or "CP1")
        if entry is None:
            raise Departs("there is no such charger")
        return entry

    async def _do_listener(self, step: Step) -> None:
        """listener [ID] {pattern}: what the door knows of a charger"""
        which, brace, rest = step.rest.partition("{")
        name = which.strip() or "CP1"
        known = {about["charger"]: about for about in self.box.listener.describe()}
        if name not in known:
            raise Departs(f"it knows {sorted(known)}")
        self._hold(_json(brace + rest), json.loads(json.dumps(known[name])))

    async def _do_why(self, step: Step) -> None:
        """why [ID] {pattern}: one of the findings about a charger, or about any dial"""
        if not await self._turns_up(lambda: self._whys(step.rest)):
            which = step.rest.partition("{")[0]
            raise Departs(f"it says: {self._whys(which + '{}')}")

    def _whys(self, rest: str) -> list[dict[str, Any]]:
        which, brace, pattern = rest.partition("{")
        found = self.box.findings(which.strip())
        return [told for told in found if differs(_json(brace + pattern), told, self.names) is None]

    async def _do_log(self, step: Step) -> None:
        """log WORDS: some line of the log says so (a regular expression)"""
        said = re.compile(step.rest)
        if not await self._turns_up(lambda: list(filter(said.search, self.log.lines))):
            raise Departs(f"the log says: {self.log.lines}")

    async def _turns_up(self, look: Callable[[], list[Any]]) -> list[Any]:
        """What is there after a moment: in memory all has happened by then; on a socket it takes longer."""
        await asyncio.sleep(0.1)
        looks = 1 if self.trace.on == "memory" else int(REAL_PATIENCE_S * 10)
        for _ in range(looks):
            if found := look():
                return found
            await asyncio.sleep(0.1)
        return []

    def _hold(self, pattern: Any, value: Any) -> None:
        why = differs(pattern, value, self.names)
        if why is not None:
            raise Departs(why)


_VERBS = {">": "say", "<": "hear"}
_DRIVERS = {Name.START, Name.STOP, Name.UNLOCK}


def _json(text: str) -> Any:
    if text.strip() == "silence":
        return "silence"
    try:
        return json.loads(text)
    except ValueError as wrong:
        raise Departs(f"not JSON: {wrong}: {text}") from None


def _whole(struct: msgspec.Struct) -> Any:
    """Every field as plain data, defaults too."""
    return msgspec.to_builtins(msgspec.structs.asdict(struct))


def _seconds(text: str) -> float:
    found = re.fullmatch(r"\s*([\d.]+)\s*(ms|s|m|h|d)\s*", text)
    if found is None:
        raise Departs(f"a time is like 300ms, 30s, 5m, 2h or 1d, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def unescaped(text: str) -> bytes:
    r"""Text with Python's escapes (`\x00`, `\r\n`) as bytes; other characters as UTF-8."""
    if "\\" not in text:
        return text.encode()
    quoted = text.encode().replace(b'"""', b'\\"\\"\\"').decode("latin-1")
    escaped = "".join(c if ord(c) < 128 else f"\\x{ord(c):02x}" for c in quoted)
    if escaped.endswith('"'):
        escaped = escaped[:-1] + '\\"'
    return bytes(ast.literal_eval(f'b"""{escaped}"""'))
