"""Bundles, definitions and answers that the tests of interrogations and evidence share."""

import json
from typing import Any

from derive.contracts import Bounds
from derive.evidence.bundle import build_bundle
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.redaction import Redactor
from derive.evidence.sources import SourceText
from derive.interrogations.definition import Definition
from derive.windows.part_evidence import WHOLE

PLAIN = Redactor(())

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["evidence_ids", "quote"],
                "properties": {
                    "evidence_ids": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 200}},
                    "quote": {"type": "string", "maxLength": 500},
                },
            },
        }
    },
}


def source(evidence_id: str, text: str, source_uri: str | None = None) -> SourceText:
    return SourceText(evidence_id=evidence_id, source_uri=source_uri, text=text)


def bundle_of(**texts: str) -> EvidenceBundle:
    sources = [source(name, text) for name, text in texts.items()]
    return build_bundle(
        sources, bounds=Bounds(max_total_bytes=100_000, max_item_bytes=50_000), redactor=PLAIN, delimiter_key=b"key"
    )


def build_whole(**texts: str) -> EvidenceBundle:
    """The evidence of a long job."""
    sources = [source(name, text) for name, text in texts.items()]
    return build_bundle(sources, bounds=WHOLE, redactor=PLAIN, delimiter_key=b"key")


def definition(prompt_template: str = "Ask about $entity_id.\n$evidence\n", **changes: Any) -> Definition:
    members: dict[str, Any] = {
        "interrogation_key": "question",
        "version": "1.0.0",
        "prompt_template": prompt_template,
        "output_schema_json": json.dumps(SCHEMA),
        "rubric": "Be exact.",
    }
    return Definition(**(members | changes))


def answer(*facts: dict[str, Any]) -> str:
    return json.dumps({"facts": list(facts)}, ensure_ascii=False)


def fact(quote: Any, *evidence_ids: Any) -> dict[str, Any]:
    return {"evidence_ids": list(evidence_ids), "quote": quote}
