"""L-BFGS: what SciPy finds by itself, row by row."""

import numpy as np
import torch
from scipy.optimize import Bounds, minimize

from holdfast.attacks.evasion.lbfgs import Lbfgs
from holdfast.attacks.run import run
from holdfast.threats.threats import L2
from laws.oracles import Spheres, balanced, corners, linear, torch_model, weights


def test_agrees_with_scipy_on_the_constrained_problem():
    """Least squared length under the constraint itself, by SLSQP with the exact gradient."""
    x, w = corners(4, 10), weights(1, 10)
    model = linear(w, balanced(w, x))
    y, z = model.labels(x), model.scores(x)[:, 1].numpy()
    out = run(Lbfgs(), model, x, y, L2())
    for i in range(4):
        v, a = w[0].numpy() * np.sign(-z[i]), x[i].numpy()
        exact = minimize(
            lambda u: u @ u,
            np.zeros(10),
            jac=lambda u: 2 * u,
            bounds=Bounds(-a, 1 - a),
            constraints={"type": "eq", "fun": lambda u, v=v, i=i: v @ u - abs(z[i]), "jac": lambda u, v=v: v},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 200},
        )
        least = np.linalg.norm(exact.x)
        assert least * (1 - 1e-6) <= out.distance("l2")[i].item() <= 1.02 * least


def test_one_constant_gives_the_minimizer_that_scipy_gives():
    """A single constant: the last point asked is SciPy's own minimizer of the same objective."""
    model, x = Spheres().model(), torch.full((1, 6), 0.5, dtype=torch.float64)
    y, seen = model.labels(x), []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    spied = torch_model(spy, 3, model.space)
    run(Lbfgs(searches=1, ways=1, constant=3.0), spied, x, y, L2(), perturb=True)
    way = int(torch.where(torch.arange(3) == y, -torch.inf, model.scores(x)[0]).argmax())

    def value(u):
        z = model.scores(x + 4 * torch.from_numpy(u))[0]
        return u @ u + c * np.logaddexp(0, float(z[y[0]] - z[way]))

    leaf = x.clone().requires_grad_()
    gap = model.module(leaf)[0, y[0]] - model.module(leaf)[0, way]
    (g,) = torch.autograd.grad(gap, leaf)
    c = 3.0 * 4 * abs(gap.item()) / (16 * g.square().sum().item())
    bounds = Bounds(((-2 - x) / 4).flatten().numpy(), ((2 - x) / 4).flatten().numpy())
    direct = minimize(value, np.zeros(6), method="L-BFGS-B", bounds=bounds, tol=1e-12)
    ours = ((seen[-1] - x) / 4).flatten().numpy()
    assert value(ours) <= direct.fun * (1 + 1e-5)


def test_only_the_row_is_asked():
    sizes = []
    base = linear(weights(3, 6))

    def spy(z):
        sizes.append(len(z))
        return base.module(z)

    x = corners(5, 6)
    run(Lbfgs(searches=3), torch_model(spy, 3), x, base.labels(x), L2())
    assert sizes.count(1) >= len(sizes) - 3  # the clean pass, the first gradients, the verification
