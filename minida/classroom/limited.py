"""A Jupyter kernel that can do little harm: `python -m minida.classroom.limited FOLDER MEGABYTES SECONDS -f FILE`.

It writes in FOLDER alone and reads there, in Python's own folders and in this package: not other students' work, not
the assignments' sources; it reaches no network by TCP. That is Linux' Landlock (kernel 5.13, the network 6.7). Memory,
processor time and the size of files are limited on Linux and macOS. What a system lacks is said by `isolation`; a
container is the remedy.
"""

import ctypes
import os
import sys
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
FILE_RIGHTS = {1: 13, 2: 14, 3: 15}  # rights that a version of Landlock knows
PACKAGE = Path(__file__).resolve().parents[1]


def landlock() -> int:
    """The version of Landlock that this system has; 0: none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, 0, 1))


def isolation() -> str:
    """What a student's process is kept from here, in words."""
    version = landlock()
    files = "other files are out of reach" if version else "files are NOT protected: use a container"
    network = "TCP is cut off" if version >= 4 else "the network is NOT cut off"
    return f"{files}; {network}" + ("" if os.name == "posix" else "; memory is NOT limited")


def confine(folder: Path) -> bool:
    """Let this process write in `folder` alone, for good; False where the system cannot."""
    version = landlock()
    if not version:
        return False
    every = (1 << FILE_RIGHTS.get(version, 15)) - 1
    call = ctypes.CDLL(None, use_errno=True).syscall
    handled = (ctypes.c_uint64 * 2)(every, 0b11 if version >= 4 else 0)  # files; TCP: bind and connect
    ruleset = call(CREATE_RULESET, handled, 16 if version >= 4 else 8, 0)

    def allow(path: str | Path, rights: int) -> None:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this system
            return
        rule = ctypes.create_string_buffer(rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder), 12)
        if call(ADD_RULE, ruleset, 1, rule, 0):
            raise OSError(ctypes.get_errno(), f"Landlock: {path}")
        os.close(place)

    look = EXECUTE | READ_FILE | READ_DIR
    system = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys")
    for path in {*system, sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE)}:
        allow(path, look)
    allow(PACKAGE.parent, READ_DIR)  # Python looks for the package there; names only
    allow("/dev", every & ~EXECUTE)
    allow(folder, every)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or call(RESTRICT_SELF, ruleset, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "Landlock")
    return True


def limit(megabytes: int, seconds: int) -> None:
    """Limit this process and its children."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    wanted = {"RLIMIT_AS": megabytes * 2**20, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 64 * 2**20, "RLIMIT_CORE": 0}
    for name, most in wanted.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


if __name__ == "__main__":
    folder, megabytes, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    confine(folder)
    limit(megabytes, seconds)
    sys.argv[1:4] = []
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
