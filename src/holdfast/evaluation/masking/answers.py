"""What the model answers twice, alone, and in other company.

Idea: an attack compares answers at nearby points. Where the answer to one and the same input changes, from pass to pass
or with the other rows of the batch, or where it is so sure that nothing of it changes, that comparison says nothing.
Cost: 3 + COMPANY = 6 forward passes a sample, once a run.
Source: Athalye, Carlini, Wagner, ICML 2018, arXiv:1802.00420 (stochastic gradients); Carlini et al. 2019,
arXiv:1902.06705 (saturated scores, batches of one).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking.limits import COMPANY
from holdfast.evaluation.rows import AnswerRow
from holdfast.evaluation.work import Answers, Bench
from holdfast.geometry.draw import Draw
from holdfast.models.exhausted import out_of_memory
from holdfast.models.model import Model
from holdfast.models.spending import unremembered
from holdfast.threats.goals import Answer, Wrong, overall


def answers(bench: Bench, keys: Sequence[str]) -> Answers:
    """Ask each sample twice in the batch, alone, and among strangers that are random inputs of its own.

    What is remembered of a model does not answer here: it would repeat itself whatever the model does.
    """
    x, y = bench.take(keys)
    model, (low, high) = unremembered(bench.model), bench.model.space.limits(x)
    strangers = low[:, None] + (high - low)[:, None] * Draw(
        bench.seed, "masking company", [number_of(key) for key in keys], x
    ).uniform(COMPANY, *x.shape[1:])
    with model.borrowed(), torch.no_grad():  # one loan: a second one would begin with the same random numbers
        first, second = _asked(model, x, bench.batch), _asked(model, x, bench.batch)
        alone = torch.cat([_asked(model, row[None], 1) for row in x])
        companies = (torch.cat([row[None], rest]) for row, rest in zip(x, strangers, strict=True))
        among = _among(model, companies)
    spread = (first.amax(1) - first.amin(1)).clamp(min=1e-30)
    margin = overall(Wrong(y.to(first.device)).margins(Answer(first)))
    rows = [
        AnswerRow(
            key=key,
            status="ok",
            margin=float(margin[i]) if margin[i].isfinite() else None,
            passes=_moved(first[i], second[i], spread[i]),
            company=None if among is None else _moved(alone[i], among[i], spread[i]),
            reason="",
        )
        for i, key in enumerate(keys)
    ]
    return Answers(rows, {}, (3 + COMPANY) * len(keys))


def failed(key: str, why: str) -> AnswerRow:
    """A sample that the model failed on."""
    return AnswerRow(key=key, status="error", margin=None, passes=None, company=None, reason=why)


def _among(model: Model, companies: Iterable[Tensor]) -> Tensor | None:
    """The first answer of each company; None where memory does not hold one, which then is not asked about."""
    try:
        return torch.cat([_asked(model, company, COMPANY + 1)[:1] for company in companies])
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None


def _asked(model: Model, x: Tensor, batch: int) -> Tensor:
    return torch.cat([model.answer(rows).scores for rows in torch.split(x, batch)]).double()


def _moved(a: Tensor, b: Tensor, spread: Tensor) -> float | None:
    """How far apart two answers are, as a share of the spread of the scores; at least 1 where the decision differs."""
    far = float(((a - b).abs() / spread).nan_to_num(0.0, 0.0, 0.0).amax())
    return max(far, 1.0) if int(a.argmax()) != int(b.argmax()) else far
