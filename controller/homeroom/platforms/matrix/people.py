"""Who is in a room, and who administers it. What became of somebody is what the room says afterwards.

Synapse answers 403 `M_FORBIDDEN` to nearly everything that it does not do, be it that somebody is in the room already,
or that we are not; so nothing is ever concluded from that. It joins deactivated accounts, which nobody could ever
remove again as a person, so an account is looked at before it joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homeroom.plan import Change, Outcome, Result
from homeroom.platforms import Named
from homeroom.platforms.matrix.api import ADMIN, CLIENT, Api, RefusedCallError, path
from homeroom.platforms.matrix.room import ADMINISTRATOR, POWER, Room, with_users
from homeroom.platforms.matrix.rooms import Us

_UNFIT = ("deactivated", "locked", "suspended")


@dataclass(frozen=True, slots=True)
class People:
    """Brings accounts into rooms and out of them."""

    api: Api
    us: Us
    named: Named | None = None

    async def add(self, room: Room, change: Change) -> Outcome:
        """Join somebody, without asking; whoever was invited, or has left, joins too."""
        account = change.key
        if room.membership(account) == "join":
            return applied(change)
        try:
            if (problem := await unfit(self.api, self.us, account, named=self.named)) is not None:
                return Outcome(seq=change.seq, result=Result.PARKED, error=problem)
            await self.api.call("POST", path(f"{ADMIN}/v1/join", room.id), {"user_id": account})
        except RefusedCallError as error:
            now = await self._membership(room, account)
            if now == "invite":  # it went half of the way: an invitation counts as being there, and this is none
                await self._kick(room, account)
            if now != "join":
                return failed(change, "the account is banned from the room" if now == "ban" else error.message)
        return applied(change)

    async def remove(self, room: Room, change: Change) -> Outcome:
        """Put somebody out, or take an invitation back; they read why."""
        account = change.key
        if room.present(account):
            try:
                await self._kick(room, account)
            except RefusedCallError as error:
                if await self._membership(room, account) in {"join", "invite", "knock"}:
                    return failed(change, error.message)
        return applied(change)

    async def _kick(self, room: Room, account: str) -> None:
        body = {"user_id": account, "reason": self.us.notice}
        await self.api.call("POST", path(f"{CLIENT}/rooms", room.id, "kick"), body)

    async def _membership(self, room: Room, account: str) -> str:
        """What the room says about somebody now."""
        try:
            member = await self.api.call("GET", path(f"{CLIENT}/rooms", room.id, "state", "m.room.member", account))
        except RefusedCallError as error:
            if error.status == 404:
                return "leave"
            raise
        return str(member.get("membership"))

    async def appoint(self, room: Room, changes: Sequence[Change], *, administrator: bool) -> Sequence[Outcome]:
        """Give an administrator's rights to people in the room, or take them from anybody; in one event if it goes."""
        outcomes: dict[int, Outcome] = {}
        todo: dict[str, Change] = {}
        for change in changes:
            if administrator and not room.present(change.key):
                outcomes[change.seq] = skipped(change, "the account is not in the room")
            elif room.administers(change.key) is administrator:
                outcomes[change.seq] = applied(change)
            elif room.above_all(change.key):
                outcomes[change.seq] = failed(
                    change, "the account has made the room along with us: nobody can demote it"
                )
            else:
                todo[change.key] = change
        level = ADMINISTRATOR if administrator else None
        try:
            await self._write(room, dict.fromkeys(todo, level))
            outcomes |= {change.seq: applied(change) for change in todo.values()}
        except RefusedCallError:
            # One who cannot be touched (an equal of ours, in old rooms) must not keep the others as they are.
            written: dict[str, int | None] = {}
            for account, change in todo.items():
                try:
                    await self._write(room, {**written, account: level})
                except RefusedCallError as error:
                    outcomes[change.seq] = failed(change, error.message)
                else:
                    written[account] = level
                    outcomes[change.seq] = applied(change)
        return [outcomes[change.seq] for change in changes]

    async def _write(self, room: Room, users: Mapping[str, int | None]) -> None:
        if users:
            whole = with_users(room.levels, users)
            await self.api.call("PUT", path(f"{CLIENT}/rooms", room.id, "state", POWER, ""), whole)


async def unfit(api: Api, us: Us, account: str, *, named: Named | None = None) -> str | None:
    """Why somebody cannot join any room, in words; None: nothing is known against it. Raises RefusedCallError.

    `named`: where people make accounts themselves, one that was made after it was named may be anybody's.
    """
    if account.partition(":")[2] != us.server:
        return "the account is on another server, and chats do not leave this one"
    try:
        user = await api.call("GET", path(f"{ADMIN}/v2/users", account))
    except RefusedCallError as error:
        if error.status != 404:
            raise
        return "there is no such account"
    states = [word for word in _UNFIT if user.get(word) is True]
    if states:
        return f"the account is {states[0]}"
    since = await named(account) if named is not None else None
    if since is not None and user.get("creation_ts", 0) > since.timestamp():
        return "the account was made after the records had named it: its owner has to link it"
    return None


def applied(change: Change, external_id: str | None = None) -> Outcome:
    """It is so now."""
    return Outcome(seq=change.seq, result=Result.APPLIED, external_id=external_id)


def failed(change: Change, error: str) -> Outcome:
    """Synapse, or we, did not want it."""
    return Outcome(seq=change.seq, result=Result.FAILED, error=error)


def skipped(change: Change, error: str) -> Outcome:
    """It was not tried."""
    return Outcome(seq=change.seq, result=Result.SKIPPED, error=error)
