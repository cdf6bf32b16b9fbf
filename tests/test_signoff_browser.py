"""The report in a real browser: usable at any width, in light and dark, by keyboard, in print, without the network."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fxsim.signoff import CheckRecord, SignoffRecord, Status, render_report
from fxsim.signoff.checks.cosim import Agreement, TapAgreement, Way
from fxsim.signoff.comparison import Comparison, TapFigures
from fxsim.signoff.record import (
    CheckRun,
    Commit,
    Details,
    Deviation,
    Figure,
    GoalRecord,
    Held,
    LeftOut,
    Machine,
    RateChange,
    Repository,
    Run,
    TestpointRecord,
)
from fxsim.signoff.simulation import Simulation
from tests.test_signoff import stored_record

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
WIDTHS = (320, 400, 800, 1600)
PRINTED = 1039
"""Width of a printed page in pixels of CSS: A4, landscape, without its margins."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")

CUT = """() => {
  const width = document.documentElement.clientWidth, found = [];
  const name = (e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 50)}`;
  for (const e of document.querySelectorAll("body *")) {
    // Pictures may be panned; what is there for screen readers alone has no width.
    if (e.closest(".pan, .hidden, .skip, script")) continue;
    const head = e.closest("thead");
    if (head && getComputedStyle(head).position === "absolute") continue;
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1)) found.push(`beyond: ${name(e)}`);
    if (getComputedStyle(e).display !== "inline" && e.scrollWidth > e.clientWidth + 1) found.push(`cut: ${name(e)}`);
  }
  if (document.documentElement.scrollWidth !== width) found.push(`the page is ${document.documentElement.scrollWidth}`);
  return found;
}"""
"""Everything that is wider than its place or than the window."""


