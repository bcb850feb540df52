"""A headless Chromium, driven through two pipes by its DevTools protocol."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
  """Its path, None where none is installed."""
  return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
  """One page of it."""

  def __init__(self, to: int, of: int):
    self._to, self._of = os.fdopen(to, "wb"), os.fdopen(of, "rb")
    self._number, self._left = 0, b""
    self._session: str | None = None
    self.said: list[str] = []  # on the console, and what was thrown
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
    self._session = attached["sessionId"]
    for domain in ("Page", "Runtime", "Log"):
      self.call(f"{domain}.enable")

  def call(self, method: str, **params: Any) -> dict[str, Any]:
    """What a method of the protocol gives."""
    self._number += 1
    request = {"id": self._number, "method": method, "params": params}
    if self._session:
      request["sessionId"] = self._session
    self._to.write(json.dumps(request).encode() + b"\0")
    self._to.flush()
    while True:
      message = self._next()
      if message.get("id") == self._number:
        assert "error" not in message, message
        return message["result"]
      self._note(message)

  def run(self, script: str) -> Any:
    """The value of an expression in the page, which may be a promise."""
    found = self.call(
      "Runtime.evaluate",
      expression=script,
      awaitPromise=True,
      returnByValue=True,
    )
    assert "exceptionDetails" not in found, found["exceptionDetails"]
    return found["result"].get("value")

  def wait(self, condition: str) -> None:
    """Until an expression is true, looked at as often as the page is drawn."""
    told = self.run(
      f"""new Promise((done) => {{
        const end = performance.now() + 240000;
        const look = () => ({condition}) ? done(true)
          : performance.now() > end ? done(false) : setTimeout(look, 10);
        look();
      }})"""
    )
    assert told, f"never: {condition}\n{self.run('document.body.innerText')}"

  def open(self, address: str) -> None:
    self.call("Page.navigate", url=address)
    self.wait(f"document.readyState === 'complete' && location.href !== '{''}'")

  def press(self, key: str, code: int = 0) -> None:
    """A key, and what it types."""
    text = key if len(key) == 1 else {"Enter": "\r"}.get(key, "")
    for kind in ("keyDown", "keyUp"):
      self.call(
        "Input.dispatchKeyEvent",
        type=kind,
        key=key,
        windowsVirtualKeyCode=code,
        **({"text": text} if text and kind == "keyDown" else {}),
      )

  def type(self, text: str) -> None:
    self.call("Input.insertText", text=text)

  def size(self, width: int, height: int) -> None:
    self.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=1,
      mobile=width < 500,
    )

  def prefer(self, scheme: str) -> None:
    """As somebody whose system is "dark" or "light"."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    self.call("Emulation.setEmulatedMedia", features=[feature])

  def shoot(self, path: pathlib.Path) -> None:
    shot = self.call("Page.captureScreenshot", format="png")
    path.write_bytes(base64.b64decode(shot["data"]))

  def _next(self) -> dict[str, Any]:
    while b"\0" not in self._left:
      more = self._of.read1(1 << 16)
      assert more, "the browser has ended"
      self._left += more
    message, _, self._left = self._left.partition(b"\0")
    return json.loads(message)

  def _note(self, message: dict[str, Any]) -> None:
    if message.get("method") in (
      "Runtime.consoleAPICalled",
      "Runtime.exceptionThrown",
      "Log.entryAdded",
    ):
      self.said.append(json.dumps(message["params"]))


@contextlib.contextmanager
def opened(path: str) -> Iterator[Browser]:
  """A browser with an empty page, which ends with the context."""
  theirs_in, to = os.pipe()
  of, theirs_out = os.pipe()
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    # It reads from 3 and writes to 4, which the shell makes of our pipes.
    command = (
      f'exec "$0" --headless --no-sandbox --disable-gpu '
      f"--disable-dev-shm-usage --remote-debugging-pipe "
      f'--user-data-dir="$1" 3<&{theirs_in} 4>&{theirs_out}'
    )
    process = subprocess.Popen(
      ["bash", "-c", command, path, folder],
      pass_fds=[theirs_in, theirs_out],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
      browser = Browser(to, of)
      yield browser
    finally:
      process.terminate()
      process.wait()
