"""Caches of code that others can write to are refused, whichever way they could."""

import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fxsim import jit
from fxsim.errors import ToolError
from fxsim.private import check_private, make_private
from fxsim.simulate import cache

NOBODY = pwd.getpwnam("nobody").pw_uid
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a file, below folders that others can enter, as below a home directory of mode 755."""
    # Not pytest's folder: that is closed to others, so that all below it would be safe.
    with tempfile.TemporaryDirectory(prefix="fxsim-private-") as folder:
        top = Path(folder).resolve()
        (top / "cache" / "entry").mkdir(parents=True)
        for step in (top, top / "cache", top / "cache" / "entry"):
            step.chmod(0o755)
        if any(not step.stat().st_mode & 0o001 for step in top.parents):
            pytest.skip("temporary folders lie where nobody else can enter: whatever is there is safe")
        (top / "cache" / "entry" / "code").write_bytes(b"code")
        (top / "cache" / "entry" / "code").chmod(0o644)
        yield top / "cache" / "entry"


def refused(path: Path) -> str:
    """The refusal of a path; empty where it is taken."""
    try:
        check_private(path)
    except ToolError as error:
        return str(error)
    return ""


def test_what_only_its_owner_can_write_is_taken(place: Path) -> None:
    """Folders that others can read, below /tmp, are no danger; nor is what is not there."""
    assert refused(place) == ""
    assert refused(place / "absent" / "below") == ""


@pytest.mark.parametrize("what", ["cache", "cache/entry", "cache/entry/code"])
def test_what_everybody_can_write_is_refused(what: str, place: Path) -> None:
    """The folder above, the entry, or a file in it: named, with who can write, and both ways out."""
    path = place.parent.parent / what
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    message = refused(place)
    for part in (f"the cache {place} is not used", f"everybody can write to {path},", "chmod go-w", "FXSIM_CACHE"):
        assert part in message
    # The sticky bit protects what is on the way, not what is itself a folder of code.
    if path.is_dir():
        path.chmod(path.stat().st_mode | stat.S_ISVTX)
        assert (refused(place) == "") == (what == "cache")


def test_the_cache_itself_may_not_be_a_shared_folder(place: Path) -> None:
    """A folder as /tmp is no cache: everybody could put an entry there."""
    place.chmod(0o1777)
    assert f"everybody can write to {place}," in refused(place)


@as_root
def test_what_belongs_to_others_is_refused(place: Path) -> None:
    """A folder or file of another user is refused, even where nobody else can write to it."""
    for path in (place.parent, place, place / "code"):
        os.chown(path, NOBODY, 0)
        assert f"{path} belongs to user nobody, who could put code there" in refused(place)
        os.chown(path, 0, 0)
    assert refused(place) == ""


@as_root
def test_groups_of_others_are_refused(place: Path) -> None:
    """Where a group can write it is named, unless it is the user's own group, of which nobody else is."""
    place.chmod(0o775)
    assert refused(place) == ""  # root's own group
    os.chown(place, 0, 65_000)
    assert f"the group 65000 can write to {place}," in refused(place)


def test_links_on_the_way_are_followed(place: Path) -> None:
    """It counts where a link leads, and who can put another in its place."""
    link = place.parent.parent / "link"
    link.symlink_to("cache")
    assert refused(link / "entry") == ""
    place.parent.chmod(0o777)
    assert f"everybody can write to {place.parent}," in refused(link / "entry")
    place.parent.chmod(0o755)
    (place.parent.parent / "a").symlink_to("b")
    (place.parent.parent / "b").symlink_to("a")
    assert "links lead there" in refused(place.parent.parent / "a" / "entry")


@as_root
def test_links_of_others_are_refused(place: Path) -> None:
    """A link that somebody else made, and can make anew, is no way to code."""
    link = place.parent.parent / "link"
    link.symlink_to("cache")
    os.lchown(link, NOBODY, 0)
    assert f"{link} belongs to user nobody" in refused(link / "entry")


def test_below_a_closed_folder_nothing_can_be_reached(place: Path) -> None:
    """Where others cannot enter, it does not matter what they could write to inside."""
    place.chmod(0o777)
    place.parent.chmod(0o700)
    assert refused(place) == ""


def test_new_folders_are_closed(tmp_path: Path) -> None:
    """Whatever the umask, a cache is made for its user alone, and so are the folders above that were missing."""
    before = os.umask(0)
    try:
        make_private(tmp_path / "a" / "b")
        make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o700, 0o700]


@pytest.mark.parametrize("kind", ["simulators", "library", "machine code"])
def test_every_cache_of_code_is_checked(kind: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulators, the objects they are linked from, and Numba's functions: none is taken from an open folder."""
    place.chmod(0o777)
    made_of = cache.Ingredients("key", {}, {}, "", "")
    take: dict[str, Callable[[], object]] = {
        "simulators": lambda: cache.take(place, place / "out", made_of),
        "library": lambda: cache.take_objects(place, place),
        "machine code": lambda: jit.compile_function(lambda _: None, "void(int64)"),
    }
    monkeypatch.setenv("FXSIM_CACHE", str(place))
    with pytest.raises(ToolError, match=f"everybody can write to {place},"):
        take[kind]()
