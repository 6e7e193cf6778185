"""The Matrix driver: opens a server for one run, reads all rooms of ours, and hands batches to those who know how.

A chat is found by its mark, which only our account can have set (`room`), hence without a store; a room that took the
place of a marked one by an upgrade is followed (`reading`). `rooms` makes and changes rooms, `people` who is in them.
What others do to rooms is told by `/sync` (`listening`).
"""

from __future__ import annotations

import contextlib
import ssl as tls
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from types import TracebackType
from typing import Final, Self

import aiohttp

from homeroom.api import Language
from homeroom.chats import Actual, Capabilities, Desired, Picture
from homeroom.chats.names import NOTICES
from homeroom.errors import HomeroomError, IncompleteReadError, InvalidSpecError, TerminalError, TransientError
from homeroom.hop import Hop, name_resolution
from homeroom.plan import Change, Kind, Op, Outcome
from homeroom.platforms import Changes, Named
from homeroom.platforms.matrix import listening
from homeroom.platforms.matrix.api import ADMIN, CLIENT, Api, RefusedCallError, path
from homeroom.platforms.matrix.calls import announce
from homeroom.platforms.matrix.direct import tell
from homeroom.platforms.matrix.links import link
from homeroom.platforms.matrix.people import People, applied, failed, skipped
from homeroom.platforms.matrix.reading import Found, found
from homeroom.platforms.matrix.room import CHAT_MARK, ENFORCEMENT, Mark, Room
from homeroom.platforms.matrix.rooms import NotOursError, Rooms, Us
from homeroom.wire import gathered

VERSIONS: Final = ("11", "12")
"""Versions of rooms that this driver knows; in others, powers may mean something else."""

NOTICE: Final = NOTICES[Language.ENGLISH]

_TOKENS: Final = f"{ADMIN}/v1/registration_tokens"
_VALIDITY: Final = "_matrix/client/v1/register/m.login.registration_token/validity"
_READING: Final = 8
_WRITING: Final = 4
"""Calls in flight. Synapse works with one core: this keeps it busy, and more only queue there."""

_TESTED: Final = "1.163."
_UNLIMITED: Final = {"messages_per_second": 0, "burst_count": 0}

Step = Callable[[str, Sequence[Change], Desired], Awaitable[Sequence[Outcome]]]
"""Carries out the changes of one chat, by its key; an outcome for each, in order."""


