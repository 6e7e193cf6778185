"""What people change by hand in chats is put right between two runs; who is listened to, and how trouble ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.unit.chats.worlds import CAN, Room
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT, Killed

from homeroom.chats import State
from homeroom.chats.flapping import FIRST_REST, FREE
from homeroom.errors import TerminalError, TransientError
from homeroom.platforms import Changes
from homeroom.reconcile.listening import PAUSE_SECONDS, SESSION, Listening
from homeroom.reconcile.run import PATIENCE
from homeroom.store import JournalQuery

STUDENTS, PARENTS = "7b students", "7b parents"
CHILD = account("u-110")
STRANGER = "@x:school.example"
OWNER = "here/lakeside/lakeside"
CONTINUOUS = {"mode": "Continuous", "interval": "30m"}


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    here.declare(POLICY, sync=CONTINUOUS)
    yield here
    here.store.close()


def the(here: ChatNights, name: str) -> tuple[str, Room]:
    """Key and room of a chat."""
    return next((key, room) for key, room in here.server.rooms.items() if room.name == name)


async def repair(here: ChatNights, *names: str) -> None:
    """What the listener does when it hears of these chats."""
    cluster: Any = here.cluster
    here.cluster.asked = []
    await here.repairs.repair(cluster, POLICY, {the(here, name)[0] for name in names})


def meddle(here: ChatNights, name: str) -> None:
    """A guest comes, a child goes, and the chat gets another name."""
    _, room = the(here, name)
    room.people[STRANGER] = State.JOINED
    del room.people[CHILD]


# ---------------------------------------------------------------------------------------------------------------------
# Repairs


async def test_a_repair_reads_the_changed_chats_alone_and_leaves_them_as_they_were(filled: ChatNights) -> None:
    await filled.run(POLICY)
    key, room = the(filled, STUDENTS)
    before = dict(room.people)
    status, written = filled.cluster.objects[POLICY]["status"], filled.cluster.writes
    baseline = sorted((filled.directory / "chats").rglob("*"))
    meddle(filled, STUDENTS)
    the(filled, PARENTS)[1].people[STRANGER] = State.JOINED
    reads = filled.chats.reads
    await repair(filled, STUDENTS)
    assert room.people == before
    assert (filled.chats.reads, filled.chats.only) == (reads, [{key}])
    assert STRANGER in the(filled, PARENTS)[1].people
    assert filled.cluster.events[-1] == ("DriftRepaired", "2 changes made by hand in the chats were put back")
    rows = filled.store.history(JournalQuery(namespace="lakeside"))
    assert {("Remove", "Intruder"), ("Create", "Drift")} <= set(rows.select("op", "cause").rows())
    assert (filled.cluster.objects[POLICY]["status"], filled.cluster.writes) == (status, written)
    assert sorted((filled.directory / "chats").rglob("*")) == baseline
    assert filled.cluster.asked == []


async def test_what_was_put_right_needs_no_second_look_and_the_next_run_finds_nothing(filled: ChatNights) -> None:
    await filled.run(POLICY)
    meddle(filled, STUDENTS)
    await repair(filled, STUDENTS)
    writes, events = filled.server.writes, list(filled.cluster.events)
    await repair(filled, STUDENTS)
    await filled.run(POLICY)
    assert filled.server.writes == writes
    assert filled.cluster.events == events
    assert filled.said(POLICY).endswith("in sync")


async def test_nothing_is_put_right_by_what_no_longer_holds(filled: ChatNights) -> None:
    meddle(filled, STUDENTS)
    writes = filled.server.writes
    await repair(filled, STUDENTS)  # no whole run yet since the start
    await filled.run(POLICY)
    meddle(filled, STUDENTS)
    writes = filled.server.writes
    filled.declare(POLICY, protect=[STRANGER])
    await repair(filled, STUDENTS)  # edited
    assert filled.server.writes == writes
    await filled.run(POLICY)
    assert STRANGER in the(filled, STUDENTS)[1].people
    writes = filled.server.writes
    del the(filled, STUDENTS)[1].people[CHILD]
    filled.declare(PLATFORM, suspend=True)
    await repair(filled, STUDENTS)
    assert filled.server.writes == writes
    filled.declare(PLATFORM, suspend=False)
    await repair(filled, STUDENTS)
    assert filled.server.writes == writes + 1
    del filled.cluster.objects[POLICY]
    await filled.run(POLICY)
    await repair(filled, STUDENTS)
    assert filled.server.writes == writes + 1


async def test_a_run_that_broke_off_leaves_nothing_to_go_by(filled: ChatNights) -> None:
    section = filled.records.rows("classes", title="7b")[0]["sourcedId"]
    gone = filled.records.rows("enrollments", classSourcedId=section, role="student")[:2]
    for row in gone:
        filled.records.remove("enrollments", sourcedId=row["sourcedId"])
    await filled.night(days=8)
    room, newcomers = the(filled, STUDENTS)[1], {account(row["userSourcedId"]) for row in gone}
    assert not newcomers & room.people.keys()
    for row in gone:
        filled.records.add("enrollments", **row)
    await filled.later(days=1)
    waking = DISTRICT  # it has the policy run
    while not newcomers & room.people.keys():
        filled.chats.until = 1
        with pytest.raises(Killed):
            await filled.run(waking)
        waking = POLICY
    filled.chats.until = None
    there = newcomers & room.people.keys()
    await repair(filled, STUDENTS)  # by the run before, this one would be a stranger
    assert newcomers & room.people.keys() == there
    await filled.run(POLICY)
    assert newcomers <= room.people.keys()


async def test_chats_of_others_and_chats_that_stand_still_are_left_alone(filled: ChatNights) -> None:
    await filled.run(POLICY)
    cluster: Any = filled.cluster
    await filled.repairs.repair(cluster, POLICY, {"hr-of-another-policy"})
    assert filled.chats.only == []


async def test_a_repair_waits_for_a_run_on_the_same_server_and_the_other_way_round(filled: ChatNights) -> None:
    await filled.run(POLICY)
    meddle(filled, STUDENTS)
    async with filled.repairs.turn(PLATFORM):
        waiting = asyncio.create_task(repair(filled, STUDENTS))
        await asyncio.wait({waiting}, timeout=0.01)
        assert not waiting.done()
        assert filled.chats.only == []
    await waiting
    assert STRANGER not in the(filled, STUDENTS)[1].people


async def test_a_war_is_told_slowed_down_and_not_given_up(filled: ChatNights) -> None:
    await filled.run(POLICY)
    _, room = the(filled, STUDENTS)
    for _ in range(FREE):
        meddle(filled, STUDENTS)
        await repair(filled, STUDENTS)
        assert CHILD in room.people
    meddle(filled, STUDENTS)
    await repair(filled, STUDENTS)
    assert CHILD not in room.people
    assert STRANGER not in room.people
    reason, words = filled.cluster.events[-2]
    assert reason == "Flapping"
    assert "1 thing is changed by hand again and again" in words
    assert filled.cluster.asked == [POLICY]
    await filled.run(POLICY)
    assert CHILD not in room.people
    assert "changed by hand again and again" in filled.said(POLICY)
    filled.now += FIRST_REST
    await filled.run(POLICY)
    assert CHILD in room.people
    assert filled.said(POLICY).endswith("in sync")


# ---------------------------------------------------------------------------------------------------------------------
# Listening


class Ears:
    """A listener, what it waited for, and what it made of what it heard."""

    def __init__(self, here: ChatNights, repairs: Any = None) -> None:
        self.here = here
        self.waits: list[float] = []
        self.lasting: asyncio.Event | None = None
        cluster: Any = here.cluster
        self.listening = Listening(
            cluster=cluster,
            clock=here.clock,
            outside=here.outside,
            repairs=repairs or here.repairs,
            wait=self._wait,
            look=0.01,
        )

    async def _wait(self, seconds: float) -> None:
        if seconds != PAUSE_SECONDS:
            self.waits.append(seconds)
        await asyncio.sleep(0)

    def hear(self, *names: str, until: str = "s2", everything: bool = False) -> None:
        """The server tells of changes."""
        chats = frozenset((OWNER, the(self.here, name)[0]) for name in names)
        self.here.chats.told.put_nowait(Changes(until=until, chats=chats, everything=everything))

    def fail(self, error: Exception) -> None:
        """The server does not."""
        self.here.chats.told.put_nowait(error)

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait for something that has to come."""
        async with asyncio.timeout(60):
            while not so():  # noqa: ASYNC110 - it is about anything
                await asyncio.sleep(0.005)


