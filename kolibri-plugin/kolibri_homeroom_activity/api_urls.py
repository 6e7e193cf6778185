"""The one address of this plugin; Kolibri puts it below `/kolibri_homeroom_activity/api/`."""

from django.urls import path

from .api import ActivityView

urlpatterns = [path("activity/", ActivityView.as_view(), name="activity")]
