"""What Kolibri loads first, before Django is set up: the name of the module with our addresses, and nothing else."""

from kolibri.plugins import KolibriPluginBase


class HomeroomActivity(KolibriPluginBase):
    """Puts `api_urls` below `/kolibri_homeroom_activity/api/`."""

    untranslated_view_urls = "api_urls"
