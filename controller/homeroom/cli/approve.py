"""`homeroom approve`: the commit that releases a hold. Neighbours: `holds`, and `homeroom.reconcile.approvals`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
import yaml

from homeroom.api import API_VERSION, Reason, parse
from homeroom.api.yaml import load_all
from homeroom.cli import cluster, holds, options, stores, terminal
from homeroom.cli.holds import Found
from homeroom.errors import RefusedError
from homeroom.plan import State
from homeroom.reconcile.approvals import people_in


def command(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of holds.", show_default=False)],
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why this is right; it stays in Git, so no names of people.")
    ],
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Write the Approval of a hold, as YAML to commit.

    Changes nothing by itself: the Approval counts when it is in the cluster, for what is still planned then. Refused
    where it would do nothing: the hold is unknown, used, gone, or too old. Look at it first: homeroom plan --hold ID

    Example: homeroom approve 9f3c1a-7k2m --reason "school 3 closed, council of 2 September" > approvals/school-3.yaml
    """
    now = datetime.now(UTC)
    namespace = namespace or cluster.current_namespace(context)
    with stores.opened(store, data) as opened:
        assert opened is not None
        found = [holds.find(opened, one, namespace=namespace) for one in dict.fromkeys(ids)]
    for one in found:
        _check(one, now=now)
    terminal.say("---\n".join(_approval(one, reason) for one in found).removesuffix("\n"))


def _check(found: Found, *, now: datetime) -> None:
    """Raise RefusedError where an Approval would release nothing."""
    hold = found.hold
    if hold.approval is not None:
        message = f"Approval '{hold.approval}' has released hold '{hold.id}' already; a hold is released once"
        raise RefusedError(message, reason=Reason.HOLD_USED)
    if hold.state is State.GONE:
        message = f"nothing of hold '{hold.id}' is planned any more: there is nothing to approve"
        raise RefusedError(message, reason=Reason.HOLD_GONE)
    if hold.state is State.EXPIRED:
        message = (
            f"hold '{hold.id}' was not approved in time; it is '{hold.successor}' now: look at that, and approve it"
        )
        raise RefusedError(message, reason=Reason.HOLD_EXPIRED)
    if holds.is_late(hold, now=now):
        message = f"hold '{hold.id}' was not approved in time: the next run gives it a new id, see `status.holds`"
        raise RefusedError(message, reason=Reason.HOLD_EXPIRED)


def _approval(found: Found, reason: str) -> str:
    """One YAML document. Raises InvalidSpecError where it would not be taken, as with a reason that is too long."""
    hold = found.hold
    text = f"""\
# {hold.guard} at {found.kind}, {hold.rows.height} changes, {people_in(hold)} people
apiVersion: {API_VERSION}
kind: Approval
metadata:
  name: {_quoted(hold.id)}
  namespace: {_quoted(found.namespace)}
spec:
  targetRef:
    kind: {found.kind}
    name: {_quoted(found.name)}
  hold: {_quoted(hold.id)}
  reason: {_quoted(reason)}
"""
    (document,) = load_all(text, file="the Approval")
    parse(document.data)
    return text


def _quoted(text: str) -> str:
    """As YAML that is text whatever it looks like: the id 00012e-1234 would be a number."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).removesuffix("\n")
