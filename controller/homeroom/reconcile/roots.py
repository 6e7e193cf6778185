"""All roots, made ready to run: what the operator's runtime asks for when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from homeroom.mail import Post
from homeroom.reconcile.chatcalls import KIND as CALLS
from homeroom.reconcile.chatcalls import Calls
from homeroom.reconcile.chatplatform import ChatPlatformRoot
from homeroom.reconcile.chatpolicy import ChatPolicyRoot
from homeroom.reconcile.chatrepair import ChatRepair
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.delivery import KeyMail
from homeroom.reconcile.district import DistrictRoot
from homeroom.reconcile.keys import KeySecrets
from homeroom.reconcile.learningapp import SETTLE, LearningAppRoot
from homeroom.reconcile.licensepool import LicensePoolRoot
from homeroom.reconcile.linking import KIND as LINKING
from homeroom.reconcile.linking import Linking
from homeroom.reconcile.ports import Clock, Cluster, Handler, Metrics
from homeroom.reconcile.run import Shell
from homeroom.reconcile.school import SchoolRoot
from homeroom.store import Store


def handlers(
    cluster: Cluster,
    clock: Clock,
    metrics: Metrics,
    *,
    store: Store,
    outside: Outside,
    settle: timedelta = SETTLE,
    post: Post | None = None,
    repairs: ChatRepair | None = None,
) -> Mapping[str, Handler]:
    """The handler of each kind that is a root; and who mails keys of licences, links accounts, or tells of calls.

    `settle`: how long sharing rules must have stood still to count. `post` None: there is no mail server.
    `repairs`: what `homeroom.reconcile.listening` works with, if anything listens.
    """
    repairs = repairs or ChatRepair(store=store, outside=outside, metrics=metrics, clock=clock)
    chats = ChatPolicyRoot(store=store, outside=outside, metrics=metrics, clock=clock, repairs=repairs)

    def shell(root: Any) -> Handler:  # each root names its own kind and status; the shell only passes them through
        return Shell(root, cluster=cluster, store=store, clock=clock)

    return {
        "District": shell(DistrictRoot(store=store, outside=outside, metrics=metrics, clock=clock)),
        "LearningApp": shell(
            LearningAppRoot(store=store, outside=outside, metrics=metrics, clock=clock, settle=settle)
        ),
        "School": shell(SchoolRoot(store=store)),
        "LicensePool": shell(
            LicensePoolRoot(store=store, outside=outside, metrics=metrics, clock=clock, keys=KeySecrets(store))
        ),
        "ChatPlatform": shell(ChatPlatformRoot(outside=outside)),
        "ChatPolicy": shell(chats),
        "Chat": shell(chats),
        CALLS: Calls(cluster=cluster, policies=chats),
        LINKING: Linking(store=store, cluster=cluster, clock=clock, outside=outside),
        "SchoolLicense": KeyMail(store=store, cluster=cluster, clock=clock, post=post),
    }
