"""What a chapter notebook is made of: reading it, finding its parts, and running it in a fresh kernel."""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
DEFINITIONS = Path(__file__).parent / "definitions"
CELL_SECONDS = 120  # no cell of a chapter may take longer, at any scale short of gpu

PARTS = (
    "question",
    "idea",
    "derivation",
    "numpy",
    "check",
    "keras",
    "experiment",
    "sources",
    "pitfalls",
    "take-away",
    "exercises",
    "references",
)
OPTIONAL_PARTS = {"sources"}
FIXED_HEADINGS = {
    "pitfalls": "Pitfalls",
    "take-away": "Take-away",
    "exercises": "Exercises",
    "references": "References",
}
LEVELS = ("compute", "code", "explain", "open")

_EXERCISE = re.compile(r"### Exercise (\d+) \((\w+)\)")
_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def paths(names: list[str] | None = None) -> list[Path]:
    """List the given notebooks, or all chapters."""
    return [Path(name) for name in names] if names else sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path) -> NotebookNode:
    """Read a notebook without converting it, so that an old format is noticed and not silently repaired."""
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def write(notebook: NotebookNode, path: Path) -> None:
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def course(notebook: NotebookNode) -> dict:
    """Give the metadata under the key ``course``; an empty dict where there is none."""
    return notebook.metadata.get("course", {})


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if tag in tags(cell)]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_hash(notebook: NotebookNode) -> str:
    """Name the code that was measured. The setup cell is left out: a new address of the course changes no result."""
    sources = [cell.source for cell in code_cells(notebook) if "setup" not in tags(cell)]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def syntax(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, ast.Module]]:
    """Parse each code cell that is plain Python; the lint reports the others."""
    for cell in code_cells(notebook):
        try:
            yield cell, ast.parse(cell.source)
        except SyntaxError:
            continue


def imports(notebook: NotebookNode) -> set[str]:
    """Name the top-level packages that the chapter imports."""
    found = set()
    for _, tree in syntax(notebook):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


def definitions(notebook: NotebookNode) -> set[str]:
    """Name the functions and classes that the chapter defines at top level."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for _, tree in syntax(notebook) for node in tree.body if isinstance(node, kinds)}


def public_names(package: Path = ROOT / "course_lib") -> set[str]:
    """Name what the package offers, from its ``__all__`` lists; nothing is imported."""
    names: set[str] = set()
    for file in package.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                names |= set(ast.literal_eval(node.value))
    return names


def compared_names(notebook: NotebookNode) -> set[str]:
    """Name the definitions that stand in both the notebook and the package, without what only shares a name."""
    same = (definitions(notebook) & public_names()) - set(course(notebook).get("own", {}))
    return same | set(course(notebook).get("ships", {}))


def comparisons(slug: str) -> Path:
    """Give the file that compares a chapter's definitions with the package; it need not exist."""
    return DEFINITIONS / f"chapter_{slug[:2]}.py"


@dataclass(frozen=True)
class Exercise:
    number: int
    level: str
    text: str
    solution: str | None

    @property
    def code(self) -> list[str]:
        """The Python fences of the solution, which the suite runs."""
        return _FENCE.findall(self.solution or "")


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """Read the cells that start with ``### Exercise k (level)``."""
    found = []
    for cell in notebook.cells:
        heading = _EXERCISE.match(cell.source)
        if cell.cell_type != "markdown" or not heading:
            continue
        text, summary, rest = cell.source.partition("<details>\n<summary>Solution</summary>\n\n")
        solution, end, _ = rest.partition("\n\n</details>")
        found.append(Exercise(int(heading[1]), heading[2], text, solution if summary and end else None))
    return found


# Runs inside the kernel before the first cell. It lets the chapter reach this machine and the declared hosts only, so
# that a download which the header does not name fails. A child process would not inherit it: see the proxies below.
_GUARD = """
def guard(hosts):
    import ipaddress, socket
    connect, look_up, known = socket.socket.connect, socket.getaddrinfo, set()

    def refuse(host):
        raise OSError(f"the chapter reaches for {{host}}, which course.downloads in its metadata does not declare")

    def local(host):
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host in ("localhost", "")

    def getaddrinfo(host, *rest, **named):
        name = host.decode() if isinstance(host, bytes) else host
        if not (name is None or local(name) or name in known or name in hosts):
            refuse(name)
        found = look_up(host, *rest, **named)
        known.update(entry[4][0] for entry in found)
        return found

    def checked(self, address):
        named = isinstance(address, tuple)
        if named and not (local(address[0]) or address[0] in known or address[0] in hosts):
            refuse(address[0])
        return connect(self, address)

    socket.getaddrinfo, socket.socket.connect = getaddrinfo, checked

guard({hosts!r})
del guard
"""


def run(
    notebook: NotebookNode,
    *,
    scale: str,
    seed: int,
    environment: dict[str, str] | None = None,
    before: Callable[[NotebookClient], None] = lambda client: None,
    after: Callable[[NotebookClient], None] = lambda client: None,
) -> list[str]:
    """Run a notebook in place from a fresh kernel.

    Parameters
    ----------
    notebook : NotebookNode
        Its outputs and execution counts are replaced.
    scale, seed : str and int
        The run's ``COURSE_SCALE`` and ``COURSE_SEED``.
    environment : dict, optional
        More environment variables of the kernel.
    before, after : callable
        Called with the client when the kernel is ready, before the first cell, and after the last.

    Returns
    -------
    list of str
        One text for every cell that failed. Cells after a failure run too: what they say may help.
    """
    hosts = [entry["host"] for entry in course(notebook).get("downloads", [])]
    variables = {
        **{name: value for name, value in os.environ.items() if name != "COURSE_CLAIMS_LOG"},
        "COURSE_SCALE": scale,
        "COURSE_SEED": str(seed),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **(environment or {}),
    }
    if not hosts:
        # Libraries that bring their own network code, and child processes, go by these; nothing listens at port 9.
        dead = "http://127.0.0.1:9"
        variables |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), dead)
        variables |= {"no_proxy": "localhost,127.0.0.1", "NO_PROXY": "localhost,127.0.0.1"}
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        allow_errors=True,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # without it every kernel warns that it talks over TCP
        resources={"metadata": {"path": str(NOTEBOOKS if NOTEBOOKS.is_dir() else ROOT)}},
    )
    notebook.metadata.pop("widgets", None)
    with client.setup_kernel(env=variables):
        run_sync(client.kc.execute_interactive)(_GUARD.format(hosts=hosts), silent=True, timeout=CELL_SECONDS)
        before(client)
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                client.execute_cell(cell, index)
                cell.metadata.pop("execution", None)  # times of day, which would change with every run
        after(client)
    return failures(notebook)


def failures(notebook: NotebookNode) -> list[str]:
    """Say which cells hold an error output, the first line of each, and what the error was."""
    return [
        f"cell {index} ({cell.source.strip().splitlines()[0]}): {output.ename}: {output.evalue}"
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
