"""What holds for the command line as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from homeroom.api.crds import render
from homeroom.cli import COMMANDS, cluster, main, terminal
from homeroom.errors import RefusedError
from homeroom.operator.api import LoginError

from .conftest import TREE, Homeroom


def test_help_names_every_command(homeroom: Homeroom) -> None:
    said = homeroom("--help")
    assert (said.code, said.err) == (0, "")
    assert all(f" {name} " in said.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, homeroom: Homeroom) -> None:
    said = homeroom(name, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Usage: homeroom {name}" in said.out
    assert COMMANDS[name] in said.out, "the list of commands and the command's own help say different things"


def test_help_comes_before_anything_heavy_is_loaded() -> None:
    look = (
        "import sys; from homeroom.cli import main; main(['--help']);"
        "sys.exit(', '.join({'polars', 'kopf', 'aiohttp', 'sqlalchemy', 'pydantic'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_operator_loads_nothing_that_only_people_need(tmp_path: Path) -> None:
    """What a process loads it never gives back; see `Memory` in docs/operator.md."""
    look = f"""
import sys
from pathlib import Path
from homeroom.api import parse
from homeroom.api.yaml import load_all
from homeroom.cli import operator
from homeroom.store import Store

for document in load_all(Path({str(TREE / "district.yaml")!r}).read_text(), file="district.yaml"):
    parse(document.data)  # with its rules between fields
assert "cel" in sys.modules
Store.open("sqlite:///{tmp_path}/homeroom.db", Path({str(tmp_path)!r})).close()
loaded = {{name.split(".")[0] for name, module in sys.modules.items() if module is not None}}
sys.exit(", ".join({{"alembic", "mako", "prompt_toolkit", "pygments", "rich"}} & loaded) or 0)
"""
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(homeroom: Homeroom) -> None:
    assert homeroom("--version").out == f"homeroom {version('homeroom')}\n"


def test_a_wrong_command_line_is_two_but_a_plans_is_an_error(homeroom: Homeroom) -> None:
    for arguments, code in ((("bla",), 2), (("validate",), 2), (("status", "--bla"), 2), (("plan", "--bla"), 1)):
        said = homeroom(*arguments)
        assert (said.code, said.out) == (code, "")
        assert said.err.startswith("error: ")
        assert "--help`" in said.err


def test_errors_become_words(homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise RefusedError("the door is shut: knock", reason="Refused")

    monkeypatch.setitem(sys.modules, "homeroom.cli.crds", SimpleNamespace(command=refuse))
    said = homeroom("crds")
    assert (said.code, said.out, said.err) == (1, "", "error: the door is shut: knock\n")
    blocked = tmp_path / "file"
    blocked.touch()
    said = homeroom("generate", blocked / "below", "--students", 3)
    assert (said.code, said.out) == (1, "")
    assert "Not a directory" in said.err


def test_crds_are_printed_or_written(homeroom: Homeroom, tmp_path: Path) -> None:
    files = render()
    assert homeroom("crds").out == "---\n".join(files.values())
    said = homeroom("crds", "--dir", tmp_path / "crds")
    assert said.code == 0
    assert {path.name: path.read_text() for path in (tmp_path / "crds").iterdir()} == files


def test_a_district_is_made_up(homeroom: Homeroom, tmp_path: Path) -> None:
    for name in ("one", "two"):
        said = homeroom("generate", tmp_path / name, "--students", 200, "--seed", 3, "--today", "2026-11-22", "--zip")
        assert said.code == 0
        assert "200 students" in said.out
    assert (tmp_path / "one/export.zip").read_bytes() == (tmp_path / "two/export.zip").read_bytes()
    said = homeroom("generate", tmp_path / "three", "--students", 2, "--schools", 3)
    assert (said.code, said.out) == (1, "")
    assert "cannot make 3 schools for 2 students" in said.err


def test_the_demo_is_asked_for(homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def run(**how: object) -> int:
        asked.append(how)
        return 7

    story = SimpleNamespace(run=run)
    monkeypatch.setitem(sys.modules, "homeroom.demo.story", story)
    monkeypatch.setattr("homeroom.demo.story", story, raising=False)
    assert homeroom("demo", "--once", "--cluster", "current", "--pictures", "here").code == 7
    assert asked == [{"once": True, "current_cluster": True, "pictures": Path("here")}]


def test_tables_are_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("NAME", "N", ""), [("a", 5, None), ("longer", 12, "x")], styles=["red"])
    assert capsys.readouterr().out == "NAME      N\na         5\nlonger   12   x\n"


def test_text_of_others_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.error("at [bold]x[/bold] :smile: 12 " + "long " * 60)
    assert capsys.readouterr().err == "error: at [bold]x[/bold] :smile: 12 " + "long " * 60 + "\n"


def test_completion_is_offered() -> None:
    # For the shell that calls; who runs the tests need not be one. Without the `exit`, bash would become the command.
    done = subprocess.run(
        ["bash", "-c", '"$0" -m homeroom.cli --show-completion; exit', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "complete -o default -F" in done.stdout, done.stderr


def test_kubeconfigs_are_read_as_kubectl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (tmp_path / "token").write_text("from-a-file\n")
    answers = {"status": {"token": "asked"}}
    (tmp_path / "plugin.py").write_text(f"print({json.dumps(json.dumps(answers))})")
    plugin = json.dumps({"command": sys.executable, "args": [str(tmp_path / "plugin.py")]})
    first.write_text(
        "current-context: here\n"
        "contexts: [{name: here, context: {cluster: c, user: u, namespace: lakeside}}]\n"
        "clusters: [{name: c, cluster: {server: https://one, certificate-authority: ca.crt}}]\n"
    )
    second.write_text(
        "current-context: there\n"
        "contexts: [{name: there, context: {cluster: c, user: plugin}}, {name: broken, context: {}}]\n"
        "clusters: [{name: c, cluster: {server: https://two}}]\n"
        f"users: [{{name: u, user: {{tokenFile: token}}}}, {{name: plugin, user: {{exec: {plugin}}}}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
    here = cluster.log_in(None)
    assert (here.server, here.token, here.default_namespace) == ("https://one", "from-a-file", "lakeside")
    assert here.ca_path == str(tmp_path / "ca.crt")
    there = cluster.log_in("there")
    assert (there.server, there.token, there.default_namespace) == ("https://one", "asked", "default")
    for context, words in (("mars", "there is broken, here, there"), ("broken", "names no cluster with a server")):
        with pytest.raises(LoginError, match=words):
            cluster.log_in(context)
    second.write_text("- what")
    with pytest.raises(LoginError, match="second cannot be read"):
        cluster.log_in(None)


def test_main_takes_the_command_line_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubectl-homeroom", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("homeroom ")
