"""Tests against real servers: a package, so that its fixtures end with the last of these tests that a worker runs.

All other tests come later, and take longer: servers that idle so long take much CPU, too.
"""
