"""Finds derivations by key, also while the file that declares them cannot be read."""

from django.http import Http404

from derive.derivations.declarations import Declared, all_declared
from derive.errors import ConfigurationError
from derive.models import Derivation


def every_declared(most: int) -> tuple[list[Declared], str]:
    """Return what is declared; if the file cannot be read, up to ``most`` of what the table has, and why."""
    try:
        return all_declared(), ""
    except ConfigurationError as error:
        rows = Derivation.objects.order_by("derivation_key")[: most + 1]
        return [Declared(row.derivation_key, None, row.declared_in, row, str(error)) for row in rows], str(error)


def found(key: str) -> Declared:
    """Return the derivation of this key; raise Http404 if there is none."""
    try:
        one = next((one for one in all_declared() if one.key == key), None)
    except ConfigurationError as error:
        row = Derivation.objects.filter(derivation_key=key).first()
        one = None if row is None else Declared(key, None, row.declared_in, row, str(error))
    if one is None:
        raise Http404("There is no such derivation.")
    return one
