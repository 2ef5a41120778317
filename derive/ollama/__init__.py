"""Ollama: what is asked, how it is sent, what comes back.

``chat`` (request, options, answer, checks) → ``client`` (HTTP, ``calls`` for time limits and shared answers) →
``stream`` (the answer put together) or ``failures`` (what went wrong, as our errors). ``models``: the snapshot.
``wire``: strict JSON, and a server's words made fit to be shown.
"""
