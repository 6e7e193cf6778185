"""What the pages on chats need of the operator: numbers are sent, accounts let be made, policies woken, places told.

The pages have neither the cluster nor any credentials, so what is to be done outside waits in the store, and this looks
there every other second, for each ChatPlatform by itself: a person who links, or takes a link back, sees the chats open
or close within seconds. It runs apart from the platform's own runs, under a key of its own in the queue. Neighbours:
`homeroom.store.links`, `homeroom.web.chats`, `chatplatform` (the root), `homeroom.platforms` (sends).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import polars as pl
import structlog

from homeroom.api import ChatPlatform, District, Language, parse
from homeroom.chats.linking import NUMBER_LENGTH, Place, TokenState, number_message
from homeroom.errors import HomeroomError, InvalidSpecError, RefusedError, TransientError
from homeroom.platforms import Platform
from homeroom.reconcile.chatplatform import users_of
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Clock, Cluster, Key, Object, Verdict, key_of
from homeroom.seats import keys
from homeroom.store import (
    DISTRICTS_SCHEMA,
    PLACES_SCHEMA,
    POLICIES_SCHEMA,
    Asked,
    LostLeadershipError,
    Store,
    Token,
    policy_name,
)

KIND: Final = "Linking"
"""Of the key in the queue; no kind of the API. Namespace and name are the ChatPlatform's."""
_LOOK: Final = 2.0

log = structlog.get_logger()


