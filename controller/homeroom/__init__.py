"""Homeroom: declared school platforms, kept true."""

import os

# The allocator in polars gives memory back after half a second, so that a run of some seconds gets most of it again and
# again from the kernel. Ten seconds save a sixth of its CPU. Read once, when polars is loaded: hence here.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")
