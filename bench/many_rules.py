"""(c) An operator with 1,000 SharingRules over 50 LearningApps: until all are Ready, and then at rest.

A real control plane, a real Kolibri, the operator as a process with the rights that `manifests/` ships. All objects are
created at once while it runs. Every app only observes, so that the operator is measured and not Kolibri. Writes are
counted by the API server (its metric of requests) and, at rest, by etcd (its revisions).

`python -m bench.many_rules` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import psutil
import yaml
from bench.measure import REPOSITORY, machine, megabytes, peak_memory, table, tell
from prometheus_client.parser import text_string_to_metric_families

from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import EXAMPLE, RECORDS, SYSTEM, Records, Stage, condition, wait_for

RULES: Final = 1_000
RULES_PER_APP: Final = 20
MOST_MEMORY: Final = 200e6
REST_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 5.0
_DEADLINE_SECONDS: Final = 1800.0
_WRITES: Final = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
_GRADES: Final = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10")
_SUBJECTS: Final = ("homeroom/advisory", "math")


def section(rules: int) -> str:
    """Measure; the section for the README."""
    with tempfile.TemporaryDirectory(prefix="homeroom-bench-") as directory:
        place = Path(directory)
        with (
            ControlPlane(binaries(default_cache()), place / "controlplane") as plane,
            Kolibri(installed(default_cache()), place / "kolibri") as kolibri,
        ):
            stage = Stage(
                kubectl=plane.kubectl,
                kubeconfig=lambda: plane.kubeconfig_for(SYSTEM, "homeroom"),
                kolibri=kolibri,
                directory=place,
            )
            try:
                return _measure(stage, plane, rules)
            finally:
                stage.kill()


def _measure(stage: Stage, plane: ControlPlane, rules: int) -> str:
    stage.install()
    stage.publish(Records(RECORDS))
    _declare_district(stage)
    stage.start()
    assert stage.operator is not None
    operator = psutil.Process(stage.operator.pid)
    stage.wait_ready("district", "lakeside")
    alone = operator.memory_info().rss
    objects = _objects(stage, rules)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})

    tell(f"creating {len(objects):,} objects")
    before, cpu, begun = _writes(stage), _cpu(operator), time.monotonic()
    stage.kubectl("create", "--validate=strict", "-f", "-", stdin=text)
    created = time.monotonic() - begun
    wait_for("everything Ready", lambda: _all_ready(stage, rules), seconds=_DEADLINE_SECONDS)
    ready, spent, load = time.monotonic() - begun, _cpu(operator) - cpu, os.getloadavg()[0]
    wait_for("rest", lambda: _is_quiet(plane), seconds=_DEADLINE_SECONDS)
    writes = _writes(stage) - before
    peak = peak_memory(operator.pid)

    tell(f"Ready after {ready:.0f} s; resting")
    revision, before, cpu = plane.etcd_revision(), _writes(stage), _cpu(operator)
    time.sleep(REST_SECONDS)
    idle_cpu, memory = _cpu(operator) - cpu, operator.memory_info()
    written, idle = plane.written_since(revision), _writes(stage) - before
    if written:
        tell(f"written at rest: {written}")

    created_by_us = Counter(f"{item['kind'].lower()}s POST" for item in objects)
    apps = len(objects) - rules
    goals = (
        f"Goals: at rest no API writes but the Lease for {REST_SECONDS:.0f} s, and less than {megabytes(MOST_MEMORY)} "
        "of memory."
    )
    facts = [
        [f"{rules:,} rules, {apps} apps: created by kubectl", f"{created:.1f} s"],
        ["all Ready, from the first creation on", f"{ready:.1f} s"],
        ["CPU of the operator until then", f"{spent:.1f} s"],
        ["memory of the operator before, with one district", megabytes(alone)],
        ["memory of the operator, peak", megabytes(peak)],
        ["memory of the operator at rest (RSS)", f"**{megabytes(memory.rss)}**"],
        ["of that pages of files, such as code of libraries", megabytes(getattr(memory, "shared", 0))],  # Linux
        [f"CPU of the operator in {REST_SECONDS:.0f} s at rest", f"{idle_cpu:.2f} s"],
        ["objects written at rest, Leases and Events aside (etcd)", f"**{len(written)}**"],
        ["write requests at rest (API server)", _told(idle)],
    ]
    rows = [[kind, f"{number:,}"] for kind, number in sorted((writes - created_by_us).items())]
    remarks = f"One run; {machine('kopf', 'aiohttp')}; one-minute load when all were Ready: {load:.1f}."
    head = ["write requests until rest, kubectl's creations aside", "number"]
    return "\n\n".join([goals, table(["measure", "value"], facts), table(head, rows), remarks])


def _declare_district(stage: Stage) -> None:
    stage.apply_secret()
    tenant = REPOSITORY / "manifests" / "components" / "tenant" / "rolebinding.yaml"
    stage.kubectl("apply", "-n", stage.namespace, "-f", str(tenant))
    district = yaml.safe_load((EXAMPLE / "district.yaml").read_text())
    district["metadata"]["namespace"] = stage.namespace
    stage.kubectl("apply", "-f", "-", stdin=json.dumps(district))


def _objects(stage: Stage, rules: int) -> list[dict[str, Any]]:
    """Apps first, then their rules: each selects sections of one grade and subject."""
    kolibri = {"url": stage.kolibri.url, "secretRef": {"name": "kolibri"}}
    app = {"districtRef": {"name": "lakeside"}, "target": {"kolibri": kolibri}, "policy": "Observe", "interval": "1h"}
    apps = [_object(stage, "LearningApp", f"app-{number}", app) for number in range(-(-rules // RULES_PER_APP))]
    sharing = []
    for number in range(rules):
        grade = _GRADES[number % len(_GRADES)]
        subject = _SUBJECTS[number // len(_GRADES) % len(_SUBJECTS)]
        spec = {
            "appRef": {"name": f"app-{number // RULES_PER_APP}"},
            "share": "Sections",
            "match": [
                {"key": "grade", "operator": "In", "values": [grade]},
                {"key": "subject", "operator": "In", "values": [subject]},
            ],
        }
        sharing.append(_object(stage, "SharingRule", f"rule-{number}", spec))
    return apps + sharing


def _object(stage: Stage, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": name, "namespace": stage.namespace}
    return {"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def _all_ready(stage: Stage, rules: int) -> bool:
    found = [*stage.list("sharingrules"), *stage.list("learningapps")]
    ready = [
        condition(item.get("status", {}), "Ready") == "True"
        and item["status"].get("observedGeneration") == item["metadata"]["generation"]
        for item in found
    ]
    tell(f"{sum(ready):,} of {len(ready):,} Ready")
    return len(found) > rules and all(ready)


def _is_quiet(plane: ControlPlane) -> bool:
    revision = plane.etcd_revision()
    time.sleep(_QUIET_SECONDS)
    return not plane.written_since(revision)


def _writes(stage: Stage) -> Counter[str]:
    """Write requests that the API server has answered, of all clients, by resource and verb."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(stage.kubectl("get", "--raw", "/metrics")):
        if family.name != "apiserver_request":
            continue
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "apiserver_request_total" and labels["verb"] in _WRITES:
                resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
                code = "" if labels["code"].startswith("2") else f" ({labels['code']})"
                found[f"{resource} {labels['verb']}{code}"] += int(sample.value)
    return found


def _told(writes: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(writes.items())) or "none"


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.many_rules", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    print(section(parser.parse_args().rules))


if __name__ == "__main__":
    _main()
