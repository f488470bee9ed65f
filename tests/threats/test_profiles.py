"""Profiles: every column of a known set has a role, rows stay possible, and other tables are told in one line."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast.core.errors import ThreatError
from holdfast.data.dataset import Splits
from holdfast.data.shelf import folder
from holdfast.data.tables import loading
from holdfast.data.tables.loading import profiled
from holdfast.threats.literals import parse
from holdfast.threats.profiles.named import PROFILES, profile
from holdfast.threats.profiles.profile import Known

real = pytest.mark.skipif(folder() is None, reason="HOLDFAST_DATA names no folder")
SETS = [("fraud", "german_credit"), ("health", "heart_disease_sites"), ("spam", "spambase")]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_told_whole(name):
    found = hf.profile(name)
    text = str(found)
    assert parse(found.threat).bounded
    assert found.sources
    assert len({role.name for role in found.roles}) == len(found.roles)
    for role in found.roles:
        assert role.why in text
    for table in found.tables:
        assert set(table.columns) <= {role.name for role in found.roles}


@real
@pytest.mark.parametrize(("name", "data"), SETS)
def test_rows_of_known_sets_stay_possible_and_every_column_has_a_role(name, data):
    before = hf.data.load(data, split="test")
    after = hf.data.load(data, split="test", profile=name)
    roles = {role.name: role for role in hf.profile(name).roles}
    columns = next(table.columns for table in hf.profile(name).tables if table.name == data)
    assert after.schema.validate(after.x).valid.all()
    assert after.split == f"test, profile {name}"
    assert torch.equal(before.x.nan_to_num(-9), after.x.nan_to_num(-9))
    for word, names in columns.items():
        for column in names:
            if "*" not in column and roles[word].moves == "no":
                assert after.schema.by_name[column].immutable
    assert any(not feature.immutable for feature in after.schema.features)


@real
@pytest.mark.parametrize("data", ["heart_disease_sites", "pima_diabetes"])
def test_no_noise_of_the_limit_makes_a_value_of_what_was_not_measured(data):
    profile = hf.profile("health")
    part = hf.data.load(data, split="train", profile="health")
    (_, noise), *_ = parse(profile.threat).limits
    names = [text.split(" == 0")[0] for table in profile.tables if table.name == data for text in table.relations]
    assert len(names) >= 2
    for j, feature in enumerate(part.schema.features):
        absent = part.x[:, j] == 0
        if feature.immutable or not absent.any() or feature.name in ("oldpeak", "exang", "pregnancies"):
            continue  # fixed, or 0 is a value
        assert feature.name in names
        rows = part.x[absent][:1].repeat(int(noise * feature.scale), 1)
        rows[:, j] = torch.arange(1, len(rows) + 1).to(rows)
        assert not part.schema.validate(rows).valid.any()


def net():
    columns = [hf.Feature("bytes_out", "integer", low=0, high=100, scale=10), hf.Feature("rate", low=0, high=1)]
    return hf.Schema((*columns, hf.Feature("kind", "categorical", levels=("a", "b"))), name="net")


def test_columns_of_another_table_by_their_roles():
    made = hf.profile("intrusion").of(net(), answered=["bytes_out"])
    out, rate, kind = made.features
    assert (out.direction, out.immutable, out.cost) == ("up", False, 0.2)
    assert rate.immutable
    assert kind.immutable
    x = torch.tensor([[5.0, 0.5, 1]])
    assert made.validate(torch.tensor([[7.0, 0.5, 1]]), x).valid.all()
    assert not made.validate(torch.tensor([[4.0, 0.5, 1]]), x).valid.any()


@pytest.mark.parametrize(
    ("columns", "code"),
    [({}, "HF311 "), ({"sends": ["rate"]}, "HF312 .*no role"), ({"sent": ["rat"]}, "HF312 .*no column"),
     ({"sent": ["rate"], "acted": ["rate"]}, "HF312 .*two roles")],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(columns, code):
    with pytest.raises(hf.ThreatError, match=code):
        hf.profile("intrusion").of(net(), **columns)


def test_unknown_names_and_data_that_are_no_table():
    with pytest.raises(hf.ThreatError, match=r"HF310 .*did you mean intrusion"):
        hf.profile("intrusions")
    plain = hf.Dataset(torch.zeros(2, 3), [0, 1])
    with pytest.raises(hf.ThreatError, match=r"HF311 .*none"):
        profiled(Splits(plain, plain), hf.profile("health"))


def test_a_profile_of_another_table_names_the_one_that_fits(monkeypatch):
    columns = {name: [1.0, 2.0] for name in ("bytes", "seconds")}
    data = hf.data.table({**columns, "label": ["a", "b"]}).test
    fits = profile("intrusion")
    known = dataclasses.replace(fits, tables=(Known("mine", {"sent": ("bytes", "seconds")}),))
    monkeypatch.setitem(loading.PROFILES, "intrusion", known)
    with pytest.raises(ThreatError, match="^HF311 .*the profile intrusion, which does. Fix: --profile intrusion"):
        loading.under(data, profile("spam"))


def test_a_constant_column_stays_and_immutable_ones_become_mutable():
    schema = hf.Schema((hf.Feature("one", low=1, high=1), hf.Feature("two", low=0, high=2, immutable=True)))
    one, two = hf.profile("health").of(schema, measured=["one", "two"]).features
    assert one.immutable
    assert not two.immutable
