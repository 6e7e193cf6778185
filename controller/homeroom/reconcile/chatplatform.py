"""ChatPlatform: whether the server answers and lets us do what we have to, and who uses it.

Nothing is written there: all chats are the work of ChatPolicies and Chats, which open the platform themselves
(`connect`). A platform that comes back wakes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homeroom.api import ChatPlatform, ChatPlatformStatus, ConditionStatus, conditions
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Cluster, Key, Object, key_of
from homeroom.reconcile.run import Report, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPlatformRoot:
    """The work of one run of a ChatPlatform."""

    outside: Outside
    rests: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        """Policies are counted, and a missing kind must not look like none."""
        return ("ChatPolicy", "Chat")

    def needs_cleanup(self, resource: ChatPlatform) -> bool:
        """Chats outlive the resource."""
        del resource
        return False

    async def cleanup(self, run: Run[ChatPlatform]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """Nothing to do: policies that name it are woken by its event, and say so."""

    async def reconcile(self, run: Run[ChatPlatform]) -> Report[ChatPlatformStatus]:
        """Try the connection and our rights, and count the policies."""
        users, policies = users_of(run.cluster, run.key), len(policies_of(run.cluster, run.key))
        async with await self.outside.platform(run.resource, run.cluster.secret, district="") as platform:
            version = await platform.version()
        status = run.resource.status.model_copy(update={"server_version": version[:255], "policies": policies})
        before = conditions.find(run.resource.status.conditions, conditions.ConditionType.READY)
        is_back = before is None or before.status is not ConditionStatus.TRUE
        return Report(
            status=status,
            message=f"{version} answers, and Homeroom's account may do what it has to",
            again=run.resource.spec.interval.timedelta,
            wakes=[key_of(user) for user in users] if is_back else (),
        )


def users_of(cluster: Cluster, platform: Key) -> list[Object]:
    """The ChatPolicies and Chats that name a platform."""
    return [
        user
        for kind in ("ChatPolicy", "Chat")
        for user in cluster.list(kind, platform.namespace)
        if (user["spec"].get("platformRef") or {}).get("name") == platform.name
    ]


def policies_of(cluster: Cluster, platform: Key) -> list[Object]:
    """The ChatPolicies that name a platform."""
    return [user for user in users_of(cluster, platform) if user["kind"] == "ChatPolicy"]
