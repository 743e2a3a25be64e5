"""The package's floors: each imports only from those below it, and the low ones need NumPy alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "course_lib"
SHARED = {"runtime", "claims", "_check", "_tree"}
# What a floor may import of the package, besides SHARED and itself; and of other libraries, besides the standard one.
BELOW = {
    "runtime": (set(), {"numpy"}),
    "claims": (set(), {"numpy"}),
    "_check": (set(), {"numpy"}),
    "_tree": (set(), {"numpy"}),
    "optimization": (set(), {"numpy"}),
    "autodiff": (set(), {"numpy"}),
    "regularization": ({"optimization"}, {"numpy"}),
    "evaluation": ({"optimization"}, {"numpy", "scipy"}),
    "layers": (set(), {"numpy", "keras"}),
    "audio": (set(), {"numpy", "scipy"}),
    "data": ({"audio"}, {"numpy", "scipy"}),
    "text": ({"data"}, {"numpy", "tokenizers"}),
    "models": ({"audio", "data", "evaluation", "layers", "text"}, {"numpy", "keras", "scipy"}),
    "training": ({"data", "evaluation", "layers", "models", "optimization", "text"}, {"numpy", "keras"}),
    "plotting": (set(), {"numpy", "matplotlib", "cycler"}),
}
# Imported inside a function, when it is called: what only some callers need.
LAZY = {
    "runtime": {"keras", "tensorflow", "jax", "torch"},
    "evaluation": {"keras", "tensorflow"},
    "audio": {"soundfile"},
    "data": {"PIL", "sklearn", "tensorflow"},
    "models": {"h5py", "safetensors"},
    "training": {"tensorflow", "jax", "torch"},
    "plotting": {"IPython"},
}


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST):
    """Yield (module, whether the import stands inside a function) for every import."""
    for node, inside in walk(tree, False):
        if isinstance(node, ast.Import):
            yield from ((name.name, inside) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            if node.module == "course_lib":
                yield from ((f"course_lib.{name.name}", inside) for name in node.names)
            else:
                yield node.module, inside


def walk(node: ast.AST, inside: bool):
    """Yield every node with whether a function holds it; imports for the type checker alone are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        deeper = inside or isinstance(child, ast.FunctionDef)
        yield child, deeper
        yield from walk(child, deeper)


def wrong_imports(floor: str, source: str) -> list[str]:
    ours, others = BELOW[floor]
    wrong = []
    for module, lazy in imports(ast.parse(source)):
        top, _, rest = module.partition(".")
        if top == "course_lib":
            allowed = rest.split(".")[0] in ours | SHARED | {floor}
        else:
            allowed = top in sys.stdlib_module_names or top in others or (lazy and top in LAZY.get(floor, set()))
        if not allowed:
            wrong.append(module)
    return wrong


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_below(path):
    if path != PACKAGE / "__init__.py":
        assert wrong_imports(floor_of(path), path.read_text(encoding="utf-8")) == []


def test_wrong_imports_are_found():
    assert wrong_imports("optimization", "import keras") == ["keras"]
    assert wrong_imports("optimization", "from course_lib import plotting") == ["course_lib.plotting"]
    assert wrong_imports("evaluation", "import keras\ndef f():\n    import keras") == ["keras"]
    assert wrong_imports("claims", "import json, numpy as np\nfrom course_lib import _check") == []


@pytest.mark.parametrize("floor", [floor for floor, (_, others) in BELOW.items() if others == {"numpy"}])
def test_low_floors_load_no_framework(floor):
    code = (
        f"import sys, course_lib.{floor}\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'sklearn', 'scipy', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
