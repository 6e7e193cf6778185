"""From what a resource declares to a source, a target or a platform that is ready to use.

The only place that knows which classes stand behind the words of a spec. Used by the roots and by the command line, so
that both go the same way. Secrets are read here, live, by name, and live no longer than the run.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import polars as pl

from homeroom.api import ChatPlatform, District, Language, LearningApp, LicensePool, Proxy, SecretReference
from homeroom.api.district import Extensions, Supplement
from homeroom.api.district import OneRosterCSV as DeclaredCSV
from homeroom.chats.names import NOTICES
from homeroom.errors import InvalidSpecError
from homeroom.platforms import Named, Platform
from homeroom.platforms.matrix import MatrixPlatform
from homeroom.sources import Source, fetch_links
from homeroom.sources.download import Addresses
from homeroom.sources.links import LARGEST
from homeroom.sources.location import Location
from homeroom.sources.oneroster_csv import OneRosterCSV
from homeroom.sources.package import Limits
from homeroom.sources.skolverket import REGISTER, Skolverket
from homeroom.sources.supplement import LIMITS
from homeroom.targets import Password, Target
from homeroom.targets.kolibri import KolibriTarget


class Secrets(Protocol):
    """Reads one Secret, live; `Cluster.secret` is one."""

    def __call__(self, *, namespace: str, name: str) -> Awaitable[Mapping[str, str]]:
        """The data, decoded. Raises TransientError: SecretNotFound, SecretNotLabelled, Forbidden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """How this installation reaches the outside world.

    `owner_id`: who we are in the marks that we leave; survives a new cluster. `file_root`: `file:` sources lie below
    `<file_root>/<namespace>/`; None refuses them. `allow_loopback`: let sources be on this machine (demo and tests).
    `api_server`: addresses of the Kubernetes API, which no source may be.
    """

    owner_id: str
    file_root: Path | None = None
    allow_loopback: bool = False
    api_server: frozenset[str] = frozenset()

    async def source(self, district: District, secrets: Secrets) -> Source:
        """The source of a district."""
        csv = district.spec.source.one_roster_csv
        if csv is None:
            raise InvalidSpecError("`spec.source` must name a source that this version knows: `oneRosterCSV`")
        return await self._package(csv, district, secrets, extensions=csv.extensions)

    async def supplement(self, supplement: Supplement, district: District, secrets: Secrets) -> Source:
        """A supplement of a district, to be fetched and checked; the source's way leads there too."""
        return await self._package(supplement.one_roster_csv, district, secrets, limits=LIMITS)

    async def _package(
        self,
        csv: DeclaredCSV,
        district: District,
        secrets: Secrets,
        *,
        limits: Limits | None = None,
        extensions: Extensions | None = None,
    ) -> OneRosterCSV:
        namespace, declared = district.metadata.namespace, district.spec.source
        return OneRosterCSV(
            url=csv.url,
            file_root=self.file_root / namespace if self.file_root else None,
            credentials=await _fields(secrets, namespace, csv.secret_ref),
            proxy=await _proxy(secrets, namespace, declared.proxy, to=csv.url),
            ca_bundle=declared.ca_bundle,
            addresses=Addresses(api_server=self.api_server, allow_local=self.allow_loopback),
            limits=limits,
            extensions=extensions,
        )

    async def links(self, district: District, secrets: Secrets) -> pl.DataFrame | None:
        """The links of the file of `spec.identity.linksFrom`, if one is declared; the source's way leads there too."""
        namespace, declared = district.metadata.namespace, district.spec.identity.links_from
        if declared is None:
            return None
        source = district.spec.source
        location = Location(
            url=declared.url,
            file_root=self.file_root / namespace if self.file_root else None,
            largest=LARGEST,
            credentials=await _fields(secrets, namespace, declared.secret_ref),
            proxy=await _proxy(secrets, namespace, source.proxy, to=declared.url),
            ca_bundle=source.ca_bundle,
            addresses=Addresses(api_server=self.api_server, allow_local=self.allow_loopback),
        )
        return await fetch_links(location, sha256=declared.sha256)

    async def register(self, pool: LicensePool, secrets: Secrets, *, directory: Path) -> Skolverket:
        """Skolverket's register, as a pool declares it; what it answers is kept in `directory`."""
        declared = pool.spec.unit_registry
        return Skolverket(
            directory=directory,
            municipality=declared.municipality_code,
            version=declared.version,
            url=declared.url or REGISTER,
            proxy=await _proxy(secrets, pool.metadata.namespace, declared.proxy, to=declared.url or REGISTER),
            tls=_trust(declared.ca_bundle) or ssl.create_default_context(),
            addresses=Addresses(api_server=self.api_server, allow_local=self.allow_loopback),
        )

    async def target(self, app: LearningApp, secrets: Secrets, *, password: Password) -> Target:
        """The target of an app."""
        namespace, declared = app.metadata.namespace, app.spec.target
        kolibri, before = declared.kolibri, app.spec.adopt_from
        if kolibri is None:
            raise InvalidSpecError("`spec.target` must name a target that this version knows: `kolibri`")
        return KolibriTarget(
            url=kolibri.url,
            credentials=await _fields(secrets, namespace, kolibri.secret_ref) or {},
            owner=self.owner(app),
            former=f"{before.owner_id}/{before.namespace}/{before.name}" if before else None,
            password=password,
            proxy=await _proxy(secrets, namespace, declared.proxy, to=kolibri.url),
            ssl=_trust(declared.ca_bundle),
        )

    def owner(self, app: LearningApp) -> str:
        """The owner that marks in the target name: installation, namespace, app; never a uid (safety row 14)."""
        return f"{self.owner_id}/{app.metadata.namespace}/{app.metadata.name}"

    async def platform(
        self,
        platform: ChatPlatform,
        secrets: Secrets,
        *,
        district: str,
        chat: str | None = None,
        language: Language = Language.ENGLISH,
        named: Named | None = None,
    ) -> Platform:
        """A chat server, for the chats of one district, or one extra `chat`. `language`: of what people are told.

        `named`: since when the records say whose an account is; asked where people make accounts themselves.
        """
        namespace, spec = platform.metadata.namespace, platform.spec
        matrix = spec.matrix
        if matrix is None:
            raise InvalidSpecError("`spec` must name a platform that this version knows: `matrix`")
        fields = await _fields(secrets, namespace, matrix.secret_ref) or {}
        return MatrixPlatform(
            url=matrix.homeserver,
            server_name=matrix.server_name,
            token=fields.get("accessToken", "").strip(),
            owner=self.owner_of_chats(namespace=namespace, district=district, chat=chat),
            room_version=str(matrix.room_version),
            notice=NOTICES[language],
            registers=spec.accounts is not None,
            named=named if spec.accounts is not None else None,
            proxy=await _proxy(secrets, namespace, spec.proxy, to=matrix.homeserver),
            ssl=_trust(spec.ca_bundle),
        )

    def owner_of_chats(self, *, namespace: str, district: str, chat: str | None = None) -> str:
        """The owner that marks of chats name, the same for all policies of a district: a school may change over.

        An extra `chat` (name of the Chat) is its own owner, so that the same name finds the same room again.
        """
        owner = f"{self.owner_id}/{namespace}/{district}"
        return owner if chat is None else f"{owner}#{chat}"


def _trust(ca_bundle: str | None) -> ssl.SSLContext | None:
    """The system's authorities and those declared; None where only the system's count."""
    if ca_bundle is None:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cadata=ca_bundle)
    except ssl.SSLError as error:
        raise InvalidSpecError("`caBundle` must hold certificates in PEM") from error
    return context


async def _fields(secrets: Secrets, namespace: str, reference: SecretReference | None) -> Mapping[str, str] | None:
    return None if reference is None else await secrets(namespace=namespace, name=reference.name)


async def _proxy(secrets: Secrets, namespace: str, declared: Proxy | None, *, to: str) -> str | None:
    """The proxy's address on the way to a URL, with its credentials; None: there is none on that way."""
    if declared is None or declared.passed_by(to):
        return None
    fields = await _fields(secrets, namespace, declared.secret_ref)
    if not fields:
        return declared.url
    scheme, _, rest = declared.url.partition("://")
    return f"{scheme}://{quote(fields['username'], safe='')}:{quote(fields['password'], safe='')}@{rest}"
