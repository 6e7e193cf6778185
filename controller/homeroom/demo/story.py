"""The whole story on one machine, told on the terminal: what `make demo` shows.

A district is declared; somebody approves its first sync, and its classes appear in a real Kolibri; the next export
brings a class; what a person changed by hand is put back; a lost school is held, a replayed approval refused; a broken
export removes nothing. Each step proves itself; the first that fails ends the demo with its
name. Neighbours: `stage` (the actors), `controlplane` and `kolibri` (the servers).
"""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.kolibri import Human, Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, SYSTEM, Kubectl, Records, Stage, message, wait_for
from homeroom.errors import HomeroomError, TerminalError

OUR_KINDS: Final = "districts,learningapps,sharingrules,schools,approvals"
NEW_CLASS: Final = "Chess club"


def run(*, once: bool, current_cluster: bool) -> int:
    """Tell the story; the exit code. `once`: end by itself. `current_cluster`: use the cluster of the kubeconfig."""
    console = Console(stderr=False, highlight=False)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeroom-demo-")))
        try:
            stage = _set_up(stack, directory, current_cluster=current_cluster, console=console)
            _tell(stage, console)
        except HomeroomError as error:
            console.print(f"\n[bold red]failed:[/] {escape(error.message)}")
            _show_log(directory / "operator.log", console)
            return 1
        if once:
            console.print("\n[bold green]every step held[/]")
            return 0
        _stay(stage, console)
    return 0


def _set_up(stack: contextlib.ExitStack, directory: Path, *, current_cluster: bool, console: Console) -> Stage:
    """Start everything; it ends with `stack`."""
    with _step(console, "A Kubernetes control plane and a Kolibri server"):
        kolibri = stack.enter_context(Kolibri(installed(default_cache()), directory / "kolibri"))
        if current_cluster:
            kubectl, kubeconfig = _current_cluster()
            stage = Stage(kubectl=kubectl, kubeconfig=lambda: kubeconfig, kolibri=kolibri, directory=directory)
        else:
            plane = stack.enter_context(ControlPlane(binaries(default_cache()), directory / "controlplane"))
            stage = Stage(
                kubectl=plane.kubectl,
                kubeconfig=lambda: plane.kubeconfig_for(SYSTEM, "homeroom"),
                kolibri=kolibri,
                directory=directory,
            )
    stack.callback(stage.kill)
    with _step(console, "Install Homeroom: kubectl apply -k manifests/base", shows="CRDs, least rights, the operator"):
        stage.install()
        stage.start()
    return stage


def _tell(stage: Stage, console: Console) -> None:
    records = Records(RECORDS)
    begun = time.monotonic()
    approved = _tell_of_the_first_sync(stage, records, console)
    _tell_of_changes(stage, records, console)
    _tell_of_bad_exports(stage, records, console, approved=approved)
    console.print(f"\ntold in {time.monotonic() - begun:.0f} s", style="dim")


def _tell_of_the_first_sync(stage: Stage, records: Records, console: Console) -> str:
    """The id of a hold that was approved."""
    with _step(console, "A district as Git holds it: kubectl apply -k examples/lakeside"):
        stage.publish(records)
        stage.declare()
        holds = stage.wait_held("learningapp", "kolibri")
        _holds("nothing is in Kolibri before somebody has looked", not stage.kolibri.tables()["membership"])
    _say(console, f"  {message(stage.get('learningapp', 'kolibri'))}")

    with _step(
        console, "Somebody looks, and approves by a commit", shows="each school by itself, administrators apart"
    ):
        stage.approve(holds, of="kolibri")
        stage.wait_ready("learningapp", "kolibri")
        wait_for("a row per school", lambda: _summaries(stage) == {"Synced"})
    _say(console, stage.kubectl("get", OUR_KINDS, "-n", stage.namespace))
    human = stage.kolibri.human()
    for school in _schools(records):
        _say(console, f"  Kolibri, {school}: {len(_classes(human, school))} classes")
    return str(holds[0]["id"])


def _tell_of_changes(stage: Stage, records: Records, console: Console) -> None:
    human, school = stage.kolibri.human(), _schools(records)[0]
    with _step(console, "The next export brings a class", shows=f"'{NEW_CLASS}' in {school}"):
        _add_class(records, school)
        stage.publish(records)
        stage.run("district", "lakeside")
        wait_for("the new class in Kolibri", lambda: NEW_CLASS in _classes(human, school))
        stage.wait_ready("learningapp", "kolibri")

    before = stage.kolibri.tables()["membership"]
    with _step(console, "Somebody takes a child out of that class, by hand", shows="put back on the next look"):
        member = _members(human, school, NEW_CLASS)[0]
        human.remove_member(member, facility=school, class_name=NEW_CLASS)
        stage.run("learningapp", "kolibri")
        _holds("the child is back in its class", stage.kolibri.tables()["membership"] == before)


