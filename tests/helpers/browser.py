"""A headless Chromium, spoken to through pipes in the DevTools protocol; no driver is needed."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)
LIMIT = 60.0  # seconds that an answer may take


def find_browser() -> str | None:
    """Path of an installed Chromium or Chrome; pipes are handed on under POSIX alone."""
    return next(filter(None, map(shutil.which, NAMES)), None) if os.name == "posix" else None


class Tab:
    """One tab: commands go in, answers and events come out."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._unread = commands, answers, b""
        self._number, self._session = 0, {}
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        """Give a command and wait for its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": values, **self._session}
        unsent = json.dumps(command).encode() + b"\0"
        while unsent:
            unsent = unsent[os.write(self._commands, unsent) :]
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not select.select([self._answers], [], [], LIMIT)[0]:
                raise TimeoutError(f"the browser said nothing for {LIMIT:.0f} s")
            letters = os.read(self._answers, 1 << 16)
            if not letters:
                raise RuntimeError("the browser has gone")
            self._unread += letters
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def open(self, path: Path) -> None:
        """Go to a file and wait until it is there."""
        self.events.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, code: str) -> Any:
        """What an expression of JavaScript gives."""
        done = self.send("Runtime.evaluate", expression=code, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"]["exception"]["description"])
        return done["result"].get("value")

    def wait_for(self, code: str) -> None:
        """Wait until an expression of JavaScript is true."""
        late = time.monotonic() + LIMIT
        while not self.value(code):
            assert time.monotonic() < late, f"never true: {code}"
            time.sleep(0.02)

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """Give the window a size in CSS pixels, and a phone's touch."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)

    def photograph(self, path: Path) -> None:
        """Write a picture of the whole page, a PNG."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser_tab(executable: str, profile: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, which ends with the block.

    Args:
        executable: of `find_browser`.
        profile: an empty folder for the browser's files.
    """
    (commands_read, commands), (answers, answers_write) = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and writes answers to 4.
    shell = f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write}'
    process = subprocess.Popen(
        ["bash", "-c", shell, executable, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(commands_read, answers_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(commands_read)
    os.close(answers_write)
    try:
        yield Tab(commands, answers)
    finally:
        # With its helpers, which form a group of their own.
        os.killpg(process.pid, 9)
        process.wait(LIMIT)
        os.close(commands)
        os.close(answers)


def tab_or_skip(profile: Path) -> Iterator[Tab]:
    """A tab for a fixture to yield from; where no browser starts its tests are skipped."""
    executable = find_browser()
    if executable is None:
        pytest.skip("no Chromium or Chrome is installed")
    with ExitStack() as stack:
        try:
            tab = stack.enter_context(browser_tab(executable, profile))
        except (OSError, RuntimeError) as error:  # such as a stub that asks for an installation
            pytest.skip(f"{executable} does not start: {error}")
        yield tab


def numbers(tab: Tab) -> list[str]:
    """The values of the lists of a page, once it is drawn."""
    tab.send(
        "Runtime.evaluate",
        expression="new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))",
        awaitPromise=True,
    )
    return tab.value("[...document.querySelectorAll('dd')].map((each) => each.textContent)")
