"""The image, built and run as in the cluster (no root, no capability, read-only), where a container engine answers."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from homeroom.api import KINDS
from homeroom.demo.controlplane import ControlPlane

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SYSTEM = "homeroom-system"
AS_IN_THE_CLUSTER = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.fixture(scope="module")
def engine() -> Callable[..., str]:
    """A function that runs the container engine and gives what it prints."""

    def run(program: str, *args: str, seconds: float = 60) -> str:
        done = subprocess.run([program, *args], capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{program} {' '.join(args)}: {done.stderr}"
        return done.stdout

    for program in ("docker", "podman"):
        if (
            shutil.which(program)
            and subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0
        ):
            return lambda *args, **options: run(program, *args, **options)
    pytest.skip("no container engine answers here (docker info, podman info)")


@pytest.fixture(scope="module")
def image(engine: Callable[..., str]) -> Iterator[str]:
    name = f"homeroom-test:{uuid.uuid4().hex[:12]}"
    engine("build", f"--tag={name}", str(ROOT), seconds=500)
    yield name
    engine("rmi", "--force", name)


def test_it_is_nobody_and_writes_nowhere(engine: Callable[..., str], image: str) -> None:
    program = "import os; print(os.getuid(), os.getgid(), os.access('/opt/homeroom', os.W_OK))"
    said = engine("run", "--rm", *AS_IN_THE_CLUSTER, "--network=none", "--entrypoint=python", image, "-c", program)
    assert said == "65532 65532 False\n"


def test_it_holds_the_crds_of_this_release(engine: Callable[..., str], image: str) -> None:
    printed = engine("run", "--rm", *AS_IN_THE_CLUSTER, "--network=none", image, "crds")
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("homeroom.dev_*.yaml")]
    held = {crd["metadata"]["name"]: crd for crd in yaml.safe_load_all(printed)}
    assert held == {crd["metadata"]["name"]: crd for crd in files}


def test_the_operator_gets_ready_and_ends_in_peace(
    engine: Callable[..., str],
    image: str,
    controlplane: ControlPlane,
    wait_until: Callable[[Callable[[], bool]], None],
    tmp_path: Path,
) -> None:
    controlplane.kubectl("apply", f"--kustomize={ROOT / 'manifests' / 'base'}")
    config = json.loads(controlplane.kubeconfig_for(SYSTEM, "homeroom").read_text())
    cluster = config["clusters"][0]["cluster"]
    cluster["certificate-authority-data"] = base64.b64encode(
        Path(cluster.pop("certificate-authority")).read_bytes()
    ).decode()
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    kubeconfig.chmod(0o644)  # inside it is read by nobody in particular
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def ask(path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            return ""

    container = f"homeroom-test-{uuid.uuid4().hex[:12]}"
    engine(
        "run",
        "--detach",
        f"--name={container}",
        *AS_IN_THE_CLUSTER,
        "--network=host",
        "--tmpfs=/var/lib/homeroom:mode=1777",
        f"--volume={kubeconfig}:/kubeconfig:ro",
        "--env=KUBECONFIG=/kubeconfig",
        image,
        "operator",
        "--owner-id=image-test",
        f"--listen={address}",
    )
    try:
        wait_until(lambda: all(f'homeroom_kind_listed{{kind="{kind}"}} 1.0' in ask("/metrics") for kind in KINDS))
        assert ask("/readyz") == "ok\n"
        engine("stop", "--time=60", container, seconds=90)
        assert engine("inspect", "--format={{.State.ExitCode}}", container) == "0\n"
    finally:
        engine("rm", "--force", container)