class MatrixPlatform:
    """One Synapse server, for one run. Implements `homeroom.platforms.Platform`.

    `url`: where its client API is. `server_name`: what accounts end with. `token`: an access token of a server
    administrator whose account is nobody else's and never changes: rooms made by another account are not ours. `owner`:
    who we are in the world. `room_version`: of rooms that are made. `notice`: what people are told. `registers`: people
    are to make accounts there; `named`: since when others say whose an account is.
    `connector`, `middlewares`, `proxy` and `ssl` are how to get there.
    """

    def __init__(
        self,
        *,
        url: str,
        server_name: str,
        token: str,
        owner: str,
        room_version: str = VERSIONS[-1],
        notice: str = NOTICE,
        registers: bool = False,
        named: Named | None = None,
        connector: Callable[[], aiohttp.BaseConnector] | None = None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
        proxy: str | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        if not token:
            raise TerminalError("the Secret lacks accessToken: add it", reason="SecretNotFound")
        if not owner:
            raise InvalidSpecError("a platform needs an owner: set `--owner-id`")
        if room_version not in VERSIONS:
            raise InvalidSpecError(f"rooms of version {room_version} are not known: choose {' or '.join(VERSIONS)}")
        self._server_name = server_name
        self._owner = owner
        self._version = room_version
        self._notice = notice
        self._registers = registers
        self._named = named
        self._open: Callable[[], Api] = lambda: Api(
            url=url,
            token=token,
            connector=connector() if connector else None,
            middlewares=middlewares,
            proxy=proxy,
            tls=ssl,
        )
        self._opened: Api | None = None
        self._operator = ""
        self._limits_lifted = False
        self._found = Found()

    @property
    def capabilities(self) -> Capabilities:
        """Nobody can come in by a link, as nobody can without being invited; rooms are archived and never deleted."""
        return Capabilities(
            create=True,
            force_add=True,
            invite_link=False,
            remove=True,
            set_role=True,
            rename=True,
            archive=True,
            delete=False,
            calls=True,
            events=True,
            settings=ENFORCEMENT,
        )

    @property
    def _api(self) -> Api:
        if self._opened is None:
            message = "a platform is used inside `async with`"
            raise RuntimeError(message)
        return self._opened

    async def __aenter__(self) -> Self:
        """Connect, and make sure of our rights."""
        self._opened = self._open()
        try:
            self._operator = await self._who(self._opened)
            await self._see_administrator(self._opened, self._operator)
        except BaseException:
            await self._opened.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. There is no session that could end."""
        await self._api.close()
        self._opened = None

    async def _who(self, api: Api) -> str:
        """The account that the token is for. Raises InvalidSpecError when it is on another server."""
        operator = str((await api.call("GET", f"{CLIENT}/account/whoami")).get("user_id", ""))
        if operator.partition(":")[2] != self._server_name:
            raise InvalidSpecError(
                f"the account of the access token is not on {self._server_name}: name the server as its accounts do"
            )
        return operator

    @staticmethod
    async def _see_administrator(api: Api, operator: str) -> None:
        """Make sure that our account administrates the server. Raises TerminalError."""
        try:
            answer = await api.call("GET", path(f"{ADMIN}/v1/users", operator, "admin"))
        except RefusedCallError:
            answer = {}
        if answer.get("admin") is not True:
            raise TerminalError(
                "the account of the access token is no server administrator of synapse: make it one",
                reason="CredentialsInvalid",
            )

    @staticmethod
    async def _limitless(api: Api, operator: str) -> bool:
        """Whether our account may do as much as it likes."""
        at = path(f"{ADMIN}/v1/users", operator, "override_ratelimit")
        return bool(await api.call("GET", at) == _UNLIMITED)

    # Reading

    async def read(self, only: Collection[str] | None = None) -> Actual:
        """Read all rooms of ours, live: one call lists the rooms that our account is in, one more tells all about each.

        A room that Synapse does not want to tell about leaves the whole incomplete: nobody knows which chat it is.
        `only` some are found by their aliases, with the rooms whose place they took and the spaces that hold them.
        """
        if only is not None:
            return await self._read_some(only)
        try:
            answer = await self._api.call("GET", f"{CLIENT}/joined_rooms")
        except RefusedCallError as error:
            raise IncompleteReadError(
                f"synapse refused to list our rooms: {error.message}", reason="TargetIncomplete"
            ) from error
        listed = answer.get("joined_rooms") if isinstance(answer, dict) else None
        if not isinstance(listed, list):
            raise IncompleteReadError(
                "synapse answered something other than a list of rooms: check its version", reason="TargetIncomplete"
            )
        rooms = Rooms(self._api, self._us, self._found)

        async def state(room: str) -> Room | None:
            try:
                return await rooms.state(room)
            except NotOursError:
                return None

        states = await gathered(state, map(str, listed), at_once=_READING)
        whole = [room for room in states if room is not None and room.whole]
        self._found, actual = found(
            whole, owner=self._owner, operator=self._operator, complete=len(whole) == len(listed)
        )
        return actual

    async def _read_some(self, keys: Collection[str]) -> Actual:
        rooms = Rooms(self._api, self._us, self._found)

        async def lineage(key: str) -> list[Room]:
            """The room under an alias, then those whose place it took, and those that took its own."""
            todo, seen = [await rooms.resolved(key)], dict[str, Room]()
            while todo:
                place = todo.pop()
                if place is None or place in seen:
                    continue
                try:
                    room = seen[place] = await rooms.state(place)
                except NotOursError:
                    continue
                todo += [room.predecessor if room.mark() is None else None, room.replacement]
            return list(seen.values())

        found_rooms = await gathered(lineage, sorted(set(keys)), at_once=_READING)
        known = {room.id: room for several in found_rooms for room in several}
        marks = [mark for room in known.values() if (mark := room.mark()) is not None]
        spaces = await gathered(lineage, sorted({mark.space for mark in marks if mark.space}), at_once=_READING)
        known |= {room.id: room for several in spaces for room in several}
        whole = [room for room in known.values() if room.whole]
        self._found, actual = found(whole, owner=self._owner, operator=self._operator, complete=False)
        return actual

    @property
    def _us(self) -> Us:
        return Us(
            operator=self._operator,
            server=self._server_name,
            owner=self._owner,
            version=self._version,
            notice=self._notice,
        )

    # Listening

    async def changes(self, after: str | None) -> Changes:
        """Wait for what others do to rooms of ours. Our own account is put out of a room so seldom that all is read."""
        if after is None:
            answer = await self._api.call("GET", listening.START)
            return Changes(until=listening.until(answer), everything=True)
        try:
            answer = await self._api.call("GET", listening.path(after))
        except RefusedCallError as error:
            if error.status == 400:  # the server has forgotten how far we were
                return await self.changes(None)
            raise TransientError(f"no changes are told: {error.message}", reason="TargetUnavailable") from error
        told = listening.told(answer, operator=self._operator)
        closed: list[str] = []

        async def chat(room: str) -> Mark | None:
            at = path(f"{CLIENT}/rooms", room, "state", CHAT_MARK, "")
            try:
                event = await self._api.call("GET", f"{at}?format=event")
            except RefusedCallError as error:
                closed.extend([] if error.status == 404 else [room])
                return None
            return Room(room, [event], operator=self._operator).mark()

        marks = await gathered(chat, sorted(told.rooms), at_once=_READING)
        return Changes(
            until=told.until,
            chats=frozenset((mark.owner, mark.key) for mark in marks if mark is not None),
            everything=told.lost or bool(closed),
        )

    # Applying

    async def apply(self, batch: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
        """Carry out one batch; see `homeroom.platforms.Platform.apply`."""
        if not batch:
            return []
        kind, op = batch[0].kind, batch[0].op
        step = self._steps().get((kind, op))
        if step is None:
            return [failed(change, f"matrix has no {op.value} for {kind.value}") for change in batch]
        await self._lift_limits()
        chats = [(key, list(changes)) for key, changes in groupby(sorted(batch, key=_place), _place)]

        async def carry_out(chat: tuple[str, Sequence[Change]]) -> Sequence[Outcome]:
            key, changes = chat
            try:
                return await step(key, changes, wanted)
            except NotOursError as error:
                return [skipped(change, error.message) for change in changes]
            except RefusedCallError as error:
                return [failed(change, error.message) for change in changes]

        outcomes = await gathered(carry_out, chats, at_once=_WRITING)
        done = {outcome.seq: outcome for several in outcomes for outcome in several}
        return [done[change.seq] for change in batch]

    def _steps(self) -> Mapping[tuple[Kind, Op], Step]:
        rooms, people = Rooms(self._api, self._us, self._found), People(self._api, self._us, self._named)

        async def create(key: str, changes: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
            room = await rooms.create(key, wanted)
            return [applied(change, room) for change in changes]

        async def update(key: str, changes: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
            room = await rooms.update(key, wanted)
            return [applied(change, room) for change in changes]

        async def archive(key: str, changes: Sequence[Change], _: Desired) -> Sequence[Outcome]:
            room = await rooms.archive(key)
            return [applied(change, room) for change in changes]

        async def add(key: str, changes: Sequence[Change], _: Desired) -> Sequence[Outcome]:
            room = await rooms.claimed(key)
            return [await tried(people.add, room, change) for change in changes]

        async def remove(key: str, changes: Sequence[Change], _: Desired) -> Sequence[Outcome]:
            room = await rooms.claimed(key)
            return [await tried(people.remove, room, change) for change in changes]

        async def grant(key: str, changes: Sequence[Change], _: Desired) -> Sequence[Outcome]:
            return await people.appoint(await rooms.claimed(key), changes, administrator=True)

        async def revoke(key: str, changes: Sequence[Change], _: Desired) -> Sequence[Outcome]:
            return await people.appoint(await rooms.claimed(key), changes, administrator=False)

        return {
            (Kind.CHAT, Op.CREATE): create,
            (Kind.CHAT, Op.UPDATE): update,
            (Kind.CHAT, Op.RESTORE): update,
            (Kind.CHAT, Op.ARCHIVE): archive,
            (Kind.MEMBERSHIP, Op.CREATE): add,
            (Kind.MEMBERSHIP, Op.REMOVE): remove,
            (Kind.RIGHT, Op.CREATE): grant,
            (Kind.RIGHT, Op.REMOVE): revoke,
        }

    async def _lift_limits(self) -> None:
        """Synapse lets an account make ten rooms and then one a minute. Lifted once, for ever, and only for ours."""
        if not self._limits_lifted:
            if not await self._limitless(self._api, self._operator):
                at = path(f"{ADMIN}/v1/users", self._operator, "override_ratelimit")
                await self._api.call("POST", at, _UNLIMITED)
            self._limits_lifted = True

    async def tell(self, account: str, text: str, *, title: str) -> None:
        """Send a message; see `homeroom.platforms.Platform.tell`."""
        await tell(self._api, self._us, account, text, title=title)

    def address(self, external_id: str) -> str:
        """Where people open a room."""
        return link(external_id, server=self._server_name)

    async def announce(self, key: str, text: str, *, url: str, word: str) -> None:
        """Tell everybody in a room of a call; see `homeroom.platforms.Platform.announce`."""
        await self._lift_limits()
        rooms = Rooms(self._api, self._us, self._found)
        await announce(rooms, await rooms.claimed(key), text, url=url, word=word)

    async def show(self, key: str, picture: Picture) -> bool:
        """Set the picture of a room; see `homeroom.platforms.Platform.show`."""
        mark = self._found.marks.get(key)
        if mark is not None and mark.picture == picture.digest:
            return False
        await self._lift_limits()
        return await Rooms(self._api, self._us, self._found).show(key, picture)

    async def admit(self, token: str, *, until: datetime) -> None:
        """Let one account be made; see `homeroom.platforms.Platform.admit`."""
        body = {"token": token, "uses_allowed": 1, "expiry_time": int(until.timestamp() * 1000)}
        await self._api.call("POST", f"{_TOKENS}/new", body)

    async def dismiss(self, token: str) -> None:
        """Take a token back; see `homeroom.platforms.Platform.dismiss`."""
        try:
            await self._api.call("DELETE", path(_TOKENS, token))
        except RefusedCallError as error:
            if error.status != 404:
                raise

    # Looking

    async def version(self) -> str:
        """What the server says that it is; see `homeroom.platforms.Platform.version`."""
        for look in (self._see_versions, self._see_registration):
            ok, words = await look(self._api)
            if not ok:
                raise InvalidSpecError(words)
        return f"Synapse {await self._version_of(self._api)}"

    @staticmethod
    async def _version_of(api: Api) -> str:
        return str((await api.call("GET", f"{ADMIN}/v1/server_version")).get("server_version"))

    async def check(self) -> Sequence[Hop]:
        """Try every step to the server, from its name to our rights. Changes nothing."""
        hops: list[Hop] = []
        async with contextlib.AsyncExitStack() as stack:
            api = self._open()
            stack.push_async_callback(api.close)
            hops.append(await name_resolution(*api.first_hop))
            if not hops[-1].ok:
                return hops
            for name, look in (
                ("server", self._see_server),
                ("access token", self._see_token),
                ("permissions", self._see_permissions),
                ("strangers", self._see_strangers),
                ("rooms", self._see_versions),
                ("limits", self._see_limits),
                *((("registration", self._see_registration),) if self._registers else ()),
            ):
                try:
                    ok, words = await look(api)
                except HomeroomError as error:
                    ok, words = False, error.message
                hops.append(Hop(name=name, ok=ok, words=words))
                if not ok:
                    break
        return hops

    async def _see_server(self, api: Api) -> tuple[bool, str]:
        version = await self._version_of(api)
        good = version.startswith(_TESTED)
        advice = "" if good else f": Homeroom is tested with {_TESTED}x, other versions may answer differently"
        return True, f"Synapse {version} answers{advice}"

    async def _see_token(self, api: Api) -> tuple[bool, str]:
        await self._who(api)
        return True, f"the access token is valid, and of an account on {self._server_name}"

    async def _see_permissions(self, api: Api) -> tuple[bool, str]:
        await self._see_administrator(api, await self._who(api))
        return True, "the account is a server administrator"

    async def _see_strangers(self, api: Api) -> tuple[bool, str]:
        if not await api.anybody_registers():
            return True, "strangers cannot register accounts"
        return True, (
            "strangers can register accounts: whoever takes one that the records, or a template, give to somebody who "
            "has none yet, comes into that person's chats; turn `enable_registration` off, or have it ask for a token"
        )

    async def _see_versions(self, api: Api) -> tuple[bool, str]:
        answer = await api.call("GET", f"{CLIENT}/capabilities")
        can = answer.get("capabilities", {}).get("m.room_versions", {}).get("available", {})
        if self._version in can:
            return True, f"rooms of version {self._version} can be made"
        return False, f"synapse makes no rooms of version {self._version}: choose another one that Homeroom knows"

    async def _see_registration(self, api: Api) -> tuple[bool, str]:
        if not self._registers:
            return True, "nobody is to make an account"
        if await api.anybody_registers():
            return False, "anybody can make an account: set `registration_requires_token`, or leave out `accounts`"
        try:
            await api.call("GET", f"{_VALIDITY}?token=none")
        except RefusedCallError:
            words = "synapse lets nobody make an account: set `enable_registration` and `registration_requires_token`"
            return False, f"{words} there, or leave out `accounts`"
        return True, "who has a token can make an account"

    async def _see_limits(self, api: Api) -> tuple[bool, str]:
        if await self._limitless(api, await self._who(api)):
            return True, "no rate limits count for the account"
        return True, "rate limits count for the account: they are lifted for it before the first change"


def _place(change: Change) -> str:
    """The key of the chat in which a change happens."""
    return change.class_key or change.key


async def tried(do: Callable[[Room, Change], Awaitable[Outcome]], room: Room, change: Change) -> Outcome:
    """The outcome; a refusal by Synapse is one, too."""
    try:
        return await do(room, change)
    except RefusedCallError as error:
        return failed(change, error.message)
