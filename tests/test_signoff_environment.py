"""A record's words about the place it was made in: commits of fxsim and of the user's repositories."""

import html as html_module
import os
import re
import subprocess
from pathlib import Path

import pytest

from fxsim.signoff import SignoffRecord, environment, render_report
from fxsim.signoff.environment import find_commit, find_repositories
from fxsim.signoff.record import Commit, Machine, Repository


def git(folder: Path, *arguments: str) -> str:
    """The text that git prints in a folder, with an author of its own and none of the user's settings."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, env=environment, text=True, capture_output=True, check=True
    )
    return done.stdout.strip()


def test_the_users_repositories_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit, changed and unversioned files of each repository that the files lie in are found; nothing of others."""
    design, models, loose = (tmp_path / name for name in ("design", "models", "loose"))
    for folder in (design, models, loose):
        folder.mkdir()
    plan, model, images = design / "plan.toml", models / "m.safetensors", loose / "x.npy"
    for path in (plan, model, images, design / "other"):
        path.write_text("one")
    assert find_repositories([plan, model, images]) == ()
    for folder, file in ((design, "plan.toml"), (models, "m.safetensors")):
        git(folder, "init", "-q")
        git(folder, "add", file)
        git(folder, "commit", "-qm", "first")
    first, second = git(design, "rev-parse", "HEAD"), git(models, "rev-parse", "HEAD")
    clean = (Repository("design", first, False, ()), Repository("models", second, False, ()))
    # What another repository's variables say, as inside a hook, and files that nobody asked about change nothing.
    monkeypatch.setenv("GIT_DIR", str(models / ".git"))
    assert find_repositories([plan, model, images, tmp_path / "absent" / "y"]) == clean
    model.write_text("two")
    assert find_repositories([plan, model]) == (clean[0], Repository("models", second, True, ()))
    found = find_repositories([plan, design / "other", plan])
    assert found == (Repository("design", first, False, ("other",)),)


def test_the_report_names_the_users_repositories() -> None:
    """Beside fxsim's own commit stand the user's, each with what had changed or was missing in it."""
    repositories = (Repository("design", "e" * 40, False, ("a.toml", "<b>")), Repository("x", "f" * 40, True, ()))
    record = SignoffRecord(
        "fxsim.signoff", 1, "t", "p", "now", 0.0, True, True, None, 0, 1, Commit("c" * 40, False), "9", {},
        Machine("cpu", 1, None, "os"), {}, (), repositories,
    )  # fmt: skip
    html = render_report(record)
    text = " ".join(html_module.unescape(re.sub("<[^<>]*>", "", html[: html.index('class="tiles"')])).split())
    assert f"design at commit {'e' * 12} without a.toml, <b>, not under version control" in text
    assert f"x at commit {'f' * 12} with uncommitted changes" in text
    assert f"fxsim 9, commit {'c' * 12} ·" in text


def test_a_repositorys_settings_run_nothing(tmp_path: Path) -> None:
    """A watcher that a repository's settings name, as an unpacked archive may bring one, is not started."""
    (tmp_path / "plan.toml").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "plan.toml")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "config", "core.fsmonitor", f"touch {tmp_path}/started; false")
    assert find_repositories([tmp_path / "plan.toml"])[0].dirty is False
    assert not (tmp_path / "started").exists()


def test_what_is_written_into_the_clone_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs in fxsim's clone leave its commit clean; a changed file, or one more beside the code, does not."""
    for name in ("fxsim/a.py", "rtl/a.v", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    head = git(tmp_path, "rev-parse", "HEAD")
    assert find_commit() == Commit(head, False)
    (tmp_path / "relu.safetensors").write_text("an output")
    assert find_commit() == Commit(head, False)
    (tmp_path / "rtl" / "b.v").write_text("more")
    assert find_commit() == Commit(head, True)
    (tmp_path / "rtl" / "b.v").unlink()
    (tmp_path / "README.md").write_text("two")
    assert find_commit() == Commit(head, True)
