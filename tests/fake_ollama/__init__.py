"""The product's own server of Ollama's protocol, which here fails in every way a test asks for.

In a test: ``with FakeOllama() as fake:``, then ``fake.next(behaviours.status(503))`` and so on; each call of
``/api/chat`` takes the next behaviour, and answers properly when none is left. As a process:
``python -m tests.fake_ollama --port 0 --latency-ms 500 --slots 16``, whose first line is its port.
"""

from derive.demo.ollama_wire import Exchange
from tests.fake_ollama import behaviours
from tests.fake_ollama.behaviours import Behaviour
from tests.fake_ollama.gate import Gate
from tests.fake_ollama.server import FakeOllama

__all__ = ["Behaviour", "Exchange", "FakeOllama", "Gate", "behaviours"]
