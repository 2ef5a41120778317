"""The answer that a model is writing: its text so far, read from the stream that the worker stores as it arrives."""

from contextlib import suppress
from dataclasses import dataclass

from derive.admin.display.lake_files import lake
from derive.errors import LakeError, LakeUnavailable, RunError
from derive.lake import RESPONSE_STREAM_NAME, SSE_RESPONSE_STREAM_NAME, Lake
from derive.model_servers.stream import AnswerAssembler
from derive.models import Run
from derive.ollama.stream import NdjsonAssembler
from derive.openai_api.stream import SseAssembler
from derive.states import RunStatus
from derive.visible_text import visible

MAX_STREAM_BYTES = 256 << 10
"""How much of the end of a stream is read each time."""
MAX_SHOWN_CHARACTERS = 10_000

_ASSEMBLERS: dict[str, type[AnswerAssembler]] = {
    RESPONSE_STREAM_NAME: NdjsonAssembler,
    SSE_RESPONSE_STREAM_NAME: SseAssembler,
}


@dataclass(frozen=True)
class UnfinishedAnswer:
    """The end of what the model has written, as a page shows it; ``byte_count`` changes with every piece."""

    text: str
    is_thinking: bool
    is_cut: bool
    byte_count: int


def unfinished_answer(run: Run) -> UnfinishedAnswer | None:
    """Return what a running run's model has written; None for any other run, or where the lake cannot tell."""
    if run.status != RunStatus.RUNNING:
        return None
    with suppress(LakeError, LakeUnavailable):
        folder = Lake.run_folder(run.started_utc, run.run_id)
        for name, assembler in _ASSEMBLERS.items():
            read = lake().read_unfinished(folder, name, max_bytes=MAX_STREAM_BYTES)
            if read is not None:
                return _answer_in(*read, assembler(max_answer_bytes=MAX_STREAM_BYTES + 1))
    return None


def _answer_in(data: bytes, byte_count: int, assembler: AnswerAssembler) -> UnfinishedAnswer:
    is_cut = byte_count > len(data)
    if is_cut:
        data = data.partition(b"\n")[2]
    # The line that is being written is not whole yet.
    whole = data[: data.rfind(b"\n") + 1]
    with suppress(RunError):
        assembler.feed(whole)
    answer = assembler.so_far()
    text = answer.content or answer.thinking
    return UnfinishedAnswer(
        text=visible(text[-MAX_SHOWN_CHARACTERS:]),
        is_thinking=bool(answer.thinking and not answer.content),
        is_cut=is_cut or len(text) > MAX_SHOWN_CHARACTERS,
        byte_count=byte_count,
    )
