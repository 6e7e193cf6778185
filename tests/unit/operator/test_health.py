"""What probes and Prometheus get to read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
import pytest

from homeroom.operator import health
from homeroom.operator.metrics import Metrics
from homeroom.reconcile.ports import Key, Object

DISTRICT = Key("District", "north", "lakeside")
POLICY = Key("ChatPolicy", "north", "chats")


async def read(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.text()


async def test_probes_name_what_is_wrong() -> None:
    live: list[str] = []
    waiting: list[str] = ["kind School: forbidden", "store: locked"]

    async def ready() -> Sequence[str]:
        return waiting

    async with health.served(
        host="127.0.0.1", port=0, live=lambda: live, ready=ready, metrics=lambda: b"homeroom_leading 1\n"
    ) as port:
        assert await read(port, "/livez") == (200, "ok\n")
        live.append("watch: its thread has ended")
        assert await read(port, "/livez") == (503, "watch: its thread has ended\n")
        assert await read(port, "/readyz") == (503, "kind School: forbidden\nstore: locked\n")
        waiting.clear()
        assert await read(port, "/readyz") == (200, "ok\n")
        assert await read(port, "/metrics") == (200, "homeroom_leading 1\n")


async def test_a_check_that_hangs_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_READY_SECONDS", 0.01)

    async def ready() -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with health.served(host="127.0.0.1", port=0, live=list, ready=ready, metrics=bytes) as port:
        assert (await read(port, "/readyz"))[0] == 503


class TestMetrics:
    def text(self, metrics: Metrics) -> list[str]:
        conditions = [{"type": "Ready", "status": "True"}, {"type": "RecordsValid", "status": "False"}]
        objects: list[Object] = [
            {"kind": "District", "status": {"conditions": conditions}},
            {"kind": "District", "status": {"conditions": conditions[:1]}},
            {"kind": "School"},
        ]
        listed = {"District": True, "School": False}
        queue = {"ready": 1, "running": 2, "waiting": 3}
        return metrics.collect(objects=objects, listed=listed, queue=queue, leading=True).decode().splitlines()

    def test_state_is_read_when_it_is_asked_for(self) -> None:
        assert set(self.text(Metrics())) >= {
            'homeroom_condition{kind="District",status="True",type="Ready"} 2.0',
            'homeroom_condition{kind="District",status="False",type="RecordsValid"} 1.0',
            'homeroom_kind_listed{kind="School"} 0.0',
            'homeroom_queue_depth{state="waiting"} 3.0',
            "homeroom_leading 1.0",
        }

    def test_what_happened_is_counted(self) -> None:
        metrics = Metrics()
        at = datetime(2027, 1, 15, 8, tzinfo=UTC)
        metrics.operations("membership", planned=3, applied=2, failed=1)
        metrics.backend_call("kolibri", outcome="ok", seconds=0.2)
        metrics.reconciled(DISTRICT, outcome="succeeded", seconds=2, at=at)
        metrics.records_read(DISTRICT, at=at)
        metrics.chats(POLICY, chats={"wanted": 4, "there": 3}, members={"joined": 7}, links={"linked": 9})
        metrics.api_request("PUT", code="200")
        metrics.watch_event("School")
        metrics.event_dropped()
        metrics.lesson_shown(seconds=240)
        assert set(self.text(metrics)) >= {
            'homeroom_operations_total{kind="membership",outcome="planned"} 3.0',
            'homeroom_operations_total{kind="membership",outcome="failed"} 1.0',
            'homeroom_backend_call_seconds_count{backend="kolibri",outcome="ok"} 1.0',
            'homeroom_lesson_lag_seconds_bucket{le="300.0"} 1.0',
            'homeroom_reconcile_seconds_count{kind="District",outcome="succeeded"} 1.0',
            'homeroom_last_success_timestamp_seconds{kind="District",name="lakeside",namespace="north"} 1.8e+09',
            'homeroom_records_timestamp_seconds{name="lakeside",namespace="north"} 1.8e+09',
            'homeroom_api_requests_total{code="200",method="PUT"} 1.0',
            'homeroom_watch_events_total{kind="School"} 1.0',
            "homeroom_events_dropped_total 1.0",
            'homeroom_chats{kind="ChatPolicy",name="chats",namespace="north",state="there"} 3.0',
            'homeroom_chat_members{kind="ChatPolicy",name="chats",namespace="north",state="joined"} 7.0',
            'homeroom_chat_links{kind="ChatPolicy",name="chats",namespace="north",state="linked"} 9.0',
        }

    def test_what_is_gone_is_not_told_any_more(self) -> None:
        metrics = Metrics()
        at = datetime(2027, 1, 15, 8, tzinfo=UTC)
        metrics.reconciled(DISTRICT, outcome="succeeded", seconds=2, at=at)
        metrics.records_read(DISTRICT, at=at)
        extra = POLICY._replace(kind="Chat")
        for policy in (POLICY, extra, extra._replace(name="other")):
            metrics.chats(policy, chats={"wanted": 4}, members={"joined": 7}, links={"linked": 9})
        metrics.forget(POLICY)
        assert 'homeroom_chats{kind="Chat",name="chats",namespace="north",state="wanted"} 4.0' in self.text(metrics)
        for key in (DISTRICT, DISTRICT, POLICY, extra):
            metrics.forget(key)
        assert {line for line in self.text(metrics) if line.startswith("homeroom_chat")} == {
            'homeroom_chats{kind="Chat",name="other",namespace="north",state="wanted"} 4.0',
            'homeroom_chat_members{kind="Chat",name="other",namespace="north",state="joined"} 7.0',
            'homeroom_chat_links{kind="Chat",name="other",namespace="north",state="linked"} 9.0',
        }
        assert not any("lakeside" in line for line in self.text(metrics))

    def test_two_processes_in_one_test_share_nothing(self) -> None:
        first, second = Metrics(), Metrics()
        first.event_dropped()
        assert "homeroom_events_dropped_total 0.0" in self.text(second)