class Linking:
    """The handler of `KIND`."""

    def __init__(self, *, store: Store, cluster: Cluster, clock: Clock, outside: Outside) -> None:
        self._store, self._cluster, self._clock, self._outside = store, cluster, clock, outside

    async def __call__(self, key: Key) -> Verdict:
        """One look at what waits for this platform."""
        if self._cluster.unlisted(("ChatPlatform", "ChatPolicy", "Chat", "District")):
            return Verdict(again=_LOOK)
        return await self._look(Key(ChatPlatform.__name__, key.namespace, key.name))

    async def _look(self, key: Key) -> Verdict:
        resource = self._platform(key)
        links, of, epoch = self._store.links, {"namespace": key.namespace, "platform": key.name}, self._cluster.epoch
        users = users_of(self._cluster, key) if resource is not None else []
        await asyncio.to_thread(links.tell, self._places(key, resource, users), **of, epoch=epoch)
        await asyncio.to_thread(self._store.web.tell_districts, self._districts(key, users), **of, epoch=epoch)
        await asyncio.to_thread(links.tell_policies, self._policies(key, resource, users), **of, epoch=epoch)
        if resource is None:
            return Verdict()
        if resource.spec.suspend:
            return Verdict(again=_LOOK)
        districts = await asyncio.to_thread(links.take_news, **of, epoch=epoch)
        for district in districts:
            counts = await asyncio.to_thread(links.counts, Place(key.namespace, key.name, district))
            told = {state.value.lower(): number for state, number in counts.items()}
            log.info("people linked, or took it back", key=str(key), district=district, **told)
        for policy in users:
            if _district(policy) in districts:
                self._cluster.enqueue(key_of(policy))
        for chat in await asyncio.to_thread(self._store.joins.take_news, **of, epoch=epoch):
            log.info("people came to an extra chat by its link, or went again", key=str(key), chat=chat)
            self._cluster.enqueue(Key("Chat", key.namespace, chat))
        asked = await asyncio.to_thread(links.asked, **of, now=self._clock.now())
        tokens = await asyncio.to_thread(links.tokens, **of, now=self._clock.now())
        if not asked and not tokens:
            return Verdict(again=_LOOK)
        try:
            async with await self._outside.platform(resource, self._cluster.secret, district="") as opened:
                await self._admit(resource, tokens, opened)
                await self._send(resource, asked, opened)
        except LostLeadershipError:
            raise
        except HomeroomError as error:
            # Whoever waits for a number sees on the page that none has come, and asks again; the visit ends in time.
            told = {"numbers": len(asked), "tokens": len(tokens)}
            log.warning("numbers were not sent", key=str(key), reason=error.reason, **told)
            return Verdict(failed=True, retry_after=getattr(error, "retry_after", None))
        return Verdict(again=_LOOK)

    def _platform(self, key: Key) -> ChatPlatform | None:
        """The resource; None: there is none that counts, until an edit wakes this."""
        obj = self._cluster.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return None
        try:
            resource = parse(obj)
        except InvalidSpecError:
            return None
        assert isinstance(resource, ChatPlatform)
        return resource

    async def _admit(self, platform: ChatPlatform, tokens: Sequence[Token], opened: Platform) -> None:
        """Let people make the accounts that they lack, and take back what is not needed any more."""
        for one in tokens:
            if one.state is TokenState.OVER:
                if one.token is not None:
                    await opened.dismiss(one.token)
                await asyncio.to_thread(self._store.links.taken_back, one, epoch=self._cluster.epoch)
                continue
            token = keys.shown(keys.new_key(secrets.randbelow))
            answer = replace(one, state=TokenState.READY, token=token)
            try:
                if platform.spec.accounts is None:
                    raise RefusedError("nobody is to make an account there", reason="TargetRefused")
                await opened.admit(token, until=one.expires_at)
            except TransientError:
                raise
            except HomeroomError as error:
                log.info("an account cannot be made", platform=platform.metadata.name, reason=error.reason)
                answer = replace(one, state=TokenState.FAILED)
            if not await asyncio.to_thread(self._store.links.made, answer, epoch=self._cluster.epoch):
                await opened.dismiss(token)

    async def _send(self, platform: ChatPlatform, asked: Sequence[Asked], opened: Platform) -> None:
        places = await asyncio.to_thread(self._store.links.places)
        here = places.filter(namespace=platform.metadata.namespace, platform=platform.metadata.name)
        titles: dict[str, str] = dict(here.select("district", "title").iter_rows())
        for one in asked:
            number = keys.new_key(secrets.randbelow, length=NUMBER_LENGTH)
            digest: str | None = keys.digest(number)
            title = " ".join(titles.get(one.place.district, one.place.district).split())[:100]
            text = number_message(Language(one.language), title=title, number=keys.shown(number))
            try:
                await opened.tell(one.account, text, title=title)
            except TransientError:
                raise
            except HomeroomError as error:
                log.info("a number could not be sent", platform=platform.metadata.name, reason=error.reason)
                digest = None
            await asyncio.to_thread(self._store.links.answered, one, digest, epoch=self._cluster.epoch)

    def _places(self, key: Key, resource: ChatPlatform | None, users: Sequence[Object]) -> pl.DataFrame:
        """Where people can link accounts of this platform: the districts of its policies and Chats."""
        rows = []
        if resource is not None and resource.spec.matrix is not None:
            for district in sorted({_district(policy) for policy in users}):
                obj = self._cluster.get(Key("District", key.namespace, district))
                if obj is not None:
                    title = str(obj["spec"].get("displayName") or district)
                    server, new = resource.spec.matrix.server_name, resource.spec.accounts
                    register = None if new is None else new.address or server
                    rows.append((key.namespace, key.name, district, server, title, register))
        return pl.DataFrame(rows, PLACES_SCHEMA, orient="row")

    def _districts(self, key: Key, users: Sequence[Object]) -> pl.DataFrame:
        """What the pages have to know of the districts of its policies and Chats; an invalid one counts for nobody."""
        rows = []
        for name in sorted({_district(policy) for policy in users}):
            obj = self._cluster.get(Key("District", key.namespace, name))
            try:
                district = parse(obj) if obj is not None else None
            except InvalidSpecError:
                continue
            if isinstance(district, District):
                rows.append((name, district.spec.time_zone, district.spec.denied()))
        return pl.DataFrame(rows, DISTRICTS_SCHEMA, orient="row")

    def _policies(self, key: Key, resource: ChatPlatform | None, users: Sequence[Object]) -> pl.DataFrame:
        """Whose chats the accounts of this platform come into: of policies, and extra ones."""
        rows = []
        if resource is not None:
            for policy in users:
                stopped = resource.spec.suspend or bool(policy["spec"].get("suspend"))
                name = policy_name(policy["kind"], policy["metadata"]["name"])
                rows.append((key.namespace, key.name, _district(policy), name, stopped))
        return pl.DataFrame(rows, POLICIES_SCHEMA, orient="row")


def _district(policy: Object) -> str:
    """The district that a ChatPolicy or a Chat names."""
    return str((policy["spec"].get("districtRef") or {}).get("name", ""))
