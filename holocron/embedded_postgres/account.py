"""Who runs the server: the user who started it, or for root, whom PostgreSQL refuses, an unprivileged account.

The account may be unable to reach what it must: root's projects often lie below a folder of mode 700. Nobody's folders
are opened for that. Instead the server's processes keep one capability (capabilities(7)): to pass and read folders that
are closed to their user, or, where the programs themselves are closed as well, to do so with files.
"""

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ACCOUNT_NAME = "pgserver"  # the one that the wheel's own control makes and uses, too

# Numbers of linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_SETPCAP = 1, 2, 8


class AccountError(Exception):
    """Root has no account to run the server as, or the account cannot reach what it needs."""


@dataclass(frozen=True)
class Account:
    """Who the server runs as; ``capability`` is kept by its processes, None for none."""

    uid: int
    gid: int
    is_switched: bool
    capability: int | None = None


def choose_account() -> Account:
    """Return the present user, or for root the account ``pgserver``, made where it is missing; raise AccountError."""
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), is_switched=False)
    entry = _find(ACCOUNT_NAME) or _make() or _find("postgres")
    if entry is None:
        raise AccountError(f"PostgreSQL does not run as root, and there is no user {ACCOUNT_NAME}: make one (useradd)")
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, is_switched=True)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _make() -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        # Fails when another process has just made it, which is as good.
        subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
            capture_output=True,
            check=False,
        )
    return _find(ACCOUNT_NAME)


def give_access(account: Account, *, folder: Path, programs: Path) -> Account:
    """Return the account with the capability it needs to reach folder and programs; raise AccountError.

    Without a capability where plain permissions do, which is the usual case.
    """
    if not account.is_switched:
        return account
    initdb = programs / "initdb"
    runs_programs = all(_lets_others(path, stat.S_IROTH | stat.S_IXOTH) for path in (initdb, *_parents([initdb])[:2]))
    if runs_programs and all(_lets_others(path, stat.S_IXOTH) for path in (folder, *_parents([folder, programs]))):
        return account
    kept = _effective_capabilities()
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE) if runs_programs else (_CAP_DAC_OVERRIDE,):
        if kept >> capability & 1 and kept >> _CAP_SETPCAP & 1:
            return Account(uid=account.uid, gid=account.gid, is_switched=True, capability=capability)
    raise AccountError(
        f"PostgreSQL does not run as root, and its user cannot reach {folder} or {programs}: move the project out of a "
        "folder of mode 700, run as an ordinary user, or set DATABASE_URL"
    )


def _parents(paths: Iterable[Path]) -> list[Path]:
    return [parent for path in paths for parent in path.resolve().parents]


def _lets_others(path: Path, wanted: int) -> bool:
    return path.stat().st_mode & wanted == wanted


def _effective_capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(account: Account, *, signal_at_parents_death: signal.Signals | None = None) -> Callable[[], None]:
    """Return what a child process calls between fork and exec to run as the account.

    With ``signal_at_parents_death`` the kernel sends it that signal when the thread that forked it ends (Linux only).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "the account's capabilities cannot be set")

    def run_in_child() -> None:
        if account.capability is not None:
            # Keeps the capabilities through the change of user, and lets access(2) count them, which initdb asks.
            check(libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
        if account.is_switched:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        if account.capability is not None:
            bit = 1 << account.capability
            header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
            check(libc.capset(ctypes.byref(header), (_CapabilityData * 2)(_CapabilityData(bit, bit, bit))))
            check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, account.capability, 0, 0))
        # Last: a change of user clears it.
        if signal_at_parents_death is not None and sys.platform == "linux":
            check(libc.prctl(_PR_SET_PDEATHSIG, int(signal_at_parents_death), 0, 0, 0))
            if os.getppid() != parent:
                os._exit(1)

    return run_in_child
