"""The table attack x law: how many tests hold each attack to each law; a gap is an error.

    python tools/law_table.py

The laws are those of docs/architecture.md, a test `test_NN_...` for law NN under tests/laws. A refusal is a tested
one-liner and counts under its own column.
"""

import collections
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAWS = {
    "01": "inside", "02": "true", "03": "nearest", "04": "strong", "05": "independent", "06": "shift", "07": "shapes",
    "08": "untouched", "09": "honest", "10": "targeted", "11": "ranges", "12": "more", "13": "budget", "14": "control",
    "refusals": "refusals",
}  # fmt: skip
EXEMPT = {("Noise", "14"): "it is the control"}


def table() -> dict[str, dict[str, int]]:
    """Attack -> law -> number of tests, from what pytest collects."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", "tests/laws"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sys.path.insert(0, str(ROOT / "src"))
    import holdfast.attacks

    counts: dict[str, dict[str, int]] = {name: collections.Counter() for name in holdfast.attacks.__all__}
    for test, cell in re.findall(r"::test_(\d\d|refusals)_\w+\[(.+)\]", listing):
        for name in counts:
            if re.search(rf"(^|-){name}(-|$)", cell):
                counts[name][test] += 1
    return counts


def gaps(counts: dict[str, dict[str, int]]) -> list[str]:
    """Attacks that a law does not reach."""
    cells = ((name, law) for name in counts for law in LAWS)
    return [f"{name} x {LAWS[law]}" for name, law in cells if not counts[name].get(law) and (name, law) not in EXEMPT]


def main() -> int:
    """Print the table; 1 where it has a gap."""
    counts = table()
    print("| attack | " + " | ".join(f"{law} {name}" if law != name else name for law, name in LAWS.items()) + " |")
    print("|---" * (len(LAWS) + 1) + "|")
    for name, row in counts.items():
        cells = (str(row[law]) if row.get(law) else EXEMPT.get((name, law), "GAP") for law in LAWS)
        print(f"| {name} | " + " | ".join(cells) + " |")
    missing = gaps(counts)
    print(f"{sum(map(len, counts.values()))} cells, {len(missing)} gaps" + ("".join(f"\n{gap}" for gap in missing)))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
