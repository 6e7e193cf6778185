"""What all tests share: how hypothesis behaves."""

from __future__ import annotations

from hypothesis import settings

# A deadline per example fails on a busy machine and says nothing about the code; speed is measured in bench/.
settings.register_profile("homeroom", deadline=None)
settings.load_profile("homeroom")
