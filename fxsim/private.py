"""Folders whose content is run as code: only who may run code as this user anyway may be able to write there."""

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fxsim.errors import ToolError

_LINKS_MAX = 40
"""Links that are followed on the way to a folder, as Linux does."""
_WAY_OUT = "FXSIM_CACHE in the environment names another"


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone. OSError where the system refuses."""
    for path in reversed([folder, *folder.parents]):
        # Not by Path.mkdir, whose `parents` are open to whomever the umask leaves in.
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)


def check_private(path: Path) -> None:
    """ToolError where somebody else can put something in the place of `path`, or into it: it names who, where, and how.

    Every folder and link on the way to it, from the top, and all that is in it: its owner must be this user or root;
    others must not be able to write there, but for folders on the way whose content only its owners can replace (as
    /tmp). A group counts as others unless it is this user's own. Below a folder that others cannot enter only owners
    count. What is not there yet is no danger. OSError where the system refuses to look.
    """
    path = path.absolute()
    place = Path(os.path.realpath(path))
    trusted, closed = _trusted(), False
    for step in chain(_way(path), place.rglob("*")):
        try:
            found = step.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if found.st_uid not in trusted:
            raise ToolError(
                f"the cache {path} is not used: {step} belongs to {_user(found.st_uid)}, who could put code there that "
                f"would be run; {_WAY_OUT}"
            )
        if stat.S_ISLNK(found.st_mode) or closed:
            continue
        # What is in such a folder only its owner can replace; new files everybody can make.
        passing = bool(found.st_mode & stat.S_ISVTX) and step in place.parents
        if (writers := _writers(found)) and not passing:
            raise ToolError(
                f"the cache {path} is not used: {writers} can write to {step}, and what is there would be run; "
                f"`chmod go-w` closes it once what is there is known to be yours, or {_WAY_OUT}"
            )
        closed = step in place.parents and not found.st_mode & (stat.S_IXGRP | stat.S_IXOTH)


def _trusted() -> set[int]:
    """Users whose code this one runs anyway: itself and root.

    In a container of a user's own, where most users have no number, root may be among those that show as nobody.
    """
    users = {0, os.geteuid()}
    with contextlib.suppress(OSError, ValueError):
        if Path("/proc/self/uid_map").read_text().split() != ["0", "0", str(2**32 - 1)]:
            users.add(int(Path("/proc/sys/kernel/overflowuid").read_text()))
    return users


def _way(path: Path) -> Iterator[Path]:
    """Folders, links and at last the thing itself that lead to an absolute path, from the top down."""
    way, left = Path("/"), list(path.parts[1:])
    yield way
    links = 0
    while left:
        name = left.pop(0)
        way = way.parent if name == ".." else way / name
        yield way
        if way.is_symlink():
            links += 1
            if links > _LINKS_MAX:
                raise ToolError(f"the cache {path} is not used: more than {_LINKS_MAX} links lead there; {_WAY_OUT}")
            target = way.readlink()
            left = [*(target.parts[1:] if target.is_absolute() else target.parts), *left]
            way = Path("/") if target.is_absolute() else way.parent


def _writers(found: os.stat_result) -> str:
    """The others who can write to a file or folder, in words; empty where nobody can."""
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_gid):
        return f"the group {_group(found.st_gid)}"
    return ""


def _is_own_group(number: int) -> bool:
    """Whether a group is this user's alone, as many systems give each user one of their name."""
    try:
        group, user = grp.getgrgid(number), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
