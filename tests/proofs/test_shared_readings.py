"""Readings are kept and shared by the threads that judge: none sees what another has made by half."""

from collections.abc import Callable
from typing import Any

from derive.proofs.reading import Reading


class InterruptedText(str):
    """A text in which, at its first search, another thread uses the reading."""

    meanwhile: Callable[[], None] | None = None

    def find(self, *args: Any) -> int:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        return super().find(*args)


def test_places_that_another_thread_is_still_finding_are_not_taken_for_all() -> None:
    reading = Reading("The Patient Lantern sails.")
    text, seen = InterruptedText(reading.text), list[str]()
    text.meanwhile = lambda: seen.append(reading.slice(1, 3))
    reading.text = text
    assert reading.slice(3, 5) == "sails."
    assert seen == ["Patient Lantern"]
