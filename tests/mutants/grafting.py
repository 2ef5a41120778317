"""Puts a mutant into a process that has imported everything: a function's code is exchanged where it stands.

Whoever holds the function, under whatever name or decorator, then runs the mutant. What runs at import (a constant, a
default, a class's body) cannot be exchanged so: such a mutant needs a process that imports it anew.
"""

import gc
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType

from tests.mutants.mutation import ROOT, Mutant

_CodePair = tuple[CodeType, CodeType]
_Place = tuple[str, str, int]


class NotGraftable(Exception):
    """The mutant changes something else than what a function does when it is called."""


class Imported:
    """The project's functions and caches in this process, looked up once: a look reads every object there is."""

    def __init__(self) -> None:
        self._functions: dict[_Place, list[FunctionType]] = defaultdict(list)
        self._caches: list[_lru_cache_wrapper[object]] = []
        for thing in gc.get_objects():
            if type(thing) is FunctionType and _is_ours(thing.__code__):
                self._functions[_place(thing.__code__)].append(thing)
            elif type(thing) is _lru_cache_wrapper and _is_ours(getattr(inspect.unwrap(thing), "__code__", None)):
                self._caches.append(thing)

    def graft(self, mutant: Mutant) -> None:
        """Exchange the code of the function that the mutant changes; raise NotGraftable."""
        file = str(ROOT / mutant.path)
        for before, after in _changed_functions(*_compiled(mutant, file)):
            functions = self._functions.get(_place(before))
            if not functions or before.co_freevars != after.co_freevars:
                raise NotGraftable(mutant.name)
            for function in functions:
                function.__code__ = after

    def forget_what_was_cached(self) -> None:
        """Empty the project's own caches: what they hold was worked out without the mutant."""
        for cached in self._caches:
            cached.cache_clear()


def changed_function(mutant: Mutant) -> str | None:
    """Return the qualified name of the function that a mutant changes; None: it changes what runs at import."""
    try:
        return next(before.co_qualname for before, _after in _changed_functions(*_compiled(mutant, mutant.path)))
    except (NotGraftable, StopIteration):
        return None


def _compiled(mutant: Mutant, file: str) -> _CodePair:
    old = compile(Path(ROOT, mutant.path).read_text("utf-8"), file, "exec", dont_inherit=True)
    return old, compile(mutant.text, file, "exec", dont_inherit=True)


def _changed_functions(old: CodeType, new: CodeType) -> Iterator[_CodePair]:
    """Yield the outermost functions that differ, below a module or a class whose own code is the same."""
    if _own(old) != _own(new):
        raise NotGraftable
    for before, after in zip(_inner(old), _inner(new), strict=True):
        if not before.co_flags & inspect.CO_OPTIMIZED:  # a class's body
            yield from _changed_functions(before, after)
        elif not _same(before, after):
            yield before, after


def _same(old: CodeType, new: CodeType) -> bool:
    """Whether two pieces of code do the same, wherever their lines are."""
    inner = _inner(old), _inner(new)
    return _own(old) == _own(new) and len(inner[0]) == len(inner[1]) and all(map(_same, *inner))


def _own(code: CodeType) -> tuple[object, ...]:
    """What a piece of code does itself. Constants of equal value may differ in type, which their repr shows."""
    constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
    return code.co_code, repr(constants), code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def _inner(code: CodeType) -> list[CodeType]:
    return [value for value in code.co_consts if isinstance(value, CodeType)]


def _place(code: CodeType) -> _Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _is_ours(code: CodeType | None) -> bool:
    return code is not None and code.co_filename.startswith(str(ROOT))
