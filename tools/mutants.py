"""Break the code on purpose and see a test fail: seeded mutants of the mathematics, and which of them survive.

    python tools/mutants.py --count 50 --seed 0 -o mutants.json

A mutant swaps an operator, changes a constant or drops a statement in a copy of the package; the tests of geometry,
threats and laws (for an attack's file only its own rows) run until the first failure. A survivor is a change that no
test notices: a missing test, or a change that makes no difference.
"""

import argparse
import ast
import concurrent.futures
import copy
import dataclasses
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ["geometry", "threats"]
FILES = ["attacks/probe.py", "attacks/run.py", "attacks/outcome.py", "attacks/losses.py"]
ATTACKS = {
    "pgd": "Pgd",
    "apgd": "Apgd",
    "fab_t": "FabT",
    "ddn": "Ddn",
    "carlini_wagner": "CarliniWagner",
    "square": "Square",
}
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SLOW = "not Lbfgs and not CarliniWagner"  # the slowest rows add minutes to each survivor of a shared file
NAMES = {
    "minimum": "maximum",
    "maximum": "minimum",
    "amin": "amax",
    "amax": "amin",
    "argmin": "argmax",
    "argmax": "argmin",
}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: the n-th site of a file.

    Args:
        file: Path below the package.
        site: Number of the site in that file.
        line: Line of the change.
        change: What was changed into what.
    """

    file: str
    site: int
    line: int
    change: str


class Sites(ast.NodeTransformer):
    """Counts the places where a file could be mutated and, given a number, mutates that one."""

    def __init__(self, chosen: int | None = None):
        self.chosen, self.count, self.inside = chosen, 0, 0
        self.found: list[tuple[int, int, str]] = []

    def _offer(self, node: ast.AST, change: str) -> bool:
        mine = self.count == self.chosen
        self.found.append((self.count, node.lineno, change))
        self.count += 1
        return mine

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name in ("__repr__", "words", "_moves", "describe", "_unreadable"):
            return node
        self.inside += 1
        node.body = [self.visit(statement) for statement in node.body]
        self.inside -= 1
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        return self._drop(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return self._drop(node) if isinstance(node.value, ast.Call) else node

    def _drop(self, node: ast.AugAssign | ast.Expr) -> ast.AST:
        if self.inside and self._offer(node, "statement dropped"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self.inside and node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return self._swap(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        return self._swap(node)

    def _swap(self, node: ast.BinOp | ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        other = SWAPS.get(type(node.op))
        if self.inside and other and self._offer(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        other = SWAPS.get(type(node.ops[0]))
        if self.inside and other and self._offer(node, f"{type(node.ops[0]).__name__} -> {other.__name__}"):
            node.ops[0] = other()
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        droppable = self.inside and isinstance(node.op, ast.USub | ast.Invert | ast.Not)
        return node.operand if droppable and self._offer(node, f"{type(node.op).__name__} dropped") else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if self.inside and type(node.value) in (int, float):
            new = node.value + 1 if isinstance(node.value, int) else node.value * 1.5 or 1.0
            if self._offer(node, f"{node.value} -> {new}"):
                return ast.copy_location(ast.Constant(new), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        other = NAMES.get(node.attr)
        if self.inside and other and self._offer(node, f"{node.attr} -> {other}"):
            node.attr = other
        return node


def sites(file: str) -> list[Mutant]:
    """Every mutant of a file."""
    walk = Sites()
    walk.visit(ast.parse((ROOT / "src/holdfast" / file).read_text()))
    return [Mutant(file, *found) for found in walk.found]


def candidates() -> list[Mutant]:
    """Every mutant of every file in question."""
    base = ROOT / "src/holdfast"
    files = [f for folder in FOLDERS for f in sorted(base.glob(f"{folder}/*.py"))] + [base / f for f in FILES]
    files += [base / "attacks/evasion" / f"{name}.py" for name in ATTACKS]
    return [m for f in files if f.exists() for m in sites(str(f.relative_to(base)))]


def survives(mutant: Mutant, processes: int) -> tuple[bool, str]:
    """Whether all tests pass on the mutant, and the first that failed."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "src"
        shutil.copytree(ROOT / "src", source)
        path = source / "holdfast" / mutant.file
        tree = Sites(mutant.site).visit(copy.deepcopy(ast.parse(path.read_text())))
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)))
        name = ATTACKS.get(pathlib.Path(mutant.file).stem)
        tests = (
            ["tests/attacks", "tests/laws"]
            if name
            else ["tests/geometry", "tests/threats", "tests/attacks", "tests/laws"]
        )
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:randomly",
            "-p",
            "no:cacheprovider",
            "-n",
            str(processes),
        ]
        command += ["-o", "addopts=--import-mode=importlib", "--timeout=120"]
        command += [t for t in tests if (ROOT / t).exists()] + [
            "-k",
            f"{name} or {pathlib.Path(mutant.file).stem}" if name else SLOW,
        ]
        env = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
        except subprocess.TimeoutExpired:
            return False, "timeout"
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return done.returncode == 0, failed[0] if failed else f"exit {done.returncode}"


def main() -> None:
    """Draw, run, print the share killed and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--list", action="store_true", help="print the chosen mutants and stop")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=None)
    options = parser.parse_args()
    pool = candidates()
    chosen = sorted(random.Random(options.seed).sample(pool, options.count), key=lambda m: (m.file, m.line, m.site))
    print(f"{len(chosen)} of {len(pool)} possible mutants", flush=True)
    if options.list:
        print(*(f"{m.file}:{m.line} {m.change}" for m in chosen), sep="\n")
        return
    results, began = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
        for mutant, (alive, first) in zip(chosen, executor.map(lambda m: survives(m, 0), chosen), strict=True):
            results.append({**dataclasses.asdict(mutant), "survived": alive, "first": first})
            print(
                f"{'SURVIVED' if alive else 'killed  '} {mutant.file}:{mutant.line} {mutant.change}  {first}",
                flush=True,
            )
            if options.out:
                options.out.write_text(json.dumps(results, indent=1))
    killed = sum(not r["survived"] for r in results)
    print(f"killed {killed} of {len(results)} = {killed / len(results):.0%} in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
