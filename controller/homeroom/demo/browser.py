"""Somebody at web pages: a real headless Chromium where there is one, else the same forms by plain HTTP.

Chromium is driven over the pipe of its DevTools protocol (`--remote-debugging-pipe`: JSON messages that end with a
zero byte): no port that others of this machine could use. Neighbours: `seats` (the teacher of
the story), `web` (the pages). Everything here blocks.
"""

from __future__ import annotations

import base64
import contextlib
import html.parser
import http.cookiejar
import itertools
import json
import os
import select
import shutil
import signal
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from homeroom.demo.server import ServerError, process_group

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS: Final = 60.0
_SIZES: Final = {"": (1000, 1.0, False), "-phone": (390, 2.0, True)}
"""What is added to a picture's name -> width of the window, device pixels per pixel, whether it is a phone."""


class Browser(Protocol):
    """What a person does at pages. Raises ServerError where a page has nothing of the kind."""

    name: str
    """What it is, for whoever watches."""

    def open(self, url: str) -> None:
        """Go to an address."""

    def enter(self, field: str, text: str) -> None:
        """Write into the field with that name."""

    def press(self, button: str) -> None:
        """Press the button with these words, and wait for the page that comes."""

    def words(self) -> str:
        """What the page says."""

    def picture(self, name: str) -> None:
        """Keep a picture of the page, as it is on a wide screen and on a phone; nothing where there is none to see."""


@contextlib.contextmanager
def open_browser(pictures: Path | None) -> Iterator[Browser]:
    """A browser with nothing in it. Pictures go into `pictures`, if that is given; then it has to be Chromium."""
    program = chromium_here()
    with contextlib.ExitStack() as stack:
        found: Browser | None = None
        if program is not None:
            with contextlib.suppress(ServerError):  # it may be there and not work, as in many containers
                found = stack.enter_context(chromium(program, pictures))
        if found is None and pictures is not None:
            raise ServerError(f"pictures need a Chromium that starts: install one of {', '.join(_PROGRAMS)}")
        yield found or PlainBrowser()


def chromium_here() -> str | None:
    """The Chromium of this machine, if it has one on its PATH."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class _Page(html.parser.HTMLParser):
    """Forms of a page (action, fields, words of its buttons), and the words in its `main`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str], list[str]]] = []
        self.words = ""
        self._select = ""
        self._within: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((values["action"], {}, []))
        elif tag == "input":
            self.forms[-1][1][values["name"]] = values.get("value", "")
        elif tag == "select":
            self._select = values["name"]
        elif tag == "option":  # the first one is chosen
            self.forms[-1][1].setdefault(self._select, values["value"])
        elif tag == "button":
            self.forms[-1][2].append("")
        if tag in {"main", "button"}:
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if "main" in self._within:
            self.words += f" {data.strip()}"
        if "button" in self._within:
            self.forms[-1][2][-1] += data.strip()


class PlainBrowser:
    """Keeps cookies, and sends forms as a browser does. It sees no style sheet and no picture."""

    name = "plain HTTP, as no Chromium answers here"

    def __init__(self) -> None:
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        self._url = ""
        self._page = _Page("")

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask(urllib.request.Request(url))  # noqa: S310 (pages of this machine)

    def enter(self, field: str, text: str) -> None:
        """Write into the field with that name."""
        for _, fields, _ in self._page.forms:
            if field in fields:
                fields[field] = text
                return
        raise ServerError(f"{self._url} has no field '{field}'")

    def press(self, button: str) -> None:
        """Press the button with these words, and wait for the page that comes."""
        for action, fields, buttons in self._page.forms:
            if button in buttons:
                goes = urllib.parse.urljoin(self._url, action)
                origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(self._url))
                data = urllib.parse.urlencode(fields).encode()
                self._ask(urllib.request.Request(goes, data=data, headers={"Origin": origin}))  # noqa: S310 (as above)
                return
        raise ServerError(f"{self._url} has no button '{button}'")

    def words(self) -> str:
        """What the page says."""
        return self._page.words

    def picture(self, name: str) -> None:
        """Nothing."""

    def _ask(self, request: urllib.request.Request) -> None:
        try:
            answer = self._opener.open(request, timeout=_SECONDS)
        except urllib.error.HTTPError as error:
            answer = error  # a page too: it says what is wrong
        with answer:
            self._url, self._page = answer.url, _Page(str(answer.read(), "utf-8"))


