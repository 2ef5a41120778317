"""The OpenAI-compatible protocol: what vLLM, SGLang, llama.cpp's server, LM Studio and LiteLLM answer to."""
