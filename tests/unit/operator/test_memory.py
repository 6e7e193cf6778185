"""What a run needed is given back when it is over."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_LOOK = """
import ctypes
from homeroom.operator.runtime import give_large_memory_back

class Usage(ctypes.Structure):  # struct mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Usage
give_large_memory_back()
bytearray(30_000_000)  # comes and goes: from now on glibc would keep pieces of up to this size
before = libc.mallinfo2()
pieces = [bytearray(1_000_000) for _ in range(50)]
print(libc.mallinfo2().hblkhd - before.hblkhd > 49_000_000, libc.mallinfo2().arena - before.arena < 1_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps large pieces, and can tell")
def test_large_pieces_of_memory_do_not_stay_with_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("True True\n", "")
