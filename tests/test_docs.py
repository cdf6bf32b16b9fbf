"""Documentation: it builds as a site, its links lead somewhere, its tables are whole, its first commands work."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BIN = Path(sys.executable).parent
PAGES = sorted(ROOT.glob("docs/**/*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def broken_tables(text: str) -> list[str]:
    """Rows that stand in no table: a blank line, or a head without its rule, cut them off."""
    rows = FENCE.sub("", text).split("\n")
    broken = []
    inside = False
    for above, row, below in zip(["", *rows], rows, [*rows[1:], ""], strict=False):
        is_row = row.startswith("|")
        if is_row and not inside and not re.fullmatch(r"\|[-:| ]+\|", below):
            broken.append(row)
        inside = is_row and (inside or not above.startswith("|"))
    return broken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("| a |\n|---|\n| 1 |\n| 2 |\n", []),
        ("| a |\n|---|\n| 1 |\n\n| 2 |\n| 3 |\n", ["| 2 |"]),
        ("| a |\n| 1 |\n", ["| a |"]),
        ("```\n| not a table |\n```\n", []),
        ("| a |\n|---|\n| 1 |\n\nText.\n\n| b |\n|:-:|\n| 2 |", []),
    ],
)
def test_broken_tables_are_found(text: str, expected: list[str]) -> None:
    """The check below sees what a blank line cuts off, and nothing else."""
    assert broken_tables(text) == expected


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tables_are_whole(path: Path) -> None:
    """No row of a table is cut off by a blank line."""
    assert broken_tables(path.read_text()) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_side_of_a_merge_is_left(path: Path) -> None:
    """No line marks where two versions of a text were put side by side."""
    assert re.findall(r"^(?:<{7}|>{7})(?: .*)?$|^={7}$", path.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("path", [p for p in TEXTS if p.parent == ROOT], ids=lambda path: path.name)
def test_links_at_the_top_lead_somewhere(path: Path) -> None:
    """Files that the texts beside the code link to are there (those among the pages are the site's to check)."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", FENCE.sub("", path.read_text()))
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_site_builds_strictly_and_needs_no_network(tmp_path: Path) -> None:
    """Every page is built; no link, anchor or page is amiss; nothing that a page loads lies elsewhere."""
    command: list[str | Path] = [BIN / "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(tmp_path / "site").with_suffix(".md") for path in (tmp_path / "site").rglob("*.html")}
    assert {path.relative_to(ROOT / "docs") for path in PAGES} <= built
    reference = (tmp_path / "site" / "reference.html").read_text()
    for name in ("fxsim.load", "fxsim.run", "fxsim.contract.round_shift"):
        assert f'id="{name}"' in reference
    # What a page loads by itself; an <a> is followed by its reader only.
    loads = re.compile(r"<(?:script|img|link(?! rel=\"canonical\"))[^>]*(?:src|href)=\"?(https?:)?//[^>]*>")
    foreign = [
        f"{path.name}: {match.group()}"
        for path in (tmp_path / "site").rglob("*.html")
        for match in loads.finditer(path.read_text())
    ]
    assert foreign == []


@pytest.mark.slow
def test_first_commands_of_the_readme(tmp_path: Path) -> None:
    """The commands that a newcomer types first, after the set-up, work as they stand, on what is in the clone."""
    first = (ROOT / "README.md").read_text().split("## The first ten minutes")[1]
    commands = [line.partition("  #")[0] for line in first.split("```\n")[3].splitlines()]
    assert len(commands) == 3
    for command in commands:
        program, *words = shlex.split(command)
        assert program == ".venv/bin/fxsim"
        words = [str(tmp_path / word) if word == "out.npz" else word for word in words]
        done = subprocess.run([BIN / "fxsim", *words], cwd=ROOT, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert (tmp_path / "out.npz").is_file()


def test_change_log_has_the_form() -> None:
    """Versions under headings, newest first, each with the kinds of change that Keep a Changelog has."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# ")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]" or re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", versions[0])
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
