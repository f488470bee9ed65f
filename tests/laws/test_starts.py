"""Law 5 where starts go side by side: any attack, repeated, in any company, without a budget that would part them.

FMN begins where the nearest success is known, so that it shows what its later starts were told.
"""

import pytest
import torch

from cases.evasion import CASES, FULL
from holdfast.attacks.evasion.fmn import Fmn
from holdfast.attacks.repeat import Repeat
from holdfast.attacks.run import run
from laws.oracles import Poisoned, alone, setting
from laws.test_independence import same

MET = [case.brief for i, case in enumerate(CASES) if FULL or i % 6 == 0 or isinstance(case.attack, Fmn)]


@pytest.mark.parametrize("case", MET, ids=str)
def test_05_starts_side_by_side_in_any_company(case, monkeypatch):
    model, x, y = setting(n=5)
    model, turned = alone(model), torch.arange(5).flip(0)
    attack = Repeat(case.attack, 3)
    whole = run(attack, model, x, y, case.bounded, batch=5)
    assert same(whole, run(attack, model, x, y, case.bounded, batch=1))
    assert same(whole, run(attack, model, x[turned], y[turned], case.bounded, batch=2, ids=turned), turned)
    assert same(whole, run(attack, model, x, y, case.bounded, batch=5, probe=Poisoned))
    perturbed = run(attack, model, x[:3], y[:3], case.bounded, perturb=True)
    monkeypatch.setattr("holdfast.attacks.side_by_side.ABREAST", 1)
    assert same(perturbed, run(attack, model, x[:3], y[:3], case.bounded, perturb=True)), "in turn or side by side"
