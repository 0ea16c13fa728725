"""What `import scrframe` offers."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import scrframe


def test_only_public_names_are_listed_and_all_are_there():
    assert dir(scrframe) == sorted(scrframe.__all__)
    for name in dir(scrframe):
        assert getattr(scrframe, name) is not None


def test_names_have_the_types_that_a_checker_sees():
    """Imports for type checkers name the same homes as those at run time."""
    tree = ast.parse(Path(scrframe.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: each.module for each in block.body for alias in each.names}
    assert seen == scrframe._HOME
    assert {*seen, "__version__"} == set(scrframe.__all__)


def test_public_functions_are_typed_and_documented():
    for name in set(scrframe.__all__) - {"__version__", "hookimpl"}:
        found = getattr(scrframe, name)
        assert found.__doc__ and not found.__doc__.startswith(f"{name}("), name
        if not isinstance(found, type):
            assert inspect.signature(found).return_annotation is not inspect.Signature.empty, name


def test_importing_it_loads_no_heavy_library():
    code = "import sys, scrframe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "astropy", "pandas", "pyarrow", "scipy", "matplotlib", "sklearn", "pydantic"}
    assert not heavy & set(done.stdout.split())
