"""The whole story on one machine, told on the terminal: what `make demo` shows.

A district is declared; somebody approves its first sync, and its classes appear in a real Kolibri; the next export
brings a class; what a person changed by hand is put back; a lost school is held, a replayed approval refused; a broken
export removes nothing. Then come the chapters of `seats` and `chats`. Each step proves itself; the first that fails
ends the demo with its name. Neighbours: `stage` (the actors), `controlplane`, `kolibri`, `synapse`, `web` (servers).
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
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from homeroom.demo.browser import open_browser
from homeroom.demo.chats import SERVER_NAME, class_teacher, tell_of_chats
from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.kolibri import Human, Kolibri, installed
from homeroom.demo.seats import OFFICE, teacher, tell_of_seats
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, SYSTEM, Kubectl, Records, Stage, message, wait_for
from homeroom.demo.synapse import Synapse
from homeroom.demo.synapse import installed as synapse_installed
from homeroom.demo.telling import proves, say, show, step
from homeroom.demo.web import Web, key_in
from homeroom.errors import HomeroomError, TerminalError

OUR_KINDS: Final = "districts,learningapps,sharingrules,schools,approvals"
NEW_CLASS: Final = "Chess club"


def run(*, once: bool, current_cluster: bool, pictures: Path | None) -> int:
    """Tell the story; the exit code. `once`: end by itself. `current_cluster`: use the cluster of the kubeconfig.

    `pictures`: where to put pictures of the web pages; they need a Chromium.
    """
    console = Console(stderr=False, highlight=False)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeroom-demo-")))
        try:
            web = stack.enter_context(Web(directory))
            stage, synapse = _set_up(stack, directory, web, current_cluster=current_cluster, console=console)
            _tell(stage, web, synapse, console, pictures=pictures)
        except HomeroomError as error:
            console.print(f"\n[bold red]failed:[/] {escape(error.message)}")
            _show_log(directory / "operator.log", console)
            return 1
        if once:
            console.print("\n[bold green]every step held[/]")
            return 0
        _stay(stage, Records(RECORDS), web, synapse, console)
    return 0


def _set_up(
    stack: contextlib.ExitStack, directory: Path, web: Web, *, current_cluster: bool, console: Console
) -> tuple[Stage, Synapse]:
    """Start everything; it ends with `stack`."""
    with step(console, "A Kubernetes control plane, a Kolibri and a Synapse server"):
        synapse = stack.enter_context(
            Synapse(synapse_installed(default_cache()), directory / "synapse", server_name=SERVER_NAME)
        )
        kolibri = stack.enter_context(Kolibri(installed(default_cache()), directory / "kolibri"))
        if current_cluster:
            kubectl, log_in = _current_cluster()
        else:
            plane = stack.enter_context(ControlPlane(binaries(default_cache()), directory / "controlplane"))
            kubectl, log_in = plane.kubectl, lambda: plane.kubeconfig_for(SYSTEM, "homeroom")
        stage = Stage(kubectl=kubectl, kubeconfig=log_in, kolibri=kolibri, directory=directory, options=web.options)
    stack.callback(stage.kill)
    with step(console, "Install Homeroom: kubectl apply -k manifests/base", shows="CRDs, least rights, the operator"):
        stage.install()
        stage.start()
    return stage, synapse


def _tell(stage: Stage, web: Web, synapse: Synapse, console: Console, *, pictures: Path | None) -> None:
    records = Records(RECORDS)
    begun = time.monotonic()
    approved = _tell_of_the_first_sync(stage, records, console)
    _tell_of_changes(stage, records, console)
    _tell_of_bad_exports(stage, records, console, approved=approved)
    with open_browser(pictures) as browser:
        tell_of_seats(stage, records, console, web=web, browser=browser)
        tell_of_chats(stage, records, console, synapse=synapse, web=web, browser=browser)
    console.print(f"\ntold in {time.monotonic() - begun:.0f} s", style="dim")


def _tell_of_the_first_sync(stage: Stage, records: Records, console: Console) -> str:
    """The id of a hold that was approved."""
    with step(console, "A district as Git holds it: kubectl apply -k examples/lakeside"):
        stage.publish(records)
        stage.declare()
        holds = stage.wait_held("learningapp", "kolibri")
        proves("nothing is in Kolibri before somebody has looked", not stage.kolibri.tables()["membership"])
    say(console, f"  {message(stage.get('learningapp', 'kolibri'))}")

    with step(console, "Somebody looks, and approves by a commit", shows="each school by itself, administrators apart"):
        stage.approve(holds, of="kolibri")
        stage.wait_ready("learningapp", "kolibri")
        wait_for("a row per school", lambda: _summaries(stage) == {"Synced"})
    show(console, stage.kubectl("get", OUR_KINDS, "-n", stage.namespace))
    human = stage.kolibri.human()
    for school in _schools(records):
        say(console, f"  Kolibri, {school}: {len(_classes(human, school))} classes")
    return str(holds[0]["id"])


def _tell_of_changes(stage: Stage, records: Records, console: Console) -> None:
    human, school = stage.kolibri.human(), _schools(records)[0]
    with step(console, "The next export brings a class", shows=f"'{NEW_CLASS}' in {school}"):
        _add_class(records, school)
        stage.publish(records)
        stage.run("district", "lakeside")
        wait_for("the new class in Kolibri", lambda: NEW_CLASS in _classes(human, school))
        stage.wait_ready("learningapp", "kolibri")

    before = stage.kolibri.tables()["membership"]
    with step(console, "Somebody takes a child out of that class, by hand", shows="put back on the next look"):
        member = _members(human, school, NEW_CLASS)[0]
        human.remove_member(member, facility=school, class_name=NEW_CLASS)
        stage.run("learningapp", "kolibri")
        proves("the child is back in its class", stage.kolibri.tables()["membership"] == before)


def _tell_of_bad_exports(stage: Stage, records: Records, console: Console, *, approved: str) -> None:
    before = stage.kolibri.tables()["membership"]
    with step(console, "An export that has lost a school", shows="held: nobody loses anything, the rest goes on"):
        bad = copy.deepcopy(records)
        bad.lose_school(bad.rows("orgs", type="school")[-1]["sourcedId"])
        stage.publish(bad)
        stage.run("district", "lakeside")
        held = stage.wait_held("district", "lakeside")
        stage.run("learningapp", "kolibri")
        proves("nobody lost a class", stage.kolibri.tables()["membership"] == before)
    say(console, f"  {message(stage.get('district', 'lakeside'))}")

    with step(console, "An old approval is tried on it", shows="each works once, for what was seen then"):
        stage.replay(approved, of="kolibri")
        stage.run("district", "lakeside")
        stage.run("learningapp", "kolibri")
        proves("the school is still held", stage.get("district", "lakeside")["status"]["holds"] == held)
        refused = message(stage.get("approval", "replay"))
        proves("the replay was refused", refused.startswith("HoldUsed"))
    say(console, f"  Approval replay: {refused}")

    with step(console, "The export has the school again", shows="the hold goes away by itself"):
        stage.publish(records)
        stage.run("district", "lakeside")
        stage.wait_ready("district", "lakeside")
        stage.wait_ready("learningapp", "kolibri")

    with step(console, "A broken export: cut off in the middle", shows="nothing is removed, the condition says why"):
        before_all = stage.kolibri.tables()
        whole = records.zipped()
        stage.publish(whole[: len(whole) // 2])
        broken = stage.run("district", "lakeside")
        stage.run("learningapp", "kolibri")
        proves("nothing was removed", stage.kolibri.tables() == before_all)
    say(console, f"  District lakeside: {message(broken)}")

    with step(console, "The export is whole again"):
        stage.publish(records)
        stage.run("district", "lakeside")
        stage.wait_ready("district", "lakeside")
        stage.run("learningapp", "kolibri")
        proves("nothing had to be changed", stage.kolibri.tables() == before_all)


def _summaries(stage: Stage) -> set[str]:
    return {school.get("status", {}).get("summary", "") for school in stage.list("schools")}


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


def _current_cluster() -> tuple[Kubectl, Callable[[], Path]]:
    """The kubectl and kubeconfig of whoever runs the demo; the operator then has that person's rights."""
    program = shutil.which("kubectl")
    if program is None:
        raise TerminalError("CLUSTER=current needs kubectl on the PATH", reason="DemoFailed")

    def kubectl(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TerminalError(f"kubectl {arguments[0]}: {done.stderr.strip()}", reason="DemoFailed")
        return done.stdout

    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    return kubectl, lambda: kubeconfig


def _show_log(log: Path, console: Console) -> None:
    if log.exists():
        console.print("the operator's last words:", style="dim")
        say(console, "\n".join(log.read_text(errors="replace").splitlines()[-15:]))


def _stay(stage: Stage, records: Records, web: Web, synapse: Synapse, console: Console) -> None:
    """Leave everything up for looking around, until Ctrl-C."""
    console.print("\n[bold]Look around[/]; Ctrl-C ends everything:")
    account = f"user {stage.kolibri.username}, password {stage.kolibri.password}"
    key = key_in(web.mailbox.mails(OFFICE)[-1])
    say(console, f"  Kolibri   {stage.kolibri.url}  {account}")
    someone = synapse.account(class_teacher(records))
    say(console, f"  Synapse   {synapse.url}  {someone.user_id}, access token {someone.token}")
    say(console, f"  pages     {web.url}/connect  key {key}, as {teacher(records)}")
    say(console, f"  mails     {web.mailbox.directory}")
    say(console, f"  kubectl   export KUBECONFIG={stage.directory}/controlplane/admin.kubeconfig")
    say(console, f"  export    {stage.export}")
    say(console, f"  log       {stage.log}")
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
