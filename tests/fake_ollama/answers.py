"""What the fake answers when nothing was scripted: the smallest content that obeys the schema it was given."""

import json
from typing import Any

MODEL = "llama3.2:latest"
DIGEST = "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"
VERSION = "0.30.1"
CREATED_AT = "2026-01-02T03:04:05.678901234Z"

METRICS = {
    "total_duration": 1_500_000_000,
    "load_duration": 40_000_000,
    "prompt_eval_count": 321,
    "prompt_eval_duration": 200_000_000,
    "eval_count": 12,
    "eval_duration": 900_000_000,
}

SHOW: dict[str, Any] = {
    "license": "LICENSE " * 100,
    "modelfile": "FROM llama3.2",
    "parameters": 'stop    "<|eot_id|>"\nnum_keep    24\nstop    "<|start_header_id|>"',
    "template": "{{ .Prompt }}",
    "details": {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    "capabilities": ["completion", "tools"],
    "modified_at": CREATED_AT,
}


HARMONY: dict[str, Any] = {
    "details": SHOW["details"] | {"family": "gptoss"},
    "template": "<|start|>{{ .Role }}<|message|>{{ .Content }}<|end|>",
    "capabilities": ["completion", "thinking"],
}
HARMONY_PARSER: dict[str, Any] = {
    "modelfile": "FROM m\nTEMPLATE {{ .Prompt }}\nPARSER harmony\n",
    "capabilities": ["completion", "tools", "thinking"],
}
ALWAYS_THINKS: dict[str, Any] = {
    "modelfile": "FROM m\nRENDERER olmo3-think\nPARSER olmo3-think\n",
    "capabilities": ["completion", "thinking"],
}
SAFETENSORS: dict[str, Any] = {"details": SHOW["details"] | {"format": "safetensors"}, "capabilities": []}
CLOUD: dict[str, Any] = {
    "details": {"format": "", "family": "gptoss"},
    "remote_host": "https://ollama.com:443",
    "remote_model": "gpt-oss:120b",
    "capabilities": ["completion", "thinking", "tools"],
}
EMBEDDING: dict[str, Any] = {"capabilities": ["embedding"]}
"""What ``/api/show`` says of other kinds of models, beside or instead of ``SHOW``; seen on Ollama 0.33."""


def default_content(request: dict[str, Any]) -> str:
    """Return an answer that obeys the request's ``format``: no facts, where facts are asked for."""
    asked = request.get("response_format")
    schema = asked["json_schema"]["schema"] if asked else request.get("format")
    if not isinstance(schema, dict):
        return "{}" if schema == "json" else "Understood."
    return json.dumps(smallest(schema, schema))


def facts_content(*facts: tuple[str, str]) -> str:
    """Return facts, each given as the evidence id and the quote it cites."""
    return json.dumps(
        {
            "facts": [
                {"fact_key": f"fact_{n}", "value": quote, "confidence": 90, "evidence_ids": [cited], "quote": quote}
                for n, (cited, quote) in enumerate(facts)
            ]
        },
        ensure_ascii=False,
    )


def smallest(schema: dict[str, Any], root: dict[str, Any]) -> Any:  # noqa: PLR0911 - one line a kind of schema
    """Return a small value that obeys the schema, as far as Ollama's grammar goes."""
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return smallest(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return smallest(schema[several][0], root)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: smallest(properties[name], root) for name in schema.get("required", properties)}
    if kind == "array":
        return [smallest(schema["items"], root) for _ in range(schema.get("minItems", 0))]
    plain = {
        "string": "x" * schema.get("minLength", 0),
        "integer": schema.get("minimum", 0),
        "number": schema.get("minimum", 0),
        "boolean": False,
    }
    return plain.get(kind)
