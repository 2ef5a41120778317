"""What the scheduler unpickles is what somebody with SECRET_KEY packed, and nothing else."""

import pickle
from typing import Any

import pytest
from django.core import signing
from django_q.signing import SignedPackage


class Trap:
    """Unpickled, it would act."""

    sprung = False

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (setattr, (Trap, "sprung", True))


def test_a_task_put_into_the_broker_without_the_key_is_refused_unread() -> None:
    with pytest.raises(signing.BadSignature):
        SignedPackage.loads(signing.b64_encode(pickle.dumps(Trap())).decode())
    assert not Trap.sprung


def test_a_task_signed_with_another_key_is_refused_unread() -> None:
    package = SignedPackage.dumps({"func": "os.system", "args": ("true",)})
    assert SignedPackage.loads(package)["func"] == "os.system"
    with pytest.raises(signing.BadSignature):
        SignedPackage.loads(package[:-4] + ("AAAA" if package[-4:] != "AAAA" else "BBBB"))
