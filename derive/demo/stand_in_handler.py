"""The stand-in's side of one connection: Ollama's paths, statuses and shapes over HTTP/1.1."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from time import perf_counter_ns
from typing import Any

from derive.demo import stand_in_model as model
from derive.demo.chat import BadRequest, ChatCall, ChatText, compose, read_call
from derive.demo.stand_in_server import StandInServer

CHUNKS = 8
MAX_REQUEST_BYTES = 64 * 1024 * 1024
_JSON = "application/json; charset=utf-8"
_NDJSON = "application/x-ndjson"


class StandInHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    server: StandInServer
    protocol_version = "HTTP/1.1"
    server_version = model.NAME
    sys_version = ""
    timeout = 300
    """Seconds an idle connection is kept."""
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is http.server's
        """Log nothing: the worker's own log tells of its calls."""

    def do_GET(self) -> None:
        """Answer what can be looked at."""
        match self.path.partition("?")[0]:
            case "/":
                self._send(HTTPStatus.OK, model.LIVENESS_TEXT.encode(), "text/plain; charset=utf-8")
            case "/api/version":
                self._send_json(HTTPStatus.OK, {"version": model.VERSION})
            case "/api/tags":
                self._send_json(HTTPStatus.OK, model.tags_answer())
            case "/api/ps":
                self._send_json(HTTPStatus.OK, self.server.loaded.ps_answer())
            case _:
                self._send_error(HTTPStatus.NOT_FOUND, "404 page not found")

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer a question, or tell about the model."""
        started = perf_counter_ns()
        path = self.path.partition("?")[0]
        try:
            body = self._read_body()
            if path == "/api/show":
                self._show(body)
            elif path == "/api/chat":
                self._chat(body, started=started)
            else:
                self._send_error(HTTPStatus.NOT_FOUND, "404 page not found")
        except BadRequest as error:
            self._send_error(HTTPStatus.BAD_REQUEST, str(error))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _read_body(self) -> Any:
        """Return the request's JSON; raise BadRequest, and end the connection, when its end cannot be found."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            raise BadRequest(f"a request needs a Content-Length of at most {MAX_REQUEST_BYTES} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise BadRequest("the request is not JSON") from error

    def _show(self, body: Any) -> None:
        name = (body.get("model") or body.get("name")) if isinstance(body, dict) else None
        if not isinstance(name, str):
            raise BadRequest("model is required")
        if self._has_model(name):
            self._send_json(HTTPStatus.OK, model.show_answer())

    def _chat(self, body: Any, *, started: int) -> None:
        call = read_call(body)
        if not self._has_model(call.model):
            return
        try:
            keep_alive = model.read_keep_alive(body)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        self.server.loaded.load(context_length=call.num_ctx, keep_alive=keep_alive)
        loaded = perf_counter_ns()
        text = compose(call)
        if text.done_reason == "load" and not keep_alive:
            text = ChatText(content="", done_reason="unload", prompt_tokens=0, output_tokens=0)
        timing = _Timing(started=started, loaded=loaded, composed=perf_counter_ns())
        if call.stream:
            self._stream(call, text, timing)
        else:
            pieces = list(self._paced(text))
            self._send_json(HTTPStatus.OK, _line(call, "".join(pieces)) | _ending(text, timing))

    def _has_model(self, name: str) -> bool:
        if not model.is_model(name):
            self._send_error(HTTPStatus.NOT_FOUND, f"model {name!r} not found")
            return False
        return True

    def _stream(self, call: ChatCall, text: ChatText, timing: "_Timing") -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _NDJSON)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in self._paced(text):
            self._send_chunk(_line(call, piece))
        self._send_chunk(_line(call, "") | _ending(text, timing))
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _paced(self, text: ChatText) -> Iterator[str]:
        """Give the answer in pieces, the latency spread over them; a server that stops breaks the answer off."""
        size = max(1, -(-len(text.content) // CHUNKS))
        starts = range(0, len(text.content), size)
        for start in starts:
            if self.server.stopping.wait(self.server.latency_seconds / len(starts)):
                raise ConnectionResetError("the stand-in stops")
            yield text.content[start : start + size]

    def _send_chunk(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _send_error(self, status: HTTPStatus, message: str) -> None:
        self._send_json(status, {"error": message})

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value, ensure_ascii=False).encode(errors="replace"), _JSON)

    def _send(self, status: HTTPStatus, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()


class _Timing:
    """When a call began, had its model and its answer composed: readings of one clock, in nanoseconds."""

    def __init__(self, *, started: int, loaded: int, composed: int) -> None:
        self.started = started
        self.loaded = loaded
        self.composed = composed

    def metrics(self) -> dict[str, int]:
        """Return Ollama's four durations, measured up to now."""
        now = perf_counter_ns()
        return {
            "total_duration": now - self.started,
            "load_duration": self.loaded - self.started,
            "prompt_eval_duration": self.composed - self.loaded,
            "eval_duration": now - self.composed,
        }


def _line(call: ChatCall, piece: str) -> dict[str, Any]:
    return {
        "model": call.model,
        "created_at": model.utc_now(),
        "message": {"role": "assistant", "content": piece},
        "done": False,
    }


def _ending(text: ChatText, timing: _Timing) -> dict[str, Any]:
    counts = {"prompt_eval_count": text.prompt_tokens, "eval_count": text.output_tokens}
    return {"done": True, "done_reason": text.done_reason, **timing.metrics(), **counts}
