"""Labels for list columns: unfold's decorator, with types."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from unfold.decorators import display

_F = TypeVar("_F", bound=Callable[..., Any])


def column(description: str, *, label: Mapping[str, str] | None = None) -> Callable[[_F], _F]:
    """Label an admin method as a column; with ``label`` its values are badges in these colours."""
    if label is not None:
        return cast(Callable[[_F], _F], display(description=description, label=dict(label)))
    return cast(Callable[[_F], _F], display(description=description, empty_value="–"))
