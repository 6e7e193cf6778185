"""Kolibri 0.19: every school becomes a facility, a class a classroom, a pupil a learner, a teacher a coach.

`target` is the driver, `api` the web API, `reading` tells whose everything is, `marks` how we know our own again,
`usernames` what people log in with, `activity` when they last did.
"""

from homeroom.targets.kolibri.target import KolibriTarget

__all__ = ["KolibriTarget"]