def make_record(passed: bool) -> SignoffRecord:
    """A record of a plan of 22 checks, with names and reasons as long as they may be, that passed or did not."""
    checks = []
    for number in range(20):
        taps = tuple(TapFigures(f"blocks.{tap}.token_mixer.res_affine", 49_152, 3, 2, 0.25) for tap in range(3))
        simulated = Simulation(
            "teacher_h384", "random:695303:0.2+gap:500+reset:695303:12", 32, 16_020_565, 0, True, None, 24_576, 24_576,
            128_971, 715_101, 30_466, 233.0, False, "stream", {"read_latency": 64, "batch": 4},
            unprobed=("blocks.0.mlp.add",) if number == 3 else (),
        )  # fmt: skip
        agreement = Agreement("tiny", 3, 2, (TapAgreement("pool", 5, (Way("stream", 10, 0), Way("simd", 10, 1))),))
        figures = tuple(Figure(f"values of kind {place}", 10**place, "cycles") for place in range(8))
        checks.append(
            CheckRecord(
                f"three-ways-psa-h96-{number}", "cosim", "What passing means, in a sentence.", Status.PASSED,
                "8,851,072 values at 47 taps of the RTL equal the model, 4 stall patterns", None, 12.25, 695_303,
                f"fxsim signoff my/plans/plan.toml --only three-ways-psa-h96-{number}", None,
                Details(figures, (simulated, agreement, Comparison("one off", True, taps)) if number < 6 else ()),
            )
        )  # fmt: skip
    long = "x" * 100
    checks[7] = msgspec.structs.replace(
        checks[7], name=long, status=Status.SKIPPED, reason=f"published reference data absent: {'/folder' * 30}/{long}"
    )
    checks[8] = msgspec.structs.replace(checks[8], status=Status.REPORTED, reason="no bound of a distance is stated")
    if not passed:
        wrong = "stall random:{}: 34 values differ, first image {}, tap pool, channel 0: expected 5, got -40 (cycle 13)"
        for number in (10, 11, 12):
            name = checks[number].name
            checks[number] = msgspec.structs.replace(
                checks[number], status=Status.FAILED, reason=wrong.format(number, number), kept=f"failures/{name}"
            )
        checks[13] = msgspec.structs.replace(checks[13], status=Status.ERROR, reason=f"no file {long}{long}")
    point = TestpointRecord(
        "stalls", "V1", "Under any stalls the values are those of the model.", "passed" if passed else "failed",
        None if passed else f"three-ways-psa-h96-10: failed; {long}", ("three-ways-psa-h96-1", "slow"), 1, 0, 1, 0, 0,
        (GoalRecord("three-ways-psa-h96-1", "values of kind 2", 1, None, 100, True),),
    )  # fmt: skip
    earlier = [
        Run(
            "fxsim.signoff.run", 1, "t", f"2025-12-0{day}T00:00:00+00:00", 3000.0 + day, True, False, "V2", 1, "a" * 64,
            "c" * 40, {"design": "e" * 40}, "a processor, 2 cores",
            {check.name: CheckRun(Status.PASSED, 10.0 + day, 715_101, 30_466.0) for check in checks[day:]},
        )
        for day in range(1, 6)
    ]  # fmt: skip
    name = "cycles of teacher_h384 on stream, stall random:695303:0.2+gap:500+reset:695303:12, 32 images"
    held = Held(
        "2025-12-01T00:00:00+00:00", "d" * 40, "a processor, 2 cores", 30,
        (Deviation("three-ways-psa-h96-0", name, 715_100, 715_101),), (f"three-ways-psa-h96-9: {name}",),
        (RateChange("three-ways-psa-h96-0", "cycles/s", 20_000.0, 30_466.0),),
    )  # fmt: skip
    return SignoffRecord(
        "fxsim.signoff", 1, "a design of ours", "plans/plan.toml", "2026-01-01T00:00:00+00:00", 3661.0, True, passed,
        None, 22, 1, Commit("c" * 40, False), "0.1.0", {"Verilator": "5.048 " + "of a long build " * 6},
        Machine("a processor", 2, 3.5, "a system"), {"plan": "a" * 64, f"model {long}": "b" * 64}, tuple(checks),
        (Repository("design", "e" * 40, True, ("untracked.toml",)),), "V2", passed,
        left_out=(LeftOut("slow", "cosim", "V3", "s", "stage"), LeftOut("slower", "cosim", "V3", "s", "stage")),
        testpoints=(point,), stage_reached="V1" if passed else None, without_testpoint=("three-ways-psa-h96-2",),
        history=tuple(earlier), history_problems=(f"history.jsonl, line 2, is not a run of a sign-off: {long}",),
        held=held,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The reports of a run that passed and of one that failed."""
    folder = tmp_path_factory.mktemp("reports")
    found = {}
    for passed in (True, False):
        found[passed] = folder / f"{passed}.html"
        found[passed].write_text(render_report(make_record(passed)), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a window of its own; its scroll does not move slowly."""
    contexts = []

    def visit(path: Path, width: int = 1600, scheme: str = "light", **options: Any) -> Any:
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce", **options))
        page = contexts[-1].new_page()
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()


# The page of a run that passed is made of parts of the other.
@pytest.mark.slow
@pytest.mark.parametrize("passed", [pytest.param(True, marks=pytest.mark.thorough), False], ids=["passed", "failed"])
def test_nothing_is_cut_at_any_width(pages: dict[bool, Path], visit: Callable[..., Any], passed: bool) -> None:
    """From 320 to 1600 pixels nothing leaves the window or its place, whatever is long; a check is no screenful."""
    page = visit(pages[passed])
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(CUT) == [], width
        heights = page.evaluate("[...document.querySelectorAll('tr[data-status=passed]')].map((r) => r.offsetHeight)")
        assert max(heights) < 160, width
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(CUT) == [], width


SEEN = [(400, "light"), (1600, "dark"), (400, "dark"), (800, "light"), (800, "dark"), (1600, "light")]
"""Windows that axe looks at; after the first two, which have every colour and both layouts, `make thorough` goes on."""


@pytest.mark.slow
@pytest.mark.parametrize("seen", [SEEN[:2], pytest.param(SEEN[2:], marks=pytest.mark.thorough)], ids=["two", "all"])
def test_axe_finds_nothing(visit: Callable[..., Any], tmp_path: Path, seen: list[tuple[int, str]]) -> None:
    """axe-core finds no fault of accessibility, contrast among them, in light and dark, narrow and wide."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    # A few checks of each status: contrast is computed element by element.
    record = make_record(passed=False)
    few = msgspec.structs.replace(record, checks=(*record.checks[:2], *record.checks[7:9], *record.checks[12:14]))
    path = tmp_path / "few.html"
    path.write_text(render_report(few), encoding="utf-8")
    page = visit(path)
    for width, scheme in seen:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response
        wrong = [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]
        assert wrong == [], (width, scheme)
        assert any(rule["id"] == "color-contrast" for rule in found["passes"])


HOSTILE = (
    "<script>window.hit = 1; alert(1)</script></script></style></title>--><img src=x onerror='window.hit = 2'>"
    '"><svg onload="window.hit = 3"><a href="javascript:window.hit = 4">&lt;b&gt;\u202e'
)


@pytest.mark.slow
def test_hostile_names_are_shown_and_not_obeyed(visit: Callable[..., Any], tmp_path: Path) -> None:
    """Markup in every text of a record, names of checks too, makes no element, runs nothing, and is read."""
    record = stored_record(HOSTILE)
    named = tuple(msgspec.structs.replace(check, name=f"{HOSTILE} {n}") for n, check in enumerate(record.checks))
    paths = tmp_path / "hostile.html", tmp_path / "plain.html"
    paths[0].write_text(render_report(msgspec.structs.replace(record, checks=named)), encoding="utf-8")
    paths[1].write_text(render_report(stored_record()), encoding="utf-8")
    page = visit(paths[0], 800)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: said.append(request.url.partition("#")[0]))
    page.reload()
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    # Blocked by the policy would be obeyed, too, and be said.
    assert set(said) == {paths[0].as_uri()}
    assert page.evaluate("window.hit") is None
    kinds = "[...new Set([...document.querySelectorAll('*')].map((e) => e.tagName))].filter((t) => t !== 'WBR').sort()"
    assert page.evaluate(kinds) == visit(paths[1], 800).evaluate(kinds)
    handlers = "[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames()).filter((n) => /^on/.test(n))"
    assert page.evaluate(handlers) == []
    assert page.evaluate("[...document.links].every((a) => a.getAttribute('href').startsWith('#'))")
    assert page.evaluate("document.body.textContent").count(HOSTILE) > 20
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    assert [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]] == []


@pytest.mark.slow
def test_the_page_is_used_by_keyboard_and_loads_nothing(pages: dict[bool, Path], visit: Callable[..., Any]) -> None:
    """Contents, filter, details and links work by keys alone, and nothing but the page itself is ever asked for."""
    page = visit(pages[False], offline=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#contents a[href='#checks']")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#checks"
    assert abs(page.evaluate("document.getElementById('checks').getBoundingClientRect().top")) < 120
    shown = "[...document.querySelectorAll('tr[data-status]')].filter((row) => row.offsetHeight).length"
    assert page.evaluate(shown) == 20
    page.focus("input[name=text]")
    page.keyboard.type("H96-1")
    assert page.evaluate(shown) == 11  # 1 and 10 to 19
    assert page.inner_text("#shown") == "11 of 20 shown"
    page.focus("input[value=failed]")
    page.keyboard.press("Space")
    assert page.evaluate(shown) == 8
    page.focus("button[type=reset]")
    page.keyboard.press("Enter")
    page.wait_for_function(f"{shown} === 20")
    summary = "tr[data-status] summary"
    page.focus(summary)
    page.keyboard.press("Enter")
    assert page.evaluate(f"document.querySelector('{summary}').parentElement.open")
    # From a table to its check, which opens, and from there back.
    page.focus("#rtl-simulations tbody a")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#check-three-ways-psa-h96-0"
    page.focus("#check-three-ways-psa-h96-0 a[href='#rtl-simulations']")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#rtl-simulations"
    assert {url.partition("#")[0] for url in asked} == {pages[False].as_uri()}


@pytest.mark.slow
def test_all_is_printed(pages: dict[bool, Path], visit: Callable[..., Any], tmp_path: Path) -> None:
    """In print every detail is open, also without the script, nothing is cut, and the pages are few."""
    bare = tmp_path / "bare.html"
    # Another script than the policy allows does not run.
    bare.write_text(pages[False].read_text(encoding="utf-8").replace('"use strict";', '"use strict"; //'))
    closed = "[...document.querySelectorAll('details > div')].filter((part) => !part.checkVisibility()).length"
    page = visit(bare, PRINTED, "dark")
    assert page.evaluate("document.getElementById('filter').hidden")
    assert page.evaluate(closed) == page.evaluate("document.querySelectorAll('details').length") > 0
    page.emulate_media(media="print")
    assert page.evaluate(closed) == 0
    assert page.evaluate(CUT) == []
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert max(map(int, re.findall(r"\d+", colour)[:3])) < 80, "dark letters on paper"
    pdf = visit(pages[False]).pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
