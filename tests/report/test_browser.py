"""The page in a real browser: Debian's Chromium through Playwright, never a browser of Playwright's own."""

import shutil

import pytest

from holdfast.evaluation.document import to_json
from holdfast.report.board import render
from holdfast.report.run import Run
from report import fixture, hostile
from report.boards import BOARD

INJECTED = """() => {
  const script = document.createElement("script");
  script.textContent = "globalThis.pwned = 1";
  document.body.append(script);
}"""
EVENTS = """() => {
  for (const node of document.querySelectorAll("*")) {
    for (const name of ["mouseover", "focus", "load", "error"]) node.dispatchEvent(new Event(name));
  }
}"""
pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
REASONS = {
    "playwright": "playwright is not installed: pip install playwright",
    "chromium": "there is no chromium on this machine: apt-get install chromium",
}


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason=REASONS["playwright"])
    if CHROMIUM is None:
        pytest.skip(REASONS["chromium"])
    with api.sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return Run(fixture.write(folder / "digits")).report(folder / "report.html")


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    """One page whose classes carry every hostile name, and whose other texts carry the worst ones."""
    import dataclasses

    folder = tmp_path_factory.mktemp("nasty")
    path = fixture.write(folder / "digits")
    names = tuple(name.encode("utf-8", "replace").decode() for name in hostile.CORPUS)
    found = hostile.everywhere(fixture.summary(), "".join(name for name in names if len(name) < 100))
    facts = found.threats[0]
    classes = tuple(dataclasses.replace(facts.per_class[i % 10], label=i, name=name) for i, name in enumerate(names))
    found = dataclasses.replace(
        found,
        model=dataclasses.replace(found.model, class_names=names),
        threats=(dataclasses.replace(facts, per_class=classes),),
    )
    (path / "summary.json").write_text(to_json(found), encoding="utf-8")
    return Run(path).report(folder / "report.html")