def _tell_of_bad_exports(stage: Stage, records: Records, console: Console, *, approved: str) -> None:
    before = stage.kolibri.tables()["membership"]
    with _step(console, "An export that has lost a school", shows="held: nobody loses anything, the rest goes on"):
        bad = copy.deepcopy(records)
        bad.lose_school(bad.rows("orgs", type="school")[-1]["sourcedId"])
        stage.publish(bad)
        stage.run("district", "lakeside")
        held = stage.wait_held("district", "lakeside")
        stage.run("learningapp", "kolibri")
        _holds("nobody lost a class", stage.kolibri.tables()["membership"] == before)
    _say(console, f"  {message(stage.get('district', 'lakeside'))}")

    with _step(console, "An old approval is tried on it", shows="each works once, for what was seen then"):
        stage.replay(approved, of="kolibri")
        stage.run("district", "lakeside")
        stage.run("learningapp", "kolibri")
        _holds("the school is still held", stage.get("district", "lakeside")["status"]["holds"] == held)
        refused = message(stage.get("approval", "replay"))
        _holds("the replay was refused", refused.startswith("HoldUsed"))
    _say(console, f"  Approval replay: {refused}")

    with _step(console, "The export has the school again", shows="the hold goes away by itself"):
        stage.publish(records)
        stage.run("district", "lakeside")
        stage.wait_ready("district", "lakeside")
        stage.wait_ready("learningapp", "kolibri")

    with _step(console, "A broken export: cut off in the middle", shows="nothing is removed, the condition says why"):
        before_all = stage.kolibri.tables()
        whole = records.zipped()
        stage.publish(whole[: len(whole) // 2])
        broken = stage.run("district", "lakeside")
        stage.run("learningapp", "kolibri")
        _holds("nothing was removed", stage.kolibri.tables() == before_all)
    _say(console, f"  District lakeside: {message(broken)}")

    with _step(console, "The export is whole again"):
        stage.publish(records)
        stage.run("district", "lakeside")
        stage.wait_ready("district", "lakeside")
        stage.run("learningapp", "kolibri")
        _holds("nothing had to be changed", stage.kolibri.tables() == before_all)


@contextlib.contextmanager
def _step(console: Console, title: str, *, shows: str = "") -> Iterator[None]:
    begun = time.monotonic()
    console.print(f"\n[bold]> {escape(title)}[/]")
    if shows:
        console.print(f"  {escape(shows)}", style="dim")
    yield
    console.print(f"  [green]done[/] in {time.monotonic() - begun:.1f} s")


def _say(console: Console, text: str) -> None:
    """Print as it is: neither wrapped nor read as markup."""
    console.print(text, markup=False, soft_wrap=True)


def _summaries(stage: Stage) -> set[str]:
    return {school.get("status", {}).get("summary", "") for school in stage.list("schools")}


def _holds(what: str, truth: bool) -> None:  # noqa: FBT001 - reads like the sentence it checks
    if not truth:
        raise TerminalError(f"it is not true that {what}", reason="DemoFailed")


def _schools(records: Records) -> list[str]:
    return [row["name"] for row in records.rows("orgs", type="school")]


def _add_class(records: Records, school: str) -> None:
    """A homeroom more: a teacher of the school and five of its students."""
    (org,) = records.rows("orgs", name=school)
    like = next(row for row in records.rows("classes", schoolSourcedId=org["sourcedId"], classType="homeroom"))
    like = next(
        (
            row
            for row in records.rows("classes", schoolSourcedId=org["sourcedId"], classType="homeroom")
            if row["grades"] != "KG"
        ),
        like,
    )
    records.files["classes"].append({**like, "sourcedId": "c-chess", "title": NEW_CLASS, "classCode": "CHESS"})
    members = records.rows("enrollments", classSourcedId=like["sourcedId"])
    teachers = [row for row in members if row["role"] == "teacher"][:1]
    students = [row for row in members if row["role"] == "student"][:5]
    for number, row in enumerate([*teachers, *students]):
        records.files["enrollments"].append({**row, "sourcedId": f"e-chess-{number}", "classSourcedId": "c-chess"})


def _classes(human: Human, school: str) -> list[str]:
    rows = human.call("GET", "classroom/", parent=human.facility(school))
    return sorted(row["name"] for row in rows)


def _members(human: Human, school: str, class_name: str) -> list[str]:
    """User names of the learners in a class."""
    members = human.call("GET", "membership/", collection=human.classroom(class_name, facility=school))
    wanted = {row["user"] for row in members}
    people = human.call("GET", "facilityuser/", member_of=human.facility(school))
    return sorted(row["username"] for row in people if row["id"] in wanted)


def _current_cluster() -> tuple[Kubectl, Path]:
    """The kubectl and kubeconfig of whoever runs the demo; the operator then has that person's rights."""
    program = shutil.which("kubectl")
    if program is None:
        raise TerminalError("CLUSTER=current needs kubectl on the PATH", reason="DemoFailed")

    def kubectl(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TerminalError(f"kubectl {arguments[0]}: {done.stderr.strip()}", reason="DemoFailed")
        return done.stdout

    return kubectl, Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")


def _show_log(log: Path, console: Console) -> None:
    if log.exists():
        console.print("the operator's last words:", style="dim")
        _say(console, "\n".join(log.read_text(errors="replace").splitlines()[-15:]))


def _stay(stage: Stage, console: Console) -> None:
    """Leave everything up for looking around, until Ctrl-C."""
    console.print("\n[bold]Look around[/]; Ctrl-C ends everything:")
    account = f"user {stage.kolibri.username}, password {stage.kolibri.password}"
    _say(console, f"  Kolibri   {stage.kolibri.url}  {account}")
    _say(console, f"  kubectl   export KUBECONFIG={stage.directory}/controlplane/admin.kubeconfig")
    _say(console, f"  export    {stage.export}")
    _say(console, f"  log       {stage.log}")
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
