"""The account that runs the server: the current user, or an unprivileged one for root, which PostgreSQL refuses.

That account may not be able to reach the files it needs, because root's projects are often below a folder of mode 700.
No folder's mode is changed for that. Instead the server's processes keep one capability (capabilities(7)): to traverse
and read folders that are closed to their user or, if the programs themselves are closed too, to do the same with files.
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

ACCOUNT_NAME = "pgserver"  # the wheel's own server control creates and uses the same one

# Constants of linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_SETPCAP = 1, 2, 8


class AccountError(Exception):
    """Root has no account to run the server, or the account cannot reach what it needs."""


@dataclass(frozen=True)
class Account:
    """The server's user; its processes keep ``capability``, unless that is None."""

    uid: int
    gid: int
    is_switched: bool
    capability: int | None = None


def choose_account(owner: os.stat_result | None = None, *, has_cluster: bool = False) -> Account:
    """Return the current user; for root, the owner of the database or else ``pgserver``; raise AccountError.

    ``owner`` is that of the cluster, or of the folder in which it will be created. The account ``pgserver`` is created
    if missing; it runs servers of root, and creates clusters for users without a name, as whom initdb cannot run.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), is_switched=False)
    if owner is not None and owner.st_uid != 0 and (has_cluster or _has_name(owner.st_uid)):
        return Account(uid=owner.st_uid, gid=owner.st_gid, is_switched=True)
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
        # Fails if another process has just created it, which is fine.
        subprocess.run(
            [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
            capture_output=True,
            check=False,
        )
    return _find(ACCOUNT_NAME)


def give_access(account: Account, *, folder: Path, programs: Path) -> Account:
    """Return the account with the capability it needs to reach folder and programs; raise AccountError.

    Usually plain permissions are sufficient, and it needs none.
    """
    if not account.is_switched:
        return account
    initdb = programs / "initdb"
    runs_programs = all(_lets(account, path, stat.S_IROTH | stat.S_IXOTH) for path in (initdb, *_parents([initdb])[:2]))
    if runs_programs and all(_lets(account, path, stat.S_IXOTH) for path in (folder, *_parents([folder, programs]))):
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


def _lets(account: Account, path: Path, wanted: int) -> bool:
    """Whether a path's mode grants the account the wanted bits, which are given as the bits for others."""
    found = path.stat()
    if found.st_uid == account.uid:
        wanted <<= 6
    return found.st_mode & wanted == wanted


def _effective_capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)


def find_stranger(data: Path) -> str | None:
    """Return advice if the current user may not use the cluster; None for its owner, root, or if there is none yet.

    Raises OSError if its owner cannot be determined.
    """
    try:
        owner = data.stat().st_uid
    except FileNotFoundError:
        return None
    if os.geteuid() in {0, owner}:
        return None
    name = _name_of(owner)
    return f"it belongs to {name}, and this is {_name_of(os.geteuid())}: run as {_user_of(name)}"


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _name_of(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if _has_name(uid) else f"the user {uid}"


def _user_of(name: str) -> str:
    return "root, for whom it was made" if name == ACCOUNT_NAME else name


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def become(account: Account, *, signal_at_parents_death: signal.Signals | None = None) -> Callable[[], None]:
    """Return a function that a child process calls between fork and exec to run as the account.

    With ``signal_at_parents_death``, the kernel sends that signal when the thread that forked it ends (Linux only).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), "the account's capabilities cannot be set")

    def run_in_child() -> None:
        if account.capability is not None:
            # Keeps the capabilities when the user changes, and makes access(2) respect them, which initdb calls.
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
        # Must be last, because a change of user clears it.
        if signal_at_parents_death is not None and sys.platform == "linux":
            check(libc.prctl(_PR_SET_PDEATHSIG, int(signal_at_parents_death), 0, 0, 0))
            if os.getppid() != parent:
                os._exit(1)

    return run_in_child
