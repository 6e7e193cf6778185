"""What every real server on this machine needs: to be built once, a port that stays, and to end with this process.

`controlplane`, `kolibri` and `synapse` are made of these. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import filelock

from homeroom.errors import TerminalError

_START_SECONDS = 60.0  # a start takes 1 to 5 s; a busy machine may take many times that
_STOP_SECONDS = 30.0


class ServerError(TerminalError):
    """A server on this machine, or one of its programs, could not be made, started or used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ServerFailed")


def default_cache() -> Path:
    """Where what was built and installed is kept: `$HOMEROOM_CACHE`, else `~/.cache/homeroom`."""
    return Path(os.environ.get("HOMEROOM_CACHE") or "~/.cache/homeroom").expanduser()


def made_once(cache: Path, name: str, *, recipe: Sequence[str], make: Callable[[Path], Path]) -> Path:
    """The folder in `cache` for this recipe; where it is missing, what `make` returns becomes it.

    `make` works in an empty folder that is its own, and returns a folder in it. Several processes may ask at once: one
    makes, the others wait. One that is killed leaves nothing that is taken for a whole one.
    """
    place = cache / f"{name}-{hashlib.sha256('|'.join(recipe).encode()).hexdigest()[:16]}"
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(name, cache / f"{name}.lock"):
            if not place.is_dir():
                for leftover in cache.glob(f"making-{name}-*"):
                    shutil.rmtree(leftover)  # of one that was killed
                with tempfile.TemporaryDirectory(dir=cache, prefix=f"making-{name}-") as making:
                    make(Path(making)).rename(place)
    return place


@contextlib.contextmanager
def _one_at_a_time(name: str, path: Path) -> Iterator[None]:
    """Hold the lock file; it is freed by the kernel when its holder is killed."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _tell(f"{name}: waiting for another process, which is making it\n")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """One line on stderr: what is being done and, at its end, how long it took."""
    begun = time.monotonic()
    _tell(f"{what} ... ")
    try:
        yield
    finally:
        _tell(f"{time.monotonic() - begun:.0f} s\n")


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def output(
    *command: str | Path,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    seconds: float | None = None,
) -> str:
    """What the command prints; ServerError with its stderr when it fails or takes longer than `seconds`."""
    words = " ".join(map(str, command[:5])) + (" ..." if len(command) > 5 else "")  # further ones may be passwords
    try:
        run = subprocess.run(
            command,
            input=stdin,
            env=environment,
            cwd=directory,
            timeout=seconds,
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise ServerError(f"`{words}` failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"`{words}` took longer than {seconds:.0f} s") from error
    return run.stdout


@contextlib.contextmanager
def reserved_port(*, sharing: int) -> Iterator[int]:
    """A free port that stays ours while its server is down: bound here without listening, which shuts out others.

    Only a program of our own user can listen that asks for the same `sharing`: `SO_REUSEPORT`, or `SO_REUSEADDR`, which
    servers usually ask for. And the system hands it to nobody as a free port.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, sharing, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def process_group() -> Iterator[int]:
    """The id of a process group for programs that shall end with this process, however that ends; killed at the end.

    A guard leads the group. Its stdin is a pipe that only we hold open: when we are gone, `read` sees the end of it,
    and the guard kills its group. (A parent-death signal would follow the thread that started the program, and exists
    on Linux only.)
    """
    guard = subprocess.Popen(("/bin/sh", "-c", "read -r _; kill -KILL 0"), stdin=subprocess.PIPE, process_group=0)
    try:
        yield guard.pid
    finally:
        os.killpg(guard.pid, signal.SIGKILL)
        guard.communicate()  # waits, and closes the pipe


def serve(
    name: str,
    *command: str | Path,
    log: Path,
    group: int,
    is_up: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in a process group and wait until it is up. Raises ServerError with the end of its log."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=group,
        )
    try:
        _wait_until_up(name, process, is_up, log)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _wait_until_up(name: str, process: subprocess.Popen[bytes], is_up: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_up():
        status = process.poll()
        if status is None and time.monotonic() < deadline:
            time.sleep(0.05)
            continue
        late = f"was not ready within {_START_SECONDS:.0f} s"
        outcome = late if status is None else f"ended with status {status}"
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ServerError(f"{name} {outcome}; the end of {log}:\n{end}")


class Server:
    """One server, up while its `with` block lasts, that may be ended and started anew meanwhile.

    Who derives from it enters a `process_group` as `_group`, into `_held`, and starts the server there by `_serve`. It
    ends with this process, however that ends. Leaving the block kills it: nothing has to survive.
    """

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._group: int | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def start(self) -> None:
        """Start it, at the same address every time, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ask it to end, and wait for that (some 3 s)."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would; does nothing when it is down."""
        self._send(signal.SIGKILL)

    def restart(self) -> None:
        """End it as a crash would, and start it again."""
        self.kill()
        self.start()

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It does nothing for the time of the block: its files may be copied, and are as after a crash."""
        if self._process is None:
            raise ServerError("nothing runs that could stand still")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _serve(
        self,
        name: str,
        *command: str | Path,
        log: Path,
        is_up: Callable[[], bool],
        environment: Mapping[str, str],
    ) -> None:
        """What `start` ends with: `serve`, in this server's group."""
        if self._group is None:
            raise ServerError(f"{name} is started by its `with` block")
        self._process = serve(name, *command, log=log, group=self._group, is_up=is_up, environment=environment)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def wait_for_the_end(words: str) -> None:
    """Print something for whoever started this program, and wait for Ctrl-C or SIGTERM."""
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # only now: programs that were started would have inherited that
    # With the line's end in the same write, also where Python does not buffer: whoever reads one line may hang up then.
    print(f"{words}\n", end="", flush=True)
    signal.sigwait(ends)
