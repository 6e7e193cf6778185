"""`homeroom key`: the key of a licence, shown or mailed. Neighbour: `homeroom.reconcile.keys`, which makes it.

The Secret is read with the caller's own kubeconfig: who may not read it gets no key here either.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from sqlalchemy.exc import SQLAlchemyError

from homeroom.api import Language, SchoolLicense, parse
from homeroom.cli import cluster, mail, options, stores, terminal
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError
from homeroom.mail import AddressRefusedError, Post
from homeroom.operator.api import NotFoundError, path_of
from homeroom.reconcile.keys import SECRET_TYPE, key_in, secret_name
from homeroom.seats import keys
from homeroom.seats.keys import Delivery
from homeroom.seats.letters import key_letter
from homeroom.store import LicenceName, Store


def command(
    action: Annotated[Literal["show", "send"], typer.Argument(help="Show the key, or mail it.")],
    licence: Annotated[str, typer.Argument(help="Name of the SchoolLicense.")],
    *,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="To whom to mail it, with `send`.")] = None,
    language: Annotated[
        Language | None, typer.Option(help="Of the mail; by default that of `spec.deliverKeyTo`, else English.")
    ] = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    smtp_url_file: mail.SmtpUrlFile = None,
    mail_from: mail.MailFrom = None,
    connect_url: mail.ConnectUrl = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Show the key of a school licence, or mail it to somebody.

    The key is read from its Secret with your own kubeconfig. That it was mailed, and when, is noted in the operator's
    store, not to whom; so `send` runs where the store is.

    homeroom key send rowan-hill --to office@rowan-hill.example
    """
    if (action == "send") != (to is not None):
        raise typer.BadParameter("goes with `send`, and `send` needs it", param_hint="--to")
    namespace = namespace or cluster.log_in(context).default_namespace or "default"
    place = LicenceName(namespace, licence)
    resource, key = asyncio.run(_read(place, context))
    if to is None:
        terminal.say(keys.shown(key))
        return
    post = mail.post(smtp_url_file, mail_from, connect_url)
    if post is None:
        raise typer.BadParameter("there is no mail server to send by", param_hint="--smtp-url-file")
    opened = stores.open_store(store, data, write=True)
    try:
        _send(opened, post, resource, key, place, to=to, language=language)
    except SQLAlchemyError as error:
        raise stores.StoreUnavailableError(
            f"the store did not answer ({type(error).__name__}): the key may have been mailed without being noted"
        ) from error
    finally:
        opened.close()
    terminal.say("the mail server has taken the key")


async def _read(licence: LicenceName, context: str | None) -> tuple[SchoolLicense, str]:
    """The licence and its key, normalised. Raises DependencyNotReadyError where there is none."""
    async with cluster.connected(context) as api:
        try:
            obj = await api.get(path_of(SchoolLicense.__name__, *licence))
        except NotFoundError as error:
            raise InvalidSpecError(
                f"no SchoolLicense '{licence.name}' in namespace {licence.namespace}; another namespace (-n)?"
            ) from error
        resource = parse(obj)
        assert isinstance(resource, SchoolLicense)
        try:
            secret = await api.get(f"/api/v1/namespaces/{licence.namespace}/secrets/{secret_name(licence.name)}")
        except NotFoundError as error:
            raise _keyless(licence) from error
    key = key_in(secret) if secret.get("type") == SECRET_TYPE else None
    if key is None:
        raise _keyless(licence)
    return resource, key


def _keyless(licence: LicenceName) -> DependencyNotReadyError:
    return DependencyNotReadyError(
        f"SchoolLicense '{licence.name}' has no key (yet): only one with `access: Key` has; see its condition KeyReady"
    )


def _send(
    store: Store,
    post: Post,
    resource: SchoolLicense,
    key: str,
    licence: LicenceName,
    *,
    to: str,
    language: Language | None,
) -> None:
    """Mail the key, and note what became of that. Raises what went wrong."""
    digest = keys.digest(key)
    if store.licences.by_key(digest) != licence:
        raise DependencyNotReadyError(
            "the operator of this store does not know the key that is in the Secret, or has revoked it: see the "
            "condition KeyReady of the licence"
        )
    wish = resource.spec.deliver_key_to
    letter = key_letter(
        language or (wish.language if wish is not None else Language.ENGLISH),
        unit=resource.status.unit_name or resource.spec.school_unit,
        key=key,
        url=post.connect_url,
    )

    def note(state: Delivery) -> None:
        now = datetime.now(UTC)
        store.licences.note_delivery(to, state, licence=licence, digest=digest, declared=False, at=now, epoch=None)

    try:
        asyncio.run(post.mailer.send(to, letter.subject, letter.text, language=letter.language))
    except AddressRefusedError:
        note(Delivery.REFUSED)
        raise
    except HomeroomError:
        note(Delivery.WAITING)
        raise
    note(Delivery.SENT)
