"""Programs that stay, as processes of their own, and somebody who looks at their pages."""

import http.cookiejar
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from holocron.settings import BASE_DIR
from tests.acceptance.guarded_postgres import GuardedPostgres
from tests.acceptance.worker_processes import wait_until


@contextmanager
def running(*arguments: str, environment: dict[str, str], said: Any) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def serving(guarded: GuardedPostgres, environment: dict[str, str]) -> Iterator[str]:
    """The image's own web server, for the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = guarded.folder / "web.log"
    command = ("-m", "gunicorn", "--preload", "--no-control-socket", "--bind", address, "holocron.wsgi")
    with log.open("wb") as said, running(*command, environment=environment, said=said) as process:
        wait_until(lambda: answers(address) or process.poll() is not None, f"the web server answers, see {log}")
        yield f"http://{address}"


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/healthz", timeout=5).close()
    except OSError:
        return False
    return True


class Browser:
    """Keeps cookies, and reads pages as text."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        data = urllib.parse.urlencode(form).encode() if form else None
        try:
            with self._opener.open(self._address + path, data, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def log_in(self, name: str, password: str) -> None:
        _status, page = self.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token is not None
        status, page = self.get(
            "/admin/login/?next=/healthz", {"csrfmiddlewaretoken": token[1], "username": name, "password": password}
        )
        assert (status, page) == (200, "ok")
