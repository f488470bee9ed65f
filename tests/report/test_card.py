"""The robustness card: what the Hub reads, what a person wrote around it, and names that want to get out."""

import dataclasses
import json
import math

import pytest
import yaml
from markdown_it import MarkdownIt

from holdfast.cli.main import main
from holdfast.core.errors import UsageError
from holdfast.evaluation.before import EarlierRun
from holdfast.evaluation.document import to_json
from holdfast.evaluation.summary import Verdict
from holdfast.report import card
from report import fixture, hostile

SUMMARY = fixture.summary()
names = pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))


def head(page):
    """The YAML of a card, as the Hub takes it."""
    assert page.startswith("---\n")
    return yaml.safe_load(page[4 : page.index("\n---\n", 3)])


def between(page):
    return page[page.index(card.TEXT[0]) : page.index(card.TEXT[1])]


def states(state):
    return dataclasses.replace(SUMMARY, verdict=Verdict(text="So it is.", state=state))


def test_the_hub_finds_what_it_asks_for():
    """The keys that huggingface_hub.model_index_to_eval_results reads, without being installed."""
    (model,) = head(card.render(SUMMARY))["model-index"]
    assert model["name"] == SUMMARY.model.name
    (result,) = model["results"]
    assert result["task"]["type"] == "image-classification"
    assert result["dataset"]["name"] == result["dataset"]["type"] == SUMMARY.data.name
    assert result["dataset"]["split"] == SUMMARY.data.split
    clean, robust = result["metrics"]
    assert (clean["type"], clean["value"]) == ("accuracy", SUMMARY.rates.clean_accuracy.point)
    rate = SUMMARY.threats[0].empirical_robust_accuracy
    assert (robust["type"], robust["value"]) == ("robust_accuracy", rate.point)
    args = robust["args"]
    assert (args["norm"], args["eps"], args["suite"]) == ("linf", 1 / 8, SUMMARY.provenance.suite)
    assert (args["interval"], args["samples"]) == ([rate.low, rate.high], rate.n)
    assert json.loads(json.dumps(model, allow_nan=False)) == model


def test_a_replay_is_part_of_the_suite_that_the_rate_is_of():
    found = dataclasses.replace(SUMMARY, replay=EarlierRun(run="a", model="b", inputs="c", stored=1, tried=1, broken=1))
    metrics = head(card.render(found))["model-index"][0]["results"][0]["metrics"]
    assert metrics[1]["args"]["suite"] == f"replay+{SUMMARY.provenance.suite}"


def test_several_threats_and_one_without_a_radius():
    endless = dataclasses.replace(SUMMARY.threats[0], literal="l2:inf")
    two = dataclasses.replace(SUMMARY, threats=(SUMMARY.threats[0], endless))
    metrics = head(card.render(two))["model-index"][0]["results"][0]["metrics"]
    assert [m["args"].get("eps") for m in metrics] == [None, 1 / 8, "inf", None]
    assert metrics[-1]["args"]["threat"] == "linf:1/8 or l2:inf"
    assert all(math.isfinite(m["value"]) for m in metrics)


@pytest.mark.parametrize("state", ["partial", "empty", "doubtful"])
def test_a_result_that_is_none_is_not_published(state):
    page = card.render(states(state))
    assert head(page) is None
    assert f"the result of this run is {state}" in page
    assert f"Verdict: {state}" in page


def test_what_an_owner_must_state_is_listed_and_not_filled_in():
    page = card.render(SUMMARY)
    assert page.count("**to be stated by the owner**") == 4
    assert "to be stated by the owner" not in between(page)
    assert SUMMARY.verdict.text in MarkdownIt().render(page)


def test_exporting_again_is_the_same_file():
    page = card.render(SUMMARY)
    assert card.render(SUMMARY, page) == page
    other = dataclasses.replace(SUMMARY, model=dataclasses.replace(SUMMARY.model, name="another"))
    assert head(card.render(other, page))["model-index"][0]["name"] == "another"


def test_prose_around_the_markers_stays_to_the_letter():
    page = card.render(states("doubtful"))
    mine = page.replace("---\n# holdfast begin", "---\nlicense: mit  # mine\n# holdfast begin", 1)
    mine = mine.replace("**to be stated by the owner**", "sorting digits", 1) + "\nLast words.  \n\n"
    new = card.render(SUMMARY, mine)
    assert head(new)["license"] == "mit"
    assert "license: mit  # mine\n" in new
    assert "sorting digits" in new
    assert new.endswith("\nLast words.  \n\n")
    assert (
        new.replace(between(new), "").split("# holdfast end")[1]
        == mine.replace(between(mine), "").split("# holdfast end")[1]
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "---\nlicense: mit\ntags:\n- x\n---\n", "---\n---\n"])
def test_any_model_card_takes_the_block_at_its_end(start, ends):
    before = (start + "# My model\n\nIt sorts digits.\n").replace("\n", ends)
    new = card.render(SUMMARY, before)
    assert new.count("\r\n") == (new.count("\n") if ends == "\r\n" else 0)
    plain = new.replace("\r\n", "\n")
    assert head(plain)["model-index"]
    assert head(plain).get("license") == ("mit" if "license" in start else None)
    assert "# My model\n\nIt sorts digits.\n" in plain
    assert plain.index("It sorts digits.") < plain.index("## To be stated by the owner") < plain.index(card.TEXT[0])
    assert card.render(SUMMARY, new) == new


@pytest.mark.parametrize("start", ["", "---\nlicense: mit\n---\n"])
def test_a_byte_order_mark_stays_first_and_hides_no_head(start):
    new = card.render(SUMMARY, f"\ufeff{start}# My model\n")
    assert new == "\ufeff" + card.render(SUMMARY, f"{start}# My model\n")
    assert set(head(new[1:])) == {"model-index", *(["license"] if start else [])}
    assert card.render(SUMMARY, new) == new


