"""A file of jobs, sent as the upload's pages send it."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.contract.scenes import KEY

UPLOAD, STEP, QUEUE, BAD, DISCARD = (
    f"admin:derive_job_act_upload{name}" for name in ("", "_run", "_queue", "_bad_download", "_discard")
)
IN_STEPS = {"Accept": "application/json"}


def row(number: int, **more: Any) -> dict[str, Any]:
    name = f"p{number}"
    return {"interrogation_key": KEY, "input": {"entity_type": "planet", "entity_id": name}, "entity_id": name} | more


def jsonl(*rows: dict[str, Any] | str) -> bytes:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows).encode()


def send(client: Client, content: bytes, name: str = "jobs.jsonl", **more: Any) -> Any:
    return client.post(reverse(UPLOAD), {"file": SimpleUploadedFile(name, content), **more})


def token_of(answer: Any) -> str:
    assert answer.status_code == 303, answer.context and answer.context["problem"]
    return str(parse_qs(urlsplit(answer["Location"]).query)["upload"][0])


def page(client: Client, token: str) -> Any:
    return client.get(reverse(UPLOAD), {"upload": token})


def queue_all(client: Client, token: str, **more: Any) -> Any:
    return client.post(reverse(QUEUE), {"upload": token, "reason": "asked for", **more})
