"""Run the blocks of one Markdown page in the current folder: `python page.py PAGE.md`.

`python` blocks share one namespace; those with `>>>` are compared like a doctest. In `console` blocks each line after
`$ ` is a command that must end with exit code 0; lines below it are compared with its output (`...`: anything).
"""

import dataclasses
import doctest
import pathlib
import re
import subprocess
import sys

BLOCK = re.compile(r"^( *)```+([^\n`]*)\n(.*?)^\1```+ *$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins on."""

    language: str
    text: str
    line: int


def blocks(path):
    """Every fenced block of a page."""
    text = path.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        indent, language, body = found.groups()
        plain = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
        yield Block(language.strip(), plain, text[: found.start()].count("\n") + 1)


def run_python(block, names, where):
    """Execute a block, or compare it like a doctest."""
    if ">>> " not in block.text:
        exec(compile("\n" * block.line + block.text, where, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, where, where, block.line)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    if runner.run(test, clear_globs=False).failed:
        raise SystemExit(f"{where}:{block.line}: the output differs")
    names.update(test.globs)


def run_console(block, where):
    """Run each command and compare what it printed with what the page says it prints."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.replace("\\\n", " ").partition("\n")
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"{where}:{block.line}: $ {command}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        if wanted.strip() and not doctest.OutputChecker().check_output(wanted, done.stdout, FLAGS):
            raise SystemExit(f"{where}:{block.line}: $ {command}\nwanted:\n{wanted}\ngot:\n{done.stdout}")


def main(path):
    """Run every block of the page, in order."""
    names = {"__name__": "__page__"}
    for block in blocks(path):
        if block.language == "python":
            run_python(block, names, str(path))
        elif block.language == "console":
            run_console(block, str(path))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
