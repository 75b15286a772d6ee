"""A headless Chromium, driven by its DevTools protocol over a websocket."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from websocket import WebSocket

from testbed.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The machine's network stays out of it, and root has no sandbox to go into.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
_PATIENCE = 30


class Tab:
    """One tab; ``events`` is everything that the browser told so far."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def do(self, method: str, **given: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": given}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._last:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self.events.append(message)

    def wait_for(self, method: str) -> None:
        """Wait until the browser tells of ``method``."""
        while all(event.get("method") != method for event in self.events):
            self.events.append(json.loads(self._socket.recv()))

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is worth in the page."""
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def told(self, method: str) -> list[dict[str, Any]]:
        """Parameters of every event ``method``."""
        return [event["params"] for event in self.events if event.get("method") == method]


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """Start a browser that keeps its files in ``folder`` and give its first tab."""
    program = next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert program, "no Chromium on this machine: scripts/test installs it on Debian; else install chromium"
    port = folder / "DevToolsActivePort"
    with subprocess.Popen(
        [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as browser:
        try:
            number = until(_read(port), _PATIENCE, lambda: "Chromium did not start")
            with closing(_connect(number)) as socket:
                yield Tab(socket)
        finally:
            browser.terminate()


def _read(port: Path) -> Callable[[], int | None]:
    return lambda: int(port.read_text().split()[0]) if port.exists() and port.read_text() else None


def _connect(port: int) -> Any:
    import urllib3

    pages = json.loads(urllib3.request("GET", f"http://127.0.0.1:{port}/json/list").data)
    socket: Any = WebSocket()
    socket.connect(next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"), timeout=_PATIENCE)
    return socket


def show(browser: Tab, page: str, width: int, scheme: str = "light") -> None:
    """Open a page on a screen of this width."""
    browser.events.clear()
    browser.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.do("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.do("Page.navigate", url=page)
    browser.wait_for("Page.loadEventFired")


def insist_on_readable(browser: Tab, page: str, width: int, scheme: str, text: str) -> None:
    """A page fits its screen, has this text, can be read, asks nobody for anything, and has no mistake that a browser would tell."""
    show(browser, page, width, scheme)
    assert browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert browser.value(CONTRASTS) == []
    assert text in browser.value("document.body.innerText")
    assert [request["request"]["url"] for request in browser.told("Network.requestWillBeSent")] == [page]
    assert browser.told("Log.entryAdded") == []


# Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
CONTRASTS = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = node => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll('body *:not(svg *)')) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(node.tagName + '.' + node.className + ' ' + node.textContent.slice(0, 30));
  }
  return bad;
})()
"""