@asynccontextmanager
async def listening(ears: Ears) -> AsyncIterator[Ears]:
    task = asyncio.create_task(ears.listening.run())
    try:
        yield ears
    finally:
        ears.listening.stop()
        await task


async def test_what_is_heard_is_put_right_and_listening_goes_on_from_there(filled: ChatNights) -> None:
    await filled.run(POLICY)
    async with listening(Ears(filled)) as ears:
        ears.hear(until="s1", everything=True)
        await ears.until(lambda: POLICY in filled.cluster.asked)
        meddle(filled, STUDENTS)
        ears.hear(STUDENTS, until="s2")
        await ears.until(lambda: CHILD in the(filled, STUDENTS)[1].people)
        await ears.until(lambda: len(filled.chats.after) == 3)
    assert filled.chats.after == [None, "s1", "s2"]
    assert filled.chats.only == [{the(filled, STUDENTS)[0]}]
    assert ears.waits == []


@pytest.mark.parametrize(
    "silent",
    [
        lambda here: here.declare(POLICY, sync={"mode": "Interval"}),
        lambda here: here.declare(POLICY, suspend=True),
        lambda here: here.declare(PLATFORM, suspend=True),
        lambda here: here.cluster.objects.pop(POLICY),
        lambda here: here.cluster.objects.pop(PLATFORM),
    ],
    ids=["interval", "policy suspended", "platform suspended", "no policy", "no platform"],
)
async def test_who_is_listened_to_follows_the_resources(
    filled: ChatNights, silent: Callable[[ChatNights], object]
) -> None:
    async with listening(Ears(filled)) as ears:
        await ears.until(lambda: filled.chats.after == [None])
        ears.hear(until="s1")
        await ears.until(lambda: filled.chats.after == [None, "s1"])
        kept = dict(filled.cluster.objects)
        silent(filled)
        await ears.until(lambda: not ears.listening.listens_to)
        filled.cluster.objects = kept
        filled.declare(PLATFORM)
        await ears.until(lambda: len(filled.chats.after) == 3)
    assert filled.chats.after[-1] is None  # nobody knows what happened meanwhile
    assert not ears.listening.listens_to


