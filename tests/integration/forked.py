"""Operators for tests that end dozens of them, forked off a process that has loaded the operator and nothing else.

To load it takes most of a second of CPU, as much as all that such an operator does before it is killed. In all else a
fork is what `python -m homeroom.cli operator` is: a process of its own, with the arguments, environment and log that
it is given. This file is both ends: `forking` for the test, and the program that it runs.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Final

from homeroom.cli import main

_DIGITS: Final = 16
"""Each answer of the program has so many: the id of a fork, and later its exit code."""


class Fork:
    """One operator, as `subprocess` would give it."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self.pid = self._answer()
        self._code: int | None = None

    def send_signal(self, sig: int, /) -> None:
        if not self._has_ended(within=0):
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended(within=timeout):
            raise subprocess.TimeoutExpired("homeroom", timeout or 0)
        if self._code is None:
            self._code = self._answer()
        return self._code

    def _has_ended(self, *, within: float | None) -> bool:
        return self._code is not None or bool(select.select([self._answers], (), (), within)[0])

    def _answer(self) -> int:
        return int(self._answers.read(_DIGITS))


@contextmanager
def forking() -> Iterator[Callable[[Sequence[str], Mapping[str, str], Path], Fork]]:
    """What starts operators for a stage, one after the other; the last is killed at the end of the block."""
    command = (sys.executable, "-P", __file__)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as parent:
        questions, answers = parent.stdin, parent.stdout
        assert questions is not None
        assert answers is not None
        forks: list[Fork] = []

        def launch(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Fork:
            questions.write(json.dumps([arguments, environment, str(log)]).encode() + b"\n")
            forks.append(Fork(answers))
            return forks[-1]

        try:
            yield launch
        finally:
            for fork in forks[-1:]:
                fork.kill()
                fork.wait()


def _main() -> int:
    """Fork, and tell, until there are no more questions."""
    gc.disable()
    import_module("homeroom.cli.operator")  # which `main` would load
    gc.freeze()
    gc.enable()
    for question in sys.stdin:
        arguments, environment, log = json.loads(question)
        fork = os.fork()
        if fork == 0:
            _become(environment, log)
            return main(arguments)
        _tell(fork)
        _tell(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]))
    return 0


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


def _tell(number: int) -> None:
    os.write(sys.stdout.fileno(), b"%*d" % (_DIGITS, number))


if __name__ == "__main__":
    sys.exit(_main())
