"""ChatPlatform: a chat server, how to reach it, and whose account there is whose.

Read by the reconciler of platforms, which makes sure of the connection, and by the one of ChatPolicies
(``chatpolicy.py``), which say what there should be on it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from homeroom.api.common import (
    CaBundle,
    Column,
    Count,
    Duration,
    HttpUrl,
    Interval,
    Model,
    Proxy,
    Resource,
    RootStatus,
    Rule,
    SecretReference,
    Text,
    Time,
    each_once,
)

SERVER_NAME = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
ServerName = Annotated[str, Field(min_length=1, max_length=230, pattern=f"^{SERVER_NAME}$")]

Account = Annotated[str, Field(min_length=4, max_length=255, pattern=rf"^@[a-z0-9._=/+-]+:{SERVER_NAME}$")]
"""An account of a chat server, `@support:school.example`."""
Accounts = Annotated[
    tuple[Account, ...],
    AfterValidator(each_once),
    Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class Matrix(Model):
    """A Synapse server with the accounts of the people on it, see `docs/matrix.md`."""

    homeserver: HttpUrl
    """Address of its client and admin API."""
    server_name: ServerName
    """What its accounts end with: `school.example` of `@ann:school.example`."""
    secret_ref: SecretReference
    """Secret with `accessToken`: an access token of a server administrator, an account that is Homeroom's alone and
    stays the same; what another account has made is not ours."""
    room_version: Annotated[int, Field(ge=11, le=12)] = 12
    """Version of rooms that are made, 11 or 12; those that are there stay as they are."""


class AccountsFrom(StrEnum):
    """How it is known whose account is whose.

    `UserIds`: the records name them, with a type; `Template`: it follows from a field of the person's record.
    """

    USER_IDS = "UserIds"
    TEMPLATE = "Template"


TEMPLATE_VARIABLES = ("username", "identifier", "sourcedId")
_VARIABLE = rf"\{{({'|'.join(TEMPLATE_VARIABLES)})\}}"
AccountTemplate = Annotated[
    str,
    Field(min_length=4, max_length=255, pattern=rf"^@[a-z0-9._=/+-]*({_VARIABLE}[a-z0-9._=/+-]*)+:{SERVER_NAME}$"),
]


class AccountIdentity(Model):
    """Whose account is whose. Links that people make themselves come on top."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.type == 'UserIds') == has(self.userIdType)",
            "type 'UserIds' needs `userIdType`, the others must not have it",
        ),
        Rule(
            "(self.type == 'Template') == has(self.template)",
            "type 'Template' needs `template`, the others must not have it",
        ),
    )

    type: AccountsFrom
    """`UserIds`: the records name the account of each person; `Template`: it follows from a field of their record."""
    user_id_type: Text | None = None
    """For type `UserIds`: the type of the entries of `userIds` in the records that are accounts, like `Matrix`."""
    template: AccountTemplate | None = None
    """For type `Template`: the account, with `{username}`, `{identifier}` or `{sourcedId}` of the person's record, like
    `@{username}:school.example`. Who lacks the field, or has in it what no account can have, is not linked."""


class CreateAccounts(StrEnum):
    """How somebody without an account gets one. `RegistrationToken`: with a token that lets make one account, once."""

    REGISTRATION_TOKEN = "RegistrationToken"  # noqa: S105 - the name of a way, not a secret


class NewAccounts(Model):
    """How somebody who links, and has no account yet, gets one."""

    create: CreateAccounts
    """`RegistrationToken`: the page shows a token with which one account can be made, in any app, with a password that
    Homeroom never sees. The server must have `enable_registration` and `registration_requires_token`."""
    address: HttpUrl | None = None
    """What people enter in their app as the server; where nothing is said, `matrix.serverName`."""


class ChatPlatformSpec(Model):
    """A chat server, and whose account there is whose."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("[has(self.matrix)].filter(x, x).size() == 1", "must name exactly one platform: `matrix`"),
        Rule(
            "!has(self.matrix) || !has(self.identity.template) ||"
            " self.identity.template.endsWith(':' + self.matrix.serverName)",
            "`identity.template` must end with ':' and `matrix.serverName`; accounts of others come into no chat",
        ),
        Rule(
            "!has(self.accounts) || self.identity.type != 'Template'",
            "`accounts` does not go with `identity.template`: whoever makes an account could take one that it gives to"
            " somebody else",
        ),
        Rule(
            "has(self.matrix) == has(oldSelf.matrix) &&"
            " (!has(self.matrix) || self.matrix.serverName == oldSelf.matrix.serverName)",
            "`matrix.serverName` must not change; make a new ChatPlatform instead",
        ),
    )

    matrix: Matrix | None = None
    """A Matrix server. Its `serverName` cannot change: another server has other chats, and other people's accounts."""
    identity: AccountIdentity
    """Whose account is whose."""
    accounts: NewAccounts | None = None
    """How somebody who links, and has no account yet, gets one; where nothing is said, elsewhere. People choose the
    names, so no template goes with it."""
    proxy: Proxy | None = None
    """The proxy to go through."""
    ca_bundle: CaBundle | None = None
    """Certificates (PEM) to trust beside the system's, for servers with a private authority."""
    protect: Accounts = ()
    """Accounts of support and bots: never taken out of a chat, nor are their rights. Never a person's."""
    interval: Interval = Duration.parse("10m")
    """Time from one check of the connection to the next, with some jitter; policies have an interval of their own."""
    suspend: bool = False
    """While this is true nothing is read or written on this platform, by no policy."""


class ChatPlatformStatus(RootStatus):
    """How the platform answers, and who uses it."""

    server_version: Text | None = None
    """What the server says that it is, when it answered last."""
    policies: Count = 0
    """ChatPolicies that name this platform."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class ChatPlatform(Resource):
    """A chat server on which ChatPolicies say which chats there are and who is in them."""

    plural: ClassVar[str] = "chatplatforms"
    short_names: ClassVar[tuple[str, ...]] = ("cplat",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Server", ".spec.matrix.serverName", "string", "Which server it is"),
        Column("Policies", ".status.policies", "integer", "ChatPolicies that name it"),
        Column("Version", ".status.serverVersion", "string", "What the server says that it is", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether it is suspended", priority=1),
    )

    kind: Literal["ChatPlatform"] = "ChatPlatform"
    spec: ChatPlatformSpec
    status: ChatPlatformStatus = ChatPlatformStatus()