class Visit:
    """A page that was opened: what it asked for and what it complained about."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda found: self.requests.append(found.url))
        self.page.on("console", lambda found: self.complaints.append(found.text))
        self.page.on("pageerror", lambda found: self.complaints.append(str(found)))
        self.page.on("dialog", lambda found: self.complaints.append(found.message))
        self.address = path.as_uri()
        self.page.goto(self.address, wait_until="load")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()

    def quiet(self):
        assert [url for url in self.requests if not url.startswith("data:")] == [self.address]
        assert self.complaints == []


def test_no_request_and_no_complaint(browser, report):
    with Visit(browser, report) as visit:
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert visit.page.locator("button").count() > 20
        visit.quiet()


def test_the_policy_stops_what_is_not_ours(browser, report):
    with Visit(browser, report) as visit:
        visit.page.evaluate(INJECTED)
        visit.page.evaluate(
            "() => { document.body.append(Object.assign(new Image(), {src: 'https://evil.example/x.png'})); }"
        )
        visit.page.wait_for_timeout(100)
        assert visit.page.evaluate("globalThis.pwned") is None
        assert len([text for text in visit.complaints if "Content Security Policy" in text]) >= 2


def test_readable_without_script(browser, report):
    with Visit(browser, report, java_script_enabled=False) as visit:
        page = visit.page
        for part in (
            "h1",
            "svg.bracket",
            "svg.curve",
            "table.attacks",
            "table.classes",
            "#untested li",
            ".card img",
            ".card .cmd code",
        ):
            assert page.locator(part).first.is_visible(), part
        assert page.locator(".card img").count() >= 60
        assert page.locator("button").count() == 0
        visit.quiet()


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_scrolls_one_way(browser, report, width):
    with Visit(browser, report, viewport={"width": width, "height": 844}) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_holds_the_verdict(browser, report):
    with Visit(browser, report, viewport={"width": 1280, "height": 720}) as visit:
        for part in ("h1", "svg.bracket", ".tiles", ".badges"):
            box = visit.page.locator(part).bounding_box()
            assert box["y"] + box["height"] <= 720, part


def test_filter_and_flip(browser, report):
    with Visit(browser, report) as visit:
        page = visit.page
        page.locator(".filter input").fill("square broken")
        shown = [card.get_attribute("data-words").split() for card in page.locator(".card:visible").all()]
        assert all("square" in words and "broken" in words for words in shown)
        assert page.locator(".filter output").inner_text() == f"{len(shown)} of 20 shown"
        page.locator(".filter input").fill("unbroken")
        assert page.locator(".card:visible").count() == 6
        page.locator(".filter input").fill("")
        assert page.locator(".card:visible").count() == 20  # the filter opens the fold
        card = page.locator(".card").first
        before = card.locator("img").nth(1).get_attribute("src")
        card.locator(".flip").dispatch_event("pointerdown")
        assert (
            card.locator("img").nth(1).get_attribute("src") == card.locator("img").nth(0).get_attribute("src") != before
        )
        card.locator(".flip").dispatch_event("pointerup")
        assert card.locator("img").nth(1).get_attribute("src") == before
        visit.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser, report, scheme):
    with Visit(browser, report, color_scheme=scheme) as visit:
        bad, looked = visit.page.evaluate(CONTRAST)
        assert looked > 500
        assert bad == []


def test_printing_opens_the_folds(browser, report):
    with Visit(browser, report) as visit:
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert visit.page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
        visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert not visit.page.evaluate("[...document.querySelectorAll('details')].some(d => d.open)")


def test_hostile_names_run_nowhere(browser, nasty):
    with Visit(browser, nasty) as visit:
        visit.page.evaluate(EVENTS)
        visit.page.wait_for_timeout(200)
        assert visit.page.evaluate("globalThis.pwned") is None
        assert visit.page.locator("iframe, script:not(:last-of-type), svg [onload]").count() == 0
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 1280
        visit.quiet()


def test_hostile_names_on_a_phone(browser, nasty):
    with Visit(browser, nasty, viewport={"width": 390, "height": 844}) as visit:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory):
    path = tmp_path_factory.mktemp("board") / "board.html"
    path.write_text(render(BOARD, ".html"), encoding="utf-8")
    return path


def models(page):
    return [text.strip() for text in page.locator("table.ranking:visible tbody tr:visible > th").all_inner_texts()]


def test_the_board_keeps_tab_order_and_filter_in_its_address(browser, leaderboard):
    with Visit(browser, leaderboard) as visit:
        page = visit.page
        assert page.locator("section.tab:visible").count() == 1
        assert models(page) == ["alpha", "beta", "gamma"]
        page.get_by_role("link", name="linf:1/10").click()
        page.get_by_role("button", name="clean", exact=True).click()
        assert models(page) == ["alpha", "gamma", "beta"]
        assert page.locator('table:visible th[aria-sort="descending"]').inner_text().startswith("clean")
        page.get_by_role("button", name="clean", exact=True).click()
        assert models(page) == ["beta", "gamma", "alpha"]
        page.locator(".filter input").fill("not refuted")
        assert models(page) == ["beta", "alpha"]
        page.locator(".filter input").fill("doubtful")
        assert models(page) == ["gamma"]
        assert page.locator(".filter output").inner_text() == "1 of 3 rows"
        address = page.evaluate("location.href")
        assert address.endswith("#tab=linf%3A1%2F10&sort=clean%3Aup&filter=doubtful")
        page.goto("about:blank")
        page.goto(address)
        assert models(page) == ["gamma"]
        assert page.locator("section.tab:visible h2").inner_text() == "linf:1/10"
        page.locator(".filter input").fill("")
        page.get_by_role("button", name="clean", exact=True).click()
        assert models(page) == ["alpha", "beta", "gamma"], "the third click gives back the order of the bands"
        assert visit.complaints == []


def test_the_board_sends_nothing_and_reads_without_script(browser, leaderboard):
    with Visit(browser, leaderboard) as visit:
        visit.page.wait_for_timeout(100)
        visit.quiet()
    with Visit(browser, leaderboard, java_script_enabled=False) as visit:
        assert visit.page.locator("section.tab:visible").count() == 3
        visit.page.get_by_role("link", name="l2:1/2").click()
        assert visit.page.locator("button").count() == 0
    for width in (390, 1280):
        with Visit(browser, leaderboard, viewport={"width": width, "height": 844}) as visit:
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_the_board(browser, leaderboard, scheme):
    with Visit(browser, leaderboard, color_scheme=scheme) as visit:
        bad, looked = visit.page.evaluate(CONTRAST)
        assert looked > 40
        assert bad == []


CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const read = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return found.length > 3 && found[3] === 0 ? null : found;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = read(getComputedStyle(node).backgroundColor);
      if (color) return color;
    }
    return [255, 255, 255];
  };
  const bad = [];
  let looked = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title"].includes(node.tagName) || !node.getClientRects().length) continue;
    looked += 1;
    const style = getComputedStyle(node);
    const front = read(node instanceof SVGElement ? style.fill : style.color), back = behind(node);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName} ${ratio.toFixed(2)} ${node.textContent.slice(0, 30)}`);
  }
  return [bad, looked];
}"""
