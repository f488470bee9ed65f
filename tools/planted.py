"""Plant each bug of the regression tests `test_bNN_...` in a copy of the package, and see the test fail.

    python tools/planted.py                    # a table; exit code 1 where a bug goes unnoticed
    python tools/planted.py --only B6 --markdown

First all these tests run on the package as it is, and must pass. Then each bug is planted alone, and each test named
beside it must fail in at least one of its cases. A text that a patch does not find, or finds twice, and a `test_bNN_`
without a planted bug count as unnoticed too. Ten minutes of one core.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUGS, TORCH, WAGNER = "tests/laws/test_bugs.py", "tests/models/test_torch.py", "tests/attacks/test_carlini_wagner.py"
FOOL, FUNCTION, SKLEARN = (
    "tests/attacks/test_deep_fool.py",
    "tests/models/test_function.py",
    "tests/models/test_sklearn.py",
)


@dataclasses.dataclass(frozen=True)
class Planted:
    """One bug in one file.

    Args:
        bug: Its number among the regression tests.
        what: In words.
        file: Below the package.
        edits: Exact texts, each found once, and what they become.
        tests: Those that must fail, as pytest names them, without cases.
        only: Of the cases those that run, as `pytest -k` wants it; all of them where empty.
    """

    bug: str
    what: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    only: str = ""


# fmt: off
PLANTED = [
    Planted("B1", "the other classes are masked by a product with zero: 0 is among their scores", "threats/goals.py",
        (
            (
                "z.gather(1, y) - z.gather(1, others), others < y",
                "z.gather(1, y) - z.gather(1, others).relu(), others < y",
            ),
        ),
        (f"{WAGNER}::test_b01_negative_scores_hide_nothing",),
    ),
    Planted("B1", "logits cut off at 30, against overflow", "models/outputs.py",
        (("    z = raw.reshape(len(raw), -1)\n", "    z = raw.reshape(len(raw), -1).clamp(-30, 30)\n"),),
        (f"{TORCH}::test_b01_a_constant_on_all_logits_changes_nothing",),
    ),
    Planted("B2", "gradients divided by their mean length in the batch", "geometry/rows.py",
        (("    scale = norm(x, p)\n", "    scale = norm(x, p).mean().expand(len(x))\n"),),
        (f"{BUGS}::test_b02_a_row_without_gradient_changes_nothing_for_the_others",),
        "Pgd-l2 or Fmn-l2 or Alma-l2",
    ),
    Planted("B2", "Adam's second moment is a mean over the batch", "geometry/adam.py",
        (("(1 - SECOND) * gradient.square()", "(1 - SECOND) * gradient.square().mean(0, keepdim=True)"),),
        (f"{BUGS}::test_b02_a_row_without_gradient_changes_nothing_for_the_others",),
        "CarliniWagnerLinf",
    ),
    Planted("B2", "each step is as long as the batch's mean margin wants", "attacks/evasion/deep_fool.py",
        (("region.crossing(x, w, -f)", "region.crossing(x, w, -f.mean().expand_as(f))"),),
        (f"{FOOL}::test_b02_a_sample_without_gradient_changes_nothing_for_the_others",),
    ),
    Planted("B3", "a random start outside the budget", "threats/regions.py",
        (
            (
                "self.project(self.lower + (self.upper - self.lower) * draw.uniform(*self.x0.shape[1:]))",
                "self.x0 + expand(self.radius.to(self.x0), self.x0) * draw.normal(*self.x0.shape[1:])",
            ),
        ),
        (f"{BUGS}::test_b03_every_iterate_lies_inside",),
        "Pgd-linf",
    ),
    Planted("B3", "projected around the last iterate", "attacks/evasion/pgd.py",
        (
            (
                "            x = region.project(",
                "            around = type(region)(x, region.radius, region.low, region.high)\n"
                "            x = around.project(",
            ),
        ),
        (f"{BUGS}::test_b03_every_iterate_lies_inside",),
        "Pgd-l2",
    ),
    Planted("B4", "the projection onto the L1 ball returns its input", "geometry/projections.py",
        (("torch.minimum((size - t).clamp(min=0), cap)", "size"),),
        (f"{BUGS}::test_b04_projection_is_the_convex_program_and_idempotent",),
    ),
    Planted("B4", "projected onto the L2 ball, then cut to the box", "geometry/projections.py",
        (("now = clipped | (s * size >= cap)", "now = clipped"),),
        (f"{BUGS}::test_b04_projection_is_the_convex_program_and_idempotent",),
    ),
    Planted("B4", "the step under L1 is the gradient over its length", "threats/regions.py",
        (
            (
                "        cap = projections.room(g, x, self.low, self.high).flatten(1)\n        order",
                "        return expand(self.radius.to(g), g) * unit(g, p=1)\n        cap = x\n        order",
            ),
        ),
        (f"{BUGS}::test_b04_one_step_is_the_best_one_of_the_linearized_loss",),
    ),
    Planted("B5", "a target is judged by the untargeted criterion", "attacks/run.py",
        (
            (
                "goal = y if isinstance(y, Goal) else",
                "goal = Wrong(x.new_zeros(len(x)).long()) if isinstance(y, Goal) else",
            ),
        ),
        (f"{BUGS}::test_b05_reaching_a_third_class_is_no_targeted_success",),
        "Pgd-linf or DeepFool-linf",
    ),
    Planted("B6", "norm < radius, in floats", "threats/regions.py",
        (("<= self.radius[rows] * (1 + TOLERANCE)", "< self.radius[rows]"),),
        (f"{BUGS}::test_b06_a_point_exactly_at_the_radius_counts",),
    ),
    Planted("B6", "fewer values than the radius in L0", "threats/regions.py",
        (("(self.distance(x, rows) <= self.radius[rows])", "(self.distance(x, rows) < self.radius[rows])"),),
        (f"{BUGS}::test_b06_a_point_exactly_at_the_radius_counts",),
    ),
    Planted("B7", "the ratio asks for a third score where there are two", "attacks/losses.py",
        (("    if z.shape[1] < last:\n        return torch.ones_like(z[:, 0])\n", ""),),
        (f"{BUGS}::test_b07_losses_are_finite_for_few_classes_and_ties",),
    ),
    Planted("B7", "a ratio without a least denominator", "attacks/losses.py",
        ((".clamp(min=TIED)", ""),),
        (f"{BUGS}::test_b07_losses_are_finite_for_few_classes_and_ties",),
    ),
    Planted("B8", "returned is a point a little nearer than the one that was checked", "attacks/run.py",
        (("put(p.nearest, lost, take(p.x0, lost))", "put(torch.lerp(p.x0, p.nearest, 0.9), lost, take(p.x0, lost))"),),
        (f"{BUGS}::test_b08_the_point_that_was_checked_is_the_point_returned",),
        "Ddn-l2 or CarliniWagnerLinf",
    ),
    Planted("B9", "a softmax at the end is not looked for", "models/torch_module.py",
        (("opened, ending = cut_open(net)", 'opened, ending = net, ""'),),
        (
            f"{TORCH}::test_b09_softmax_ended_equals_logits",
            f"{TORCH}::test_b09_nested_log_softmax_is_cut",
            f"{TORCH}::test_b09_a_softmax_declared_as_logits_is_refused",
        ),
    ),
    Planted("B9", "probabilities are taken for logits", "models/outputs.py",
        (('Reading("probabilities", ', 'Reading("logits", '),),
        (
            f"{TORCH}::test_b09_a_softmax_inside_forward_is_recognized",
            f"{TORCH}::test_b09_saturation_is_noticed",
        ),
    ),
    Planted("B9", "a column between 0 and 1 is taken for a logit", "models/outputs.py",
        (("if bool(((values >= 0) & (values <= 1)).all()):", "if not len(values):"),),
        (f"{FUNCTION}::test_b09_a_column_between_zero_and_one_is_refused",),
    ),
    Planted("B10", "the way back through a stage is the identity", "models/model.py",
        (("stage.passed(x, self.space) if gradient", "x + (stage.apply(x, self.space) - x).detach() if gradient"),),
        (f"{BUGS}::test_b10_the_gradient_of_a_chain_is_taken_where_the_input_has_come_to",),
    ),
    Planted("B10", "a stage is ignored", "models/model.py",
        (("answer = base.answer(inside, gradient)", "answer = base.answer(x, gradient)"),),
        (f"{BUGS}::test_b10_every_stage_that_is_switched_off_changes_the_answer_and_the_gradient",),
    ),
    Planted("B10", "a gradient where a scaler clips", "models/twin.py",
        (("else y.clamp(*self.clip)", "else y + (y.clamp(*self.clip) - y).detach()"),),
        (f"{SKLEARN}::test_b10_gradient_flows_through_every_stage_and_stops_where_one_clips",),
    ),
    Planted("B11", "the gradient lacks the division by the deviation", "models/torch_module.py",
        (
            (
                'inside = inside / _spread(self.std, inside, "std")',
                'inside = inside + (inside / _spread(self.std, inside, "std") - inside).detach()',
            ),
        ),
        (f"{TORCH}::test_b11_adapter_gradients_are_finite_differences",),
    ),
    Planted("B11", "a gradient of 1/K of its size", "models/twin_heads.py",
        (
            (
                "z: Tensor = x @ near(self.weight, x) + near(self.bias, x)\n        return z",
                "z: Tensor = x @ near(self.weight, x) + near(self.bias, x)\n"
                "        return z / z.shape[1] + (z - z / z.shape[1]).detach()",
            ),
        ),
        (f"{SKLEARN}::test_b11_twin_gradients_are_finite_differences_of_the_estimator",),
    ),
    Planted("B12", "the model stays in evaluation mode", "models/borrow.py",
        (("module.training = mode", "module.training = False"),),
        (f"{TORCH}::test_b12_the_module_and_the_process_come_back_as_they_were",),
    ),
    Planted("B12", "buffers keep what the attack's passes made of them", "models/borrow.py",
        (("module._buffers[name] = _same(buffer, copy)", "module._buffers[name] = buffer"),),
        (f"{TORCH}::test_b12_the_module_and_the_process_come_back_as_they_were",),
    ),
    Planted("B12", "the random numbers of the process have moved on", "models/borrow.py",
        (("        torch.set_rng_state(self.torch_random)\n", ""),),
        (f"{TORCH}::test_b12_the_module_and_the_process_come_back_as_they_were",),
    ),
    Planted("B12", "the caller's autocast goes on inside", "models/borrow.py",
        (('stack:\n        for device in ("cpu", "cuda"):', 'stack:\n        for device in ("cuda",):'),),
        (f"{TORCH}::test_b12_autocast_of_the_caller_is_off_inside_and_on_again_after",),
    ),
    Planted("B12", "the caller's own array goes to the model", "models/function.py",
        (("else None, copy=True)", "else None, copy=None)"),),
        (
            f"{FUNCTION}::test_b12_the_function_gets_an_array_of_its_own",
            f"{SKLEARN}::test_b12_the_estimator_gets_an_array_of_its_own",
        ),
    ),
    Planted("B13", "gradients add up from step to step", "attacks/probe.py",
        (
            (
                "        return Slope(self._back(gradient)",
                '        gradient = self.heap = gradient + getattr(self, "heap", 0)\n'
                "        return Slope(self._back(gradient)",
            ),
            (
                "        return Jacobian(self._back(gradients)",
                '        gradients = self.heaps = gradients + getattr(self, "heaps", 0)\n'
                "        return Jacobian(self._back(gradients)",
            ),
        ),
        (f"{BUGS}::test_b13_gradients_do_not_add_up_from_step_to_step",), "FabT or DeepFool or Alma",
    ),
    Planted("B13", "Adam goes on where the last run ended", "attacks/evasion/carlini_wagner.py",
        (("cube.start, Adam(probe.x0)", "cube.start, vars(CarliniWagner.search).setdefault(str(x0.shape), Adam(x0))"),)
        + (("x0, v, adam = probe.x0,", "x0 = probe.x0\n        v, adam ="),),
        (f"{WAGNER}::test_b13_the_state_of_one_search_does_not_leak_into_another_row_or_run",),
    ),
    Planted("B13", "only the last sample of a batch is changed", "attacks/evasion/carlini_wagner.py",
        (("going, reached = torch.ones_like(probe.alive),", "going, reached = torch.arange(len(c)) == len(c) - 1,"),),
        (f"{WAGNER}::test_b13_the_state_of_one_search_does_not_leak_into_another_row_or_run",),
    ),
]
# fmt: on


def name_of(test: str) -> str:
    """The function of a test, without file and case."""
    return test.split("::")[1].split("[")[0]


def tested(source: pathlib.Path, tests: tuple[str, ...], only: str) -> dict[str, tuple[int, int]]:
    """Of each test the cases that failed and those that ran, on the package below `source`.

    Raises:
        RuntimeError: Where pytest ran no tests, or the package does not run.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "--no-header", "--show-capture=no"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    command += ["--timeout=300", *tests, *(["-k", only] if only else [])]
    env = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=3600)
    counts = {name_of(test): (0, 0) for test in tests}
    for word, test in re.findall(r"^(PASSED|FAILED|ERROR) (tests/\S+)", done.stdout, re.MULTILINE):
        failed, ran = counts[name_of(test)]
        counts[name_of(test)] = (failed + (word != "PASSED"), ran + 1)
    unfit = re.search(r"NameError|ImportError|SyntaxError", done.stdout)  # of the patch itself, which proves nothing
    if unfit or done.returncode not in (0, 1) or not all(ran for _, ran in counts.values()):
        raise RuntimeError(f"the tests did not run: {' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return counts


def where(planted: Planted) -> str:
    """File and line, or why the patch no longer applies."""
    text = (ROOT / "src/holdfast" / planted.file).read_text()
    lost = [old for old, _ in planted.edits if text.count(old) != 1]
    if lost:
        return f"{planted.file}: found {text.count(lost[0])} times: {lost[0]!r}"
    return f"{planted.file}:{text[: text.index(planted.edits[0][0])].count(chr(10)) + 1}"


def unplanted(chosen: list[Planted], only: str) -> dict[str, tuple[int, int]]:
    """The same tests on the package as it is."""
    return tested(ROOT / "src", tuple(dict.fromkeys(t for p in chosen if p.only == only for t in p.tests)), only)


def seen(planted: Planted) -> dict[str, tuple[int, int]]:
    """Of each test the cases that failed and ran with the bug planted; none where the patch does not apply."""
    if ": found" in where(planted):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "holdfast" / planted.file
        text = path.read_text()
        for old, new in planted.edits:
            text = text.replace(old, new)
        path.write_text(text)
        return tested(source, planted.tests, planted.only)


def bare() -> set[str]:
    """Regression tests that no planted bug is for."""
    found = [re.findall(r"def (test_b\d\d_\w+)", p.read_text()) for p in sorted((ROOT / "tests").rglob("test_*.py"))]
    return {name for names in found for name in names} - {name_of(t) for p in PLANTED for t in p.tests}


def main() -> None:
    """Plant one after the other, print the table, exit 1 where something goes unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="one bug, such as B6")
    parser.add_argument("--markdown", action="store_true", help="a table for the documentation")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    options = parser.parse_args()
    chosen = [p for p in PLANTED if options.only in ("", p.bug)]
    unnoticed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        sound = {only: pool.submit(unplanted, chosen, only) for only in {p.only for p in chosen}}
        for planted, counts in zip(chosen, pool.map(seen, chosen), strict=True):
            for test in map(name_of, planted.tests):
                failed, ran = counts.get(test, (0, 0))
                broken = sound[planted.only].result()[test][0]
                good = failed > 0 and not broken
                unnoticed += not good
                told = (
                    f"{failed} of {ran}" if good else "fails unplanted" if broken else f"UNNOTICED, {failed} of {ran}"
                )
                cells = (planted.bug, planted.what, where(planted), test, told)
                print(f"| {' | '.join(cells)} |" if options.markdown else "  ".join(cells), flush=True)
    alone = bare()
    print(*(f"no bug is planted for {name}" for name in sorted(alone)), sep="\n", end="\n" if alone else "")
    sys.exit(1 if unnoticed or alone else 0)


if __name__ == "__main__":
    main()