async def test_a_platform_that_was_edited_is_opened_anew_and_heard_from_where_it_was(filled: ChatNights) -> None:
    async with listening(Ears(filled)) as ears:
        ears.hear(until="s1")
        await ears.until(lambda: filled.chats.after == [None, "s1"])
        filled.declare(PLATFORM, protect=["@bot:school.example"])
        await ears.until(lambda: filled.chats.after == [None, "s1", "s1"])


async def test_a_server_that_is_away_is_asked_less_and_less_told_of_once_and_heard_from_where_it_was(
    filled: ChatNights,
) -> None:
    gone = TransientError("synapse at m.example does not answer", reason="TargetUnavailable")
    with capture_logs() as logs:
        async with listening(Ears(filled)) as ears:
            ears.hear(until="s1")
            for _ in range(8):
                ears.fail(gone)
            ears.fail(TransientError("later", reason="TargetUnavailable", retry_after=90))
            ears.hear(until="s2")
            ears.fail(gone)
            await ears.until(lambda: len(ears.waits) == 10)
    assert ears.waits == [1, 2, 4, 8, 16, 32, 60, 60, 90, 1]
    assert filled.chats.after[:11] == [None, *["s1"] * 10]
    events = [log["event"] for log in logs]
    assert events.count("changes in chats are not heard until this is mended") == 2
    assert events.count("changes in chats are heard again") == 1


