"""Every attack stands under every law."""

import importlib.util
import pathlib

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "law_table.py"


def tool():
    spec = importlib.util.spec_from_file_location("law_table", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_no_gap():
    law_table = tool()
    counts = law_table.table()
    assert law_table.gaps(counts) == []
    assert law_table.gaps({**counts, "Fresh": {}}) == [f"Fresh x {name}" for name in law_table.LAWS.values()]
