"""When the accounts of a facility were last used, as far as this Kolibri knows.

Every log-in sets `FacilityUser.last_login`. A browser in use keeps `UserSessionLog` up to date, and all work on content
`ContentSummaryLog`: an attempt at a question sets that in the same transaction, so the far larger tables of attempts
need not be read. What learners do on other devices comes here with the facility's data, when these synchronise.

Written for every Python that Kolibri 0.19 runs on, 3.6 and newer.
"""

from datetime import datetime, timezone
from typing import Dict, Optional, Type

from django.db.models import Max, Model
from kolibri.core.auth.constants import role_kinds
from kolibri.core.auth.models import Facility, FacilityUser
from kolibri.core.logger.models import ContentSummaryLog, UserSessionLog
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import PrimaryKeyRelatedField, Serializer
from rest_framework.views import APIView


class Question(Serializer):
    """What may be asked: one facility, by its id."""

    facility = PrimaryKeyRelatedField(queryset=Facility.objects.all())


class ActivityView(APIView):
    """`GET ?facility=ID`: three lists of the same length, sorted by account; deleted accounts are not among them.

    `accounts` are ids, never names; `last_login` and `last_interaction` are UTC to the second, or null. 403 for all who
    do not administer that facility, and when the session has ended; 400 when there is no such facility.
    """

    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        """Answer, after making sure who asks."""
        question = Question(data=request.query_params)
        question.is_valid(raise_exception=True)
        facility = question.validated_data["facility"]
        if not request.user.has_role_for_collection(role_kinds.ADMIN, facility):
            raise PermissionDenied
        used = _latest(UserSessionLog, "last_interaction_timestamp", facility)
        worked = _latest(ContentSummaryLog, "end_timestamp", facility)
        answer = {"accounts": [], "last_login": [], "last_interaction": []}
        accounts = FacilityUser.objects.filter(facility=facility).order_by("id")
        for account, login in accounts.values_list("id", "last_login"):
            interactions = [logs[account] for logs in (used, worked) if logs.get(account)]
            answer["accounts"].append(account)
            answer["last_login"].append(_text(login))
            answer["last_interaction"].append(_text(max(interactions, default=None)))
        return Response(answer, headers={"Cache-Control": "no-store"})


def _latest(logs: Type[Model], moment: str, facility: Facility) -> Dict[str, Optional[datetime]]:
    """The latest moment in the logs of every account, in one statement.

    By the data set, not by the accounts: that reads the table in its order, in a third of the time.
    """
    own = logs.objects.filter(dataset_id=facility.dataset_id).order_by()
    return dict(own.values_list("user_id").annotate(Max(moment)))


def _text(moment: Optional[datetime]) -> Optional[str]:
    return None if moment is None else moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