async def test_wrong_credentials_are_told_once_and_tried_again_when_a_person_may_have_mended_them(
    filled: ChatNights,
) -> None:
    with capture_logs() as logs:
        async with listening(Ears(filled)) as ears:
            for _ in range(4):
                ears.fail(TerminalError("synapse does not accept the access token", reason="CredentialsInvalid"))
            filled.cluster.asked = []
            await ears.until(lambda: len(ears.waits) == 4)
    assert set(ears.waits) == {PATIENCE.total_seconds()}
    assert filled.cluster.asked == [PLATFORM]
    assert len([log for log in logs if log["log_level"] == "warning"]) == 1


async def test_a_connection_lasts_ten_minutes_so_that_a_changed_secret_is_read(filled: ChatNights) -> None:
    opened = []

    async def platform(*_: object, **__: object) -> Any:
        opened.append(filled.now)
        return filled.chats

    filled.outside.platform = platform
    async with listening(Ears(filled)) as ears:
        ears.hear(until="s1")
        await ears.until(lambda: len(filled.chats.after) == 2)
        assert len(opened) == 1
        filled.now += SESSION
        ears.hear(until="s2")
        await ears.until(lambda: len(opened) == 2)
    assert filled.chats.after[:3] == [None, "s1", "s2"]


async def test_a_repair_that_fails_has_a_whole_run_follow(filled: ChatNights) -> None:
    class Failing:
        async def repair(self, *_: object) -> None:
            raise TransientError("synapse does not answer", reason="TargetUnavailable")

    async with listening(Ears(filled, Failing())) as ears:
        ears.hear(STUDENTS)
        await ears.until(lambda: POLICY in filled.cluster.asked)
    assert ears.waits == []


async def test_a_bug_ends_neither_listening_nor_the_process(filled: ChatNights) -> None:
    class Buggy:
        async def repair(self, *_: object) -> None:
            raise ZeroDivisionError

    with capture_logs() as logs:
        async with listening(Ears(filled, Buggy())) as ears:
            ears.hear(STUDENTS)
            await ears.until(lambda: bool(ears.waits))
            ears.hear(until="s3")
            await ears.until(lambda: "s3" in filled.chats.after)
    assert any("this is a bug in Homeroom" in log["event"] for log in logs)


async def test_chats_of_another_district_are_not_this_policys(filled: ChatNights) -> None:
    async with listening(Ears(filled)) as ears:
        await filled.run(POLICY)
        meddle(filled, STUDENTS)
        chats = frozenset({("here/lakeside/hillside", the(filled, STUDENTS)[0])})
        filled.chats.told.put_nowait(Changes(until="s1", chats=chats))
        await ears.until(lambda: filled.chats.after == [None, "s1"])
    assert filled.chats.only == []


async def test_a_platform_that_tells_nothing_is_not_asked(filled: ChatNights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled.chats, "capabilities", replace(CAN, events=False), raising=False)
    async with listening(Ears(filled)) as ears:
        await ears.until(lambda: bool(ears.waits))
    assert filled.chats.after == []


async def test_an_end_waits_for_the_repair_under_way_and_haste_does_not(filled: ChatNights) -> None:
    begun, done = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    class Slow:
        async def repair(self, *_: object) -> None:
            begun.set()
            try:
                await done.wait()
                ended.append("whole")
            except asyncio.CancelledError:
                ended.append("cut")
                raise

    for haste in (False, True):
        begun.clear()
        done.clear()
        ears = Ears(filled, Slow())
        task = asyncio.create_task(ears.listening.run())
        ears.hear(STUDENTS)
        await begun.wait()
        if haste:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            ears.listening.stop()
            await asyncio.wait({task}, timeout=0.05)
            assert not task.done()
            done.set()
            await task
    assert ended == ["whole", "cut"]