def test_line_ends_that_differ_stay_as_they_are():
    before = "---\r\nlicense: mit\n---  \r\n# My model\r\n\nIt sorts\ndigits.\r\n"
    new = card.render(SUMMARY, before)
    assert new.count("\r\n") == before.count("\r\n")
    assert new.startswith("---\r\nlicense: mit\n# holdfast begin\n")
    assert "# holdfast end\n---  \r\n# My model\r\n\nIt sorts\ndigits.\r\n" in new
    assert card.render(SUMMARY, new) == new


def test_a_head_at_the_end_of_the_file_is_closed():
    assert head(card.render(SUMMARY, "---\nlicense: mit\n---"))["license"] == "mit"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("audit /tmp/x/net.py:make mnist --replay /tmp/x/before", "audit net.py:make mnist --replay before"),
        ("audit 'onnx:/a b/m.onnx' d -o ../up/out/ --log=~max/log", "audit onnx:m.onnx d -o out/ --log=log"),
        ("audit 'C:\\Users\\max\\m.pt' ./d.npz", "audit m.pt d.npz"),
        ("audit 'it /tmp/x", "audit ''\"'\"'it' x"),
        ("audit runs/m.pt d --threat linf:8/255 --seed 1", "audit runs/m.pt d --threat linf:8/255 --seed 1"),
        (
            "audit https://host/m --suite 'pgd(step=1/255,steps=2)'",
            "audit https://host/m --suite 'pgd(step=1/255,steps=2)'",
        ),
    ],
)
def test_the_command_says_nothing_of_the_machine(given, told):
    found = dataclasses.replace(SUMMARY, provenance=dataclasses.replace(SUMMARY.provenance, command=given))
    assert f"```text\n{told}\n```" in card.render(found)


BROKEN = {
    "no end": lambda page: page.replace(card.TEXT[1], ""),
    "no begin": lambda page: page.replace(card.HEAD[0], "", 1),
    "twice": lambda page: page + page[page.index(card.TEXT[0]) :],
    "turned around": lambda page: (
        page.replace(card.TEXT[0], "X").replace(card.TEXT[1], card.TEXT[0]).replace("X", card.TEXT[1])
    ),
    "own model-index": lambda page: page.replace("---\n", "---\nmodel-index: []\n", 1),
    "no YAML": lambda page: page.replace("---\n", "---\na: [\n", 1),
    "no mapping": lambda page: "---\njust words\n---\ntext\n",
    "indented": lambda page: "---\n  license: mit\n---\ntext\n",
    "in braces": lambda page: "---\n{license: mit}\n---\ntext\n",
    "ended": lambda page: "---\nlicense: mit\n...\n---\ntext\n",
    "no such day": lambda page: "---\nday: 2026-02-31\n---\ntext\n",
    "inside a text": lambda page: f'---\na: "x\n{card.HEAD[0]}\n{card.HEAD[1]}\n"\n---\ntext\n',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_filled_in_without_a_guess_is_refused(kind):
    with pytest.raises(UsageError, match="HF829"):
        card.render(SUMMARY, BROKEN[kind](card.render(SUMMARY)))


@names
def test_no_name_gets_out_of_its_place(name):
    summary = hostile.everywhere(SUMMARY, name)
    page = card.render(summary)
    found = head(page)["model-index"][0]
    assert set(head(page)) == {"model-index"}
    assert all(type(found["results"][0]["dataset"][key]) is str for key in ("name", "type", "split"))
    assert card.render(summary, page) == page
    kinds = {token.type for token in MarkdownIt("commonmark", {"html": True}).parse(page[page.index("\n---\n") + 5 :])}
    assert "link_open" not in kinds
    html = [t.content for t in MarkdownIt().parse(page[page.index("\n---\n") + 5 :]) if t.type == "html_block"]
    assert {line.strip() for line in html} <= set(card.TEXT)


@pytest.mark.parametrize("name", [*card.TEXT, *card.HEAD, "---"])
def test_a_marker_as_a_name_is_no_marker(name):
    summary = hostile.everywhere(SUMMARY, name)
    assert card.render(SUMMARY, card.render(summary)) == card.render(SUMMARY).replace(
        f"# Robustness card: {SUMMARY.model.name}", card.render(summary).partition("\n---\n")[2].splitlines()[0]
    )


def test_the_command(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    (tmp_path / "run" / "summary.json").write_text(to_json(SUMMARY))
    assert main(["export", "card", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "card.md").read_text() == card.render(SUMMARY)
    readme = tmp_path / "README.md"
    readme.write_text("# My model\n")
    assert main(["export", "card", str(tmp_path / "run"), "-o", str(readme), "-q"]) == 0
    assert readme.read_text().count("# My model") == 1
    readme.write_bytes(b"\xff\xfe")
    for words, code in (
        (["card", str(tmp_path / "run"), "-o", str(readme)], "HF829"),
        (["card", str(tmp_path / "run"), "-o", "card.pdf"], "HF820"),
        (["badge", str(tmp_path / "run")], "HF805"),
        (["card", str(tmp_path / "none")], "HF407"),
    ):
        capsys.readouterr()
        assert main(["export", *words]) != 0
        assert code in capsys.readouterr().err
    assert readme.read_bytes() == b"\xff\xfe"
    readme.write_bytes(b"---\n{license: mit}\n---\n")
    assert main(["export", "card", str(tmp_path / "run"), "-o", str(readme)]) == 2
    assert readme.read_bytes() == b"---\n{license: mit}\n---\n"
