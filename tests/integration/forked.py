"""Operators for tests of what they do, forked off a process that has loaded the operator and nothing else.

To load it takes most of a second of CPU, as much as all that many an operator does in its life. In all else a fork is
what `python -m homeroom.cli operator` is: a process of its own, with the arguments, environment and log that it is
given. This file is both ends: `forking` for the tests, and the program that it runs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Final

from homeroom.cli import main

_NEWS: Final = struct.Struct("=?ii")
"""What the program tells: whether a fork has begun or ended, its id, and its exit code."""


class Forks:
    """What is known of the forks of one program."""

    def __init__(self, news: IO[bytes]) -> None:
        self._news = news
        self._codes: dict[int, int] = {}

    def begun(self) -> Fork:
        """The next one, once it has begun."""
        while not (pid := self._hear()):
            pass
        return Fork(pid, self)

    def code_of(self, pid: int, *, within: float | None) -> int | None:
        """The exit code of one, which is told once; None where it has not ended after so many seconds."""
        while pid not in self._codes and select.select([self._news], (), (), within)[0]:
            self._hear()
        return self._codes.pop(pid, None)

    def _hear(self) -> int:
        """Wait for news of any of them; its id where it has begun, else 0."""
        begun, pid, code = _NEWS.unpack(self._news.read(_NEWS.size))
        if begun:
            return int(pid)
        self._codes[pid] = code
        return 0


class Fork:
    """One operator, as `subprocess` would give it."""

    def __init__(self, pid: int, forks: Forks) -> None:
        self.pid = pid
        self._forks = forks
        self._code: int | None = None

    def send_signal(self, sig: int, /) -> None:
        if not self._has_ended(within=0):
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended(within=timeout) or self._code is None:
            raise subprocess.TimeoutExpired("homeroom", timeout or 0)
        return self._code

    def _has_ended(self, *, within: float | None) -> bool:
        if self._code is None:
            self._code = self._forks.code_of(self.pid, within=within)
        return self._code is not None


@contextmanager
def forking() -> Iterator[Callable[[Sequence[str], Mapping[str, str], Path], Fork]]:
    """What starts operators for stages; who is left of them is killed at the end of the block."""
    command = (sys.executable, "-P", __file__)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as parent:
        questions, news = parent.stdin, parent.stdout
        assert questions is not None
        assert news is not None
        known = Forks(news)
        forks: list[Fork] = []

        def launch(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Fork:
            questions.write(json.dumps([arguments, environment, str(log)]).encode() + b"\n")
            forks.append(known.begun())
            return forks[-1]

        try:
            yield launch
        finally:
            for fork in forks:
                fork.kill()
                fork.wait()


def _main() -> int:
    """Fork, and tell, until there are no more questions."""
    gc.disable()
    import_module("homeroom.cli.operator")  # which `main` would load
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, _bury)
    for question in sys.stdin:
        arguments, environment, log = json.loads(question)
        fork = os.fork()
        if fork == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(environment, log)
            return main(arguments)
        _tell(begun=True, fork=fork)
    return 0


def _bury(_signal: int, _frame: object) -> None:
    """Tell of all that have ended."""
    with contextlib.suppress(ChildProcessError):  # nobody is left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(begun=False, fork=ended[0], code=os.waitstatus_to_exitcode(ended[1]))


def _become(environment: Mapping[str, str], log: str) -> None:
    """Nothing is left of what this process has from its parent."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for there, here in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(there, here)
    os.close(nothing)
    os.close(said)
    os.environ.clear()
    os.environ.update(environment)


def _tell(*, begun: bool, fork: int, code: int = 0) -> None:
    os.write(sys.stdout.fileno(), _NEWS.pack(begun, fork, code))


if __name__ == "__main__":
    sys.exit(_main())
