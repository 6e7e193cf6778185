"""A plugin for Kolibri: when was each account of a facility last used? `kolibri_plugin` registers it, `api` answers."""
