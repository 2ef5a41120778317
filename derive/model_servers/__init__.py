"""Model servers: what is asked of them, how it is sent, what comes back, whatever protocol they speak.

``settings`` and ``names`` (which server, and how it is called in errors) → ``chat`` (request, options, answer, checks)
→ ``client`` (HTTP, with ``calls`` for time limits and ``connections`` beneath) → ``stream`` (the answer put together)
or ``failures`` (what went wrong, as our errors). ``models``: what is known of a model. ``wire``: strict JSON, and a
server's words made fit to be shown. The protocols are ``derive.ollama`` and ``derive.openai_api``.
"""
