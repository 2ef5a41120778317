"""Clients of model servers, independent of the protocol.

``settings`` and ``names`` say which server is asked and how errors refer to it. ``chat`` has the request, its options,
the answer and its checks. ``client`` sends it over HTTP, with time limits from ``calls`` and ``connections`` below.
``stream`` assembles the answer, and ``failures`` maps faults to our errors. ``models`` describes a model, and ``wire``
has strict JSON and the sanitising of a server's messages. The protocols are ``derive.ollama`` and
``derive.openai_api``.
"""
