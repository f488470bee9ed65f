import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import pytest

from holdfast.evaluation.statistics import rate
from holdfast.evaluation.store import Folder
from holdfast.report import html, words
from report import fixture, hostile

VOID = {"meta", "img", "input", "br", "link"}
ALLOWED = """
html head meta title style body a header p b main section h1 h2 h3 div code svg defs pattern line rect text circle
polygon polyline ul li i dl dt dd span nav article small figure figcaption details summary table caption thead tbody
tr th td img footer script time strong
"""
TAGS = set(ALLOWED.split())


class Page(HTMLParser):
    """Elements with their attributes, the text outside scripts and styles, and what was closed out of order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.words, self.open, self.scripts, self.broken = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(fixture.write(tmp_path_factory.mktemp("run") / "digits"))


@pytest.fixture(scope="module")
def text(folder):
    return html.render(folder.summary, folder.samples, folder.examples, "runs/digits")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def safe(page):
    """Nothing that is not ours: elements, handlers, addresses, scripts."""
    assert page.broken == []
    assert page.open == []
    assert {name for name, _ in page.elements} <= TAGS
    assert len(page.scripts) == 1
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")], (name, attributes)
        for key in ("href", "src", "action", "xlink:href"):
            value = attributes.get(key) or ""
            assert value.startswith(("#", "data:image/webp;base64,")) or not value, value
    for value in page.all("style") + page.all("script"):
        assert value == {}


def test_well_formed_and_nothing_foreign(page):
    safe(page)


def test_policy_names_the_digest_of_the_one_script(page):
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy["content"].startswith(
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_no_address_outside_the_file_and_small(text):
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r"data:image/webp;base64,[\w+/=]+", "", text)) == []
    assert len(text.encode()) <= 3_000_000


def test_verdict_comes_first_then_the_figure(text, folder):
    order = [
        text.index(part)
        for part in (
            "<h1",
            folder.summary.verdict.text,
            'class="bracket"',
            words.masking(folder.summary),
            'id="findings"',
            'id="untested"',
            'id="threats"',
            'id="attacks"',
            'id="classes"',
            'id="samples"',
            'id="reproduce"',
            'id="limits"',
            'id="glossary"',
        )
    ]
    assert order == sorted(order)


def test_a_replay_is_told_below_the_headline(text, folder):
    found = hostile.replaying(folder.summary)
    page = html.render(found, folder.samples, folder.examples, "runs/digits")
    assert page.index("</h1>") < page.index(words.replayed(found)) < page.index('class="bracket"')
    assert f"suite replay+{found.provenance.suite}, seed" in page
    assert "Replay of" not in text
    assert f"suite {found.provenance.suite}, seed" in text


def test_every_rate_carries_count_and_interval(text, folder):
    shown = re.findall(r'<span class="rate">(.*?)</span></span>', text)
    assert len(shown) > 20
    share, ends, count = r"<b>(?:&[lg]t;\xa0)?[\d.]+\xa0%</b>", r"\[[\d.]+, [\d.]+\]", r"\d+/\d+"
    form = rf'{share} <span class="ci">{ends}</span> <span class="kn">{count}'
    assert [one for one in shown if not re.fullmatch(form, one) and "no certificate" not in one] == []
    held = folder.summary.rates.empirical_robust_accuracy
    assert f"{held.k}/{held.n}" in text


def test_charts_are_described_from_the_numbers(page):
    described = page.all("svg")
    assert len(described) >= 15
    for attributes in described:
        if "viewbox" not in attributes:
            assert attributes["role"] == "img"
            assert re.search(r"\d", attributes["aria-label"])


def test_tables_have_captions_and_scopes(page):
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))


def test_pictures_have_words_and_sizes(page):
    assert len(page.all("img")) >= 60
    assert all(attributes["alt"] and attributes["width"] for attributes in page.all("img"))


def test_identifiers_are_unique_and_targets_exist(page):
    found = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(found) == len(set(found))
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(found)


def test_partial_runs_say_so_before_the_verdict(folder):
    partial = dataclasses.replace(folder.summary, complete=False, stopped="Ctrl-C after 60 of 120 samples")
    text = html.render(partial, folder.samples, folder.examples, "runs/digits")
    assert text.index("Ctrl-C after 60 of 120") < text.index("<h1")
    assert "url(#holdfast-partial)" in text


def test_nothing_broken_and_nothing_measured(folder):
    found = folder.summary
    held = rate(0, 120, fixture.ALL)
    none = dataclasses.replace(
        found,
        findings=(),
        transfer=(),
        coverage=dataclasses.replace(found.coverage, statuses={"unbroken": 200}),
        rates=dataclasses.replace(found.rates, empirical_robust_accuracy=held),
    )
    page = Page(html.render(none, folder.samples, None, "runs/digits"))
    safe(page)
    assert words.EMPTY in page.text
    empty = dataclasses.replace(
        found, rates=dataclasses.replace(found.rates, empirical_robust_accuracy=None, clean_accuracy=None), threats=()
    )
    assert "no rate to show" in Page(html.render(empty, folder.samples, None, "r")).text


def test_tables_show_no_inputs(tmp_path):
    plain = dataclasses.replace(
        fixture.summary(), data=dataclasses.replace(fixture.summary().data, kind="vector", shape=(64,))
    )
    folder = Folder(fixture.write(tmp_path / "run", plain, pictures=False))
    page = Page(html.render(folder.summary, folder.samples, folder.examples, "runs/table"))
    assert page.all("img") == []
    assert "It contains no samples of the data" in page.text
    assert "holdfast replay runs/table" in page.text


@pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))
def test_hostile_names_are_only_text(folder, name):
    import pyarrow as pa

    found = hostile.everywhere(folder.summary, name)
    table = pa.Table.from_pylist(hostile.rows(folder.samples.to_pylist(), name.encode("utf-8", "replace").decode()))
    text = html.render(found, table, None, name)
    page = Page(text)
    safe(page)
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", text
    )
    assert len(text) < 1_500_000


def test_names_arrive_readable(folder):
    found = hostile.everywhere(folder.summary, "<b>日本語</b> & \u202ex")
    assert "<b>日本語</b> & \\u202ex" in Page(html.render(found, folder.samples, None, "r")).text


def test_the_home_folder_stays_private(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(html.cleaned.__globals__["pathlib"].Path, "home", lambda: tmp_path / "someone")
    command = f"holdfast audit {tmp_path}/someone/models/net.safetensors"
    found = dataclasses.replace(
        folder.summary, provenance=dataclasses.replace(folder.summary.provenance, command=command)
    )
    text = html.render(found, folder.samples, None, "r")
    assert "holdfast audit ~/models/net.safetensors" in text
    assert "someone" not in text
