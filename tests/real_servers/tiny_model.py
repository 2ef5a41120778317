"""Writes a model of 25,000 random weights that a real server loads in milliseconds: the same file every time.

Its tokens are the 256 bytes, so that any text is a prompt. It leans towards what ends a text, so that an answer is as
short as its schema allows, and in a text that must be long from each byte to the next, since Ollama breaks off what
repeats itself. It answers nothing sensible; what it shows is what a server makes of any model.
"""

from pathlib import Path

import gguf
import numpy as np

NAME = "tiny"
TRAINED_TOKENS = 131_072
_WIDTH, _HEADS, _LAYERS, _INNER = 32, 2, 1, 64
_SPECIAL = (b"<unk>", b"<s>", b"</s>")
_LEANS = {b'"': 2.5, b"]}": 1.0, b",:[{": 0.5}
"""How much likelier than random: what closes a text, what closes the rest, what leads on."""


def write_tiny_model(path: Path) -> Path:
    """Write it in the GGUF format and return the path."""
    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_context_length(TRAINED_TOKENS)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    for name, weights in _tensors(len(tokens)).items():
        writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(token_count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed=0)

    def matrix(rows: int, columns: int, size: float = 0.05) -> np.ndarray:
        return random.standard_normal((rows, columns)) * size

    embeddings = matrix(token_count, _WIDTH, size=0.2)
    tensors = {
        "token_embd.weight": embeddings,
        "output_norm.weight": np.ones(_WIDTH),
        # A token is likely where the one before it was the last.
        "output.weight": np.roll(embeddings, 1, axis=0),
    }
    for layer in range(_LAYERS):
        block = f"blk.{layer}."
        tensors |= {f"{block}{name}.weight": np.ones(_WIDTH) for name in ("attn_norm", "ffn_norm")}
        tensors |= {f"{block}attn_{name}.weight": matrix(_WIDTH, _WIDTH) for name in ("q", "k", "v", "output")}
        tensors |= {f"{block}ffn_{name}.weight": matrix(_INNER, _WIDTH) for name in ("gate", "up")}
        tensors[f"{block}ffn_down.weight"] = matrix(_WIDTH, _INNER)
        # No layer changes the first number of a token, which is the same for all: what reads it is a constant.
        tensors[f"{block}attn_output.weight"][0] = tensors[f"{block}ffn_down.weight"][0] = 0
    tensors["token_embd.weight"][:, 0] = 1
    tensors["output.weight"][:, 0] = 0
    for characters, lean in _LEANS.items():
        tensors["output.weight"][[len(_SPECIAL) + byte for byte in characters], 0] = lean
    tensors["output.weight"][_SPECIAL.index(b"</s>"), 0] = 3
    return tensors