@contextlib.contextmanager
def chromium(program: str, pictures: Path | None) -> Iterator[Chromium]:
    """A Chromium of its own, with a profile that is thrown away. Raises ServerError when it does not start."""
    with contextlib.ExitStack() as stack:
        profile = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="homeroom-browser-", ignore_cleanup_errors=True)
        )
        group = stack.enter_context(process_group())
        theirs, ours = os.pipe()
        answers, their_answers = os.pipe()
        arguments = [program, "--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--lang=en"]
        arguments += [
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-proxy-server",
        ]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # it refuses to be root with one
        # The protocol's places are 3 and 4. Pipes are made upwards: what goes to 4 is never at 3.
        actions = [
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, theirs, 3),
            (os.POSIX_SPAWN_DUP2, their_answers, 4),
        ]
        process = os.posix_spawn(program, arguments, os.environ, file_actions=actions, setpgroup=group)
        stack.callback(os.waitpid, process, 0)
        stack.callback(os.kill, process, signal.SIGKILL)
        os.close(theirs)
        os.close(their_answers)
        stack.callback(os.close, answers)
        stack.callback(os.close, ours)
        yield Chromium(ours, answers, pictures)


class Chromium:
    """One window of a running Chromium. `say`, `hear`: our ends of its pipes."""

    def __init__(self, say: int, hear: int, pictures: Path | None) -> None:
        self._say, self._hear, self._pictures = say, hear, pictures
        self._numbers = itertools.count(1)
        self._rest = b""
        self._heard: set[str] = set()
        self._session: dict[str, str] = {}
        self.name = f"a headless {self._call('Browser.getVersion')['product']}"
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        self._call("Page.enable")
        self._resize("")

    def open(self, url: str) -> None:
        """Go to an address."""
        self._heard.clear()
        self._call("Page.navigate", url=url)
        self._wait("Page.loadEventFired")

    def enter(self, field: str, text: str) -> None:
        """Write into the field with that name."""
        kind = self._evaluate(
            f"const found = document.getElementsByName({json.dumps(field)})[0]; found?.select(); "
            # Nobody types into these as they do into text, and how depends on the language of the browser.
            f"if (['date', 'time'].includes(found?.type)) found.value = {json.dumps(text)}; return found?.type"
        )
        if kind is None:
            raise ServerError(f"the page has no field '{field}'")
        if kind not in {"date", "time"}:
            self._call("Input.insertText", text=text)

    def press(self, button: str) -> None:
        """Press the button with these words, and wait for the page that comes."""
        middle = self._evaluate(
            f"""
            const buttons = [...document.querySelectorAll("button")];
            const found = buttons.find(one => one.innerText.trim() == {json.dumps(button)});
            found?.scrollIntoView();
            const place = found?.getBoundingClientRect();
            return place && [place.x + place.width / 2, place.y + place.height / 2];
            """
        )
        if middle is None:
            raise ServerError(f"the page has no button '{button}'")
        x, y = middle
        self._heard.clear()
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self._wait("Page.loadEventFired")

    def words(self) -> str:
        """What the page says."""
        return str(self._evaluate("return document.querySelector('main').innerText"))

    def picture(self, name: str) -> None:
        """Keep a picture of the page, as it is on a wide screen and on a phone."""
        if self._pictures is None:
            return
        self._pictures.mkdir(parents=True, exist_ok=True)
        for size in reversed(_SIZES):
            self._resize(size)
            box = self._call("Page.getLayoutMetrics")["cssContentSize"]
            shot = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip={**box, "scale": 1})
            (self._pictures / f"{name}{size}.png").write_bytes(base64.b64decode(shot["data"]))

    def _resize(self, size: str) -> None:
        width, scale, phone = _SIZES[size]
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=200, deviceScaleFactor=scale, mobile=phone)

    def _evaluate(self, script: str) -> Any:
        """What the body of a function returns that runs in the page; None for what JSON has no word for."""
        done = self._call("Runtime.evaluate", expression=f"(() => {{ {script} }})()", returnByValue=True)
        return done["result"].get("value")

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params, **self._session}
        try:
            os.write(self._say, json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise ServerError("Chromium has ended") from error
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise ServerError(f"Chromium refused {method}: {answer['error']['message']}")
                found: dict[str, Any] = answer["result"]
                return found

    def _wait(self, event: str) -> None:
        while event not in self._heard:
            self._next()

    def _next(self) -> dict[str, Any]:
        """The next message; events are remembered by their names."""
        deadline = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._hear], [], [], deadline - time.monotonic())
            part = os.read(self._hear, 1 << 20) if ready else b""
            if not part:
                raise ServerError(f"Chromium {'has ended' if ready else f'said nothing for {_SECONDS:.0f} s'}")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        if "method" in found:
            self._heard.add(found["method"])
        return found
