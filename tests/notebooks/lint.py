"""Check the form of the chapters: what can be seen without running them.

::

    python tests/notebooks/lint.py [notebooks/NN_slug.ipynb ...]

Each rule is a generator that yields one text for every fault; `RULES` lists them. CONTRIBUTING.md says what a chapter
looks like.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import chapters
import nbformat
import stamp
from chapters import course, tagged, tags
from nbformat import NotebookNode

MAX_CELL_LINES = 25
MAX_LINE_LENGTH = 100
MIN_ALT = 40
MAX_BYTES = 2_000_000
MIN_EXERCISES = 6
MIN_REFERENCES = 3
MIN_WORDS = 30

Faults = Iterator[str]


def _where(notebook: NotebookNode, cell: NotebookNode) -> str:
    """Name a cell the way a reader finds it: its place and its first line."""
    index = next(i for i, other in enumerate(notebook.cells) if other is cell)
    first = (cell.source.strip().splitlines() or [""])[0]
    return f"cell {index} ({first[:60]})"


def _markdown(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def _section(notebook: NotebookNode, part: str) -> list[NotebookNode]:
    """Give the cells of a part, from the cell that carries its tag to the next part."""
    inside, cells = False, []
    for cell in notebook.cells:
        marks = set(tags(cell)) & set(chapters.PARTS)
        if marks:
            inside = part in marks
        if inside:
            cells.append(cell)
    return cells


def _prose(text: str) -> str:
    """Leave out of a markdown text what is not prose: code, mathematics, HTML tags and the addresses of links."""
    text = re.sub(r"^(```|~~~).*?^\1", " ", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", " ", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    text = re.sub(r"(?<!\\)\$(?!\s)[^$]*?[^\s$\\]\$", " ", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return re.sub(r"<[^>\s][^>]*>", " ", text)


def _calls(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str, ast.Call]]:
    """Give every call with the last part of its name: ``plotting.show(...)`` is ``show``."""
    for cell, tree in chapters.syntax(notebook):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                yield cell, name, node


def _texts(output: NotebookNode) -> Iterator[str]:
    """Give the texts in an output; check_outputs refuses an error as a whole."""
    if output.output_type == "stream":
        yield output.text
    yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    for cell in chapters.code_cells(notebook):
        for output in cell.outputs:
            yield cell, output


def check_file(notebook: NotebookNode, path: Path) -> Faults:
    """The file: valid nbformat 4.5, kernel python3, name NN_slug, small."""
    if (notebook.nbformat, notebook.get("nbformat_minor")) != (4, 5):
        yield f"nbformat is {notebook.nbformat}.{notebook.get('nbformat_minor')}; it must be 4.5"
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"the kernel is {kernel!r}; it must be 'python3'"
    if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name):
        yield f"the file's name is {path.name}; it must be NN_slug.ipynb"
    if path.exists() and path.stat().st_size > MAX_BYTES:
        yield f"the file has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are allowed"


def check_header(notebook: NotebookNode, path: Path) -> Faults:
    """The first cells: title with goals and prerequisites, the measured table, the setup."""
    first = notebook.cells[0] if notebook.cells else nbformat.v4.new_markdown_cell()
    if first.cell_type != "markdown" or not re.match(rf"# {path.name[:2]} \S", first.source):
        yield f"cell 0 must be markdown that starts with '# {path.name[:2]} Title'"
    for name in ("Goals", "Prerequisites"):
        if not re.search(rf"^\*\*{name}\*\*:?\n+[-*] \S", first.source, re.MULTILINE):
            yield f"cell 0 lacks '**{name}**' followed by a list"
    for tag, kind in (("measured", "markdown"), ("setup", "code")):
        if [cell.cell_type for cell in tagged(notebook, tag)] != [kind]:
            yield f"there must be exactly one {kind} cell with the tag {tag!r}"
    if len(notebook.cells) > 1 and "measured" not in tags(notebook.cells[1]):
        yield "cell 1 must be the one with the tag 'measured'"
    code = chapters.code_cells(notebook)
    if code and "setup" not in tags(code[0]):
        yield "the first code cell must be the one with the tag 'setup'"


def check_generated(notebook: NotebookNode, path: Path) -> Faults:
    """The generated cells are what the tools write, and the measured code is the code that stands here."""
    wanted = {"setup": stamp.setup_source(stamp.address())}
    try:
        wanted["measured"] = stamp.measured_source(notebook)
    except (KeyError, TypeError, ValueError) as error:
        yield f"course.measured in the metadata is damaged ({error!r}); run make measure"
    for tag, source in wanted.items():
        for cell in tagged(notebook, tag):
            if cell.source != source:
                yield f"the {tag} cell is not what the tool writes; run make stamp"
    measured = course(notebook).get("measured", {})
    if not measured:
        yield "the chapter was never measured; run make measure"
    elif measured.get("code") != chapters.code_hash(notebook):
        yield "the code changed since the chapter was measured; run make measure"
    elif measured.get("scale") != "laptop" or measured.get("seed") != 0:
        yield "the stored outputs must be those of laptop scale and seed 0; run make measure"
    elif measured.get("downloads") != course(notebook).get("downloads", []):
        yield "course.downloads changed since the chapter was measured; run make measure"
    elif measured.get("needs", []) != course(notebook).get("needs", []):
        yield "course.needs changed since the chapter was measured; run make measure"


def check_needs(notebook: NotebookNode, path: Path) -> Faults:
    """What the stored outputs need besides the course's own requirements: a list of packages, as they are imported."""
    needs = course(notebook).get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(name, str) and name.isidentifier() for name in needs):
        yield f"course.needs is {needs!r}; it must be a list of packages as they are imported, such as ['jax', 'torch']"
        return
    for name in sorted(chapters.imports(notebook) & set(needs)):
        yield f"course.needs names {name}, which a cell imports: the chapter must run where it is not installed"


def check_parts(notebook: NotebookNode, path: Path) -> Faults:
    """The parts of a chapter, in their order, each opened by a tagged cell with a heading."""
    omits = course(notebook).get("omits", {})
    found = []
    for cell in notebook.cells:
        marks = [tag for tag in tags(cell) if tag in chapters.PARTS]
        heading = re.match(r"## (.+)", cell.source) if cell.cell_type == "markdown" else None
        if bool(heading) != (len(marks) == 1):
            parts = ", ".join(chapters.PARTS)
            yield f"{_where(notebook, cell)}: a '## ' heading and one tag of {parts} belong together, got {marks}"
        elif heading:
            found.append(marks[0])
            wanted = chapters.FIXED_HEADINGS.get(marks[0], heading[1].strip())
            if heading[1].strip() != wanted:
                yield f"{_where(notebook, cell)}: the heading of the part {marks[0]!r} must read '## {wanted}'"
    firsts = list(dict.fromkeys(found))
    if firsts != sorted(firsts, key=chapters.PARTS.index):
        yield f"the parts first occur in the order {firsts}; it must be that of {list(chapters.PARTS)}"
    for part in chapters.PARTS:
        if part not in found and part not in chapters.OPTIONAL_PARTS and not str(omits.get(part, "")).strip():
            yield f"the part {part!r} is missing, and course.omits gives no reason"
        if part in found and part in omits:
            yield f"the part {part!r} stands in the chapter and in course.omits"


def check_headings(notebook: NotebookNode, path: Path) -> Faults:
    """One title; a heading opens its cell's section and skips no level; none is folded away."""
    level = 0
    for cell in _markdown(notebook):
        text = re.sub(r"^(```|~~~).*?^\1", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        for folded in re.findall(r"<details>.*?</details>", text, flags=re.DOTALL):
            if re.search(r"^#+ ", folded, re.MULTILINE):
                yield f"{_where(notebook, cell)}: a heading stands inside <details>"
        for match in re.finditer(r"^(#+) ", text, re.MULTILINE):
            depth = len(match[1])
            if depth == 1 and cell is not notebook.cells[0]:
                yield f"{_where(notebook, cell)}: only cell 0 may have a '# ' heading"
            if depth == 2 and match.start() != 0:
                yield f"{_where(notebook, cell)}: a '## ' heading must be the first line of its cell"
            if depth > level + 1:
                yield f"{_where(notebook, cell)}: the heading skips from level {level} to {depth}"
            level = depth


_NOT_COMMONMARK = {
    r"^\s*(`{3,}|~{3,}|:{3,})\s*\{": "a MyST directive",
    r"^:{3,}": "a colon fence",
    r"\{[\w:.+-]+\}`": "a MyST role",
    r"^\([\w-]+\)=\s*$": "a MyST target",
    r"\$\$ *\([\w:-]+\)": "a MyST equation label",
    r"^%(?!%)": "a MyST comment",
    r"^\+\+\+": "a MyST block break",
    r"\{\{.*?\}\}": "a MyST substitution",
    r"\[\^[\w-]+\]": "a footnote",
    r"^> *\[!\w+\]": "a GitHub alert",
    r"\\\(|\\\[": "mathematics in \\( or \\[; write $ or $$",
    r"^\\begin\{": "mathematics outside $$",
}
_TAGS_ALLOWED = {"details", "summary", "sub", "sup", "br"}


def check_commonmark(notebook: NotebookNode, path: Path) -> Faults:
    """Markdown that reads the same in the book, JupyterLab, Colab and GitHub."""
    for cell in _markdown(notebook):
        where = _where(notebook, cell)
        fences = re.sub(r"^(```|~~~)(?!\s*\{).*?^\1", "", cell.source, flags=re.MULTILINE | re.DOTALL)
        math = re.sub(r"\$\$.*?\$\$(?! *\()|(?<!\\)\$[^$]+\$", "", fences, flags=re.DOTALL)
        plain = re.sub(r"(?<![}`])`[^`\n]+`(?!`)", "", math)
        for pattern, name in _NOT_COMMONMARK.items():
            if re.search(pattern, plain, re.MULTILINE):
                yield f"{where}: {name}, which is not CommonMark"
        for tag in re.findall(r"</?([a-zA-Z][\w-]*)(?=[\s/>])", plain):
            if tag.lower() not in _TAGS_ALLOWED:
                yield f"{where}: the HTML tag <{tag}>; allowed are {', '.join(sorted(_TAGS_ALLOWED))}"
        if re.search(r"(?<![(<\[\"])https?://", plain):
            yield f"{where}: a bare address is no link in every reader; write [text](address) or <address>"
        folds = len(re.findall(r"<details", plain))
        well_formed = (
            r"(?:^|\n\n)<details>\n<summary>[^\n<]+</summary>\n\n(?:(?!<details).)+?\n\n</details>(?=\n\n|\s*$)"
        )
        if folds != len(re.findall(well_formed, cell.source, flags=re.DOTALL)):
            yield f"{where}: <details>, <summary>...</summary> and </details> need blank lines around what they fold"
        for target in re.findall(r"\]\(([^)\s]+)[^)]*\)", plain):
            local = not re.match(r"[a-z]+:|#", target)
            if local and not (chapters.NOTEBOOKS / target.split("#")[0]).exists():
                yield f"{where}: the link leads to {target}, which does not exist"


_NUMBER = re.compile(
    r"""(?<![\w.])-?\d[\d,]*\.\d+(?:e-?\d+)?            # 0.93, 1,024.5
      | (?<![\w.])\d+(?:\.\d+)?\s?(?:%|per\ ?cent\b)     # 12 %, 5 percent
      | (?<![\w.])\d+(?:\.\d+)?(?:x\b|×|-fold\b)         # 3x, 10-fold
      | \b(?:\d+|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand)\ times\ (?:as\b|\w+er\b|more\b|less\b)
      | \btwice\ (?:as\b|\w+er\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_NAMED_NUMBER = re.compile(
    r"\b(?:arXiv:\s?|doi:\s?|Python |Keras |NumPy |TensorFlow |PyTorch |JAX |SciPy |sections? |chapters? |figures? |"
    r"tables? |theorem |lemma |equations? |eq\. |algorithm |CC BY )\d[\d./]*(?:(?:,| and|, and) \d[\d./]*)*",
    re.IGNORECASE,
)


def check_numbers(notebook: NotebookNode, path: Path) -> Faults:
    """Prose states no result by hand. Constants stand in ``course.constants`` with their source."""
    constants = course(notebook).get("constants", {})
    for constant, source in constants.items():
        if not str(source).strip():
            yield f"course.constants: {constant!r} has no source"
    references = _section(notebook, "references")
    for cell in _markdown(notebook):
        if "measured" in tags(cell) or any(cell is other for other in references):
            continue
        prose = _NAMED_NUMBER.sub(" ", _prose(cell.source))
        for match in _NUMBER.finditer(prose):
            if match[0] not in constants:
                yield (
                    f"{_where(notebook, cell)}: '{match[0]}' looks like a hand-typed result; let the cell that "
                    "computes it print it, set a parameter in $...$, or list a constant in course.constants"
                )


_MACHINE = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|Users|work|mnt|content|opt|var|private)/\w|\b[A-Z]:\\\w|site-packages|\.venv\b|ipykernel_\d+"
)


def check_machine(notebook: NotebookNode, path: Path) -> Faults:
    """Nothing tells on which machine the chapter was written, and nothing differs with the next run."""
    for cell in notebook.cells:
        if match := _MACHINE.search(cell.source):
            yield f"{_where(notebook, cell)}: the machine path {match[0]!r} in the source"
    for cell, output in _outputs(notebook):
        for text in _texts(output):
            if match := _MACHINE.search(text):
                yield f"{_where(notebook, cell)}: the machine path {match[0]!r} in the output"
            if match := re.search(r"\bat 0x[0-9a-f]{6,}", text):
                yield f"{_where(notebook, cell)}: a memory address in the output ({match[0]})"


_KINDS_ALLOWED = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png"}


def check_outputs(notebook: NotebookNode, path: Path) -> Faults:
    """No warning, no error, nothing that a reader without a running kernel cannot see."""
    for cell, output in _outputs(notebook):
        where = _where(notebook, cell)
        if output.output_type == "error":
            yield f"{where}: the output is the error {output.ename}: {output.evalue}"
        elif output.output_type == "stream":
            if output.name == "stderr":
                yield f"{where}: the output has text on stderr: {output.text.strip()[:80]!r}"
        elif odd := set(output.data) - _KINDS_ALLOWED:
            yield f"{where}: the output has {sorted(odd)}, which not every reader shows"


def check_executed(notebook: NotebookNode, path: Path) -> Faults:
    """The outputs are those of one run, from the top, in a fresh kernel."""
    cells = chapters.code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield f"execution counts are {counts}; it must be 1 to {len(cells)} in order: run make measure"
    if cells and not any(cell.outputs for cell in cells):
        yield "no cell has an output; run make measure"


def check_code(notebook: NotebookNode, path: Path) -> Faults:
    """Short cells of plain Python."""
    for cell in chapters.code_cells(notebook):
        where = _where(notebook, cell)
        lines = cell.source.splitlines()
        count = sum(bool(line.strip()) for line in lines)
        if count == 0:
            yield f"{where}: an empty code cell"
        if count > MAX_CELL_LINES:
            yield f"{where}: {count} lines of code; at most {MAX_CELL_LINES} are allowed"
        longest = max((len(line) for line in lines), default=0)
        if longest > MAX_LINE_LENGTH and "setup" not in tags(cell):
            yield f"{where}: a line of {longest} characters; at most {MAX_LINE_LENGTH} are allowed"
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"{where}: not plain Python (line {error.lineno}: {error.msg}); magics and shell lines have no place"


def check_figures(notebook: NotebookNode, path: Path) -> Faults:
    """Every picture has words that say what it shows, and is displayed by plotting.show."""
    for cell, output in _outputs(notebook):
        data = output.get("data", {})
        if "image/png" not in data:
            continue
        alt = output.metadata.get("image/png", {}).get("alt", "")
        if len(alt.strip()) < MIN_ALT:
            yield f"{_where(notebook, cell)}: the figure's alt text is {alt!r}; it needs {MIN_ALT} characters"
        elif data.get("text/plain", "").strip() != alt.strip():
            yield f"{_where(notebook, cell)}: the figure's text/plain differs from its alt text; use plotting.show"
    for cell, name, node in _calls(notebook):
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name == "show" and owner in {"plt", "pyplot", "fig", "figure"}:
            yield f"{_where(notebook, cell)}: {owner}.show() has no alt text; use plotting.show(fig, alt=...)"
    for cell in _markdown(notebook):
        for alt in re.findall(r"!\[([^\]]*)\]\(", cell.source):
            if len(alt.strip()) < MIN_ALT:
                yield f"{_where(notebook, cell)}: the image's alt text is {alt!r}; it needs {MIN_ALT} characters"


def check_language(notebook: NotebookNode, path: Path) -> Faults:
    """No emoji, nothing left to do. The ticks of claim() are typographic signs."""
    emoji = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa]")
    texts = [(cell, cell.source) for cell in notebook.cells]
    texts += [(cell, text) for cell, output in _outputs(notebook) for text in _texts(output)]
    for cell, text in texts:
        if odd := set(emoji.findall(text)) - {"✓", "✗"}:
            yield f"{_where(notebook, cell)}: emoji {' '.join(sorted(odd))}"
        if match := re.search(r"\b(TODO|FIXME|XXX|TBD)\b", text):
            yield f"{_where(notebook, cell)}: {match[0]}"


def check_checks(notebook: NotebookNode, path: Path) -> Faults:
    """The chapter checks itself: claims, compared outputs, scales."""
    called = {name for _, name, _ in _calls(notebook)}
    for name in ("claim", "at_scale"):
        if name not in called:
            yield f"no cell calls {name}()"
    compared = [cell for cell in chapters.code_cells(notebook) if "NBVAL_CHECK_OUTPUT" in cell.source]
    if not compared:
        yield "no cell is marked '# NBVAL_CHECK_OUTPUT'"
    for cell in compared:
        if not re.search(r"^# NBVAL_CHECK_OUTPUT$", cell.source, re.MULTILINE):
            yield f"{_where(notebook, cell)}: '# NBVAL_CHECK_OUTPUT' must stand on a line of its own"
        if not cell.outputs or any("image/png" in output.get("data", {}) for output in cell.outputs):
            yield f"{_where(notebook, cell)}: a cell marked NBVAL_CHECK_OUTPUT must print text and show no figure"


def check_definitions(notebook: NotebookNode, path: Path) -> Faults:
    """What the notebook defines and the package ships has a function that compares the two."""
    file = chapters.comparisons(path.stem)
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.exists() else []
    written = {node.name.removeprefix("check_") for node in body if isinstance(node, ast.FunctionDef)}
    for name in sorted(chapters.compared_names(notebook) - written):
        yield f"{name} stands in the notebook and in course_lib: write check_{name} in definitions/{file.name}"
    for name, target in course(notebook).get("ships", {}).items():
        if name not in chapters.definitions(notebook):
            yield f"course.ships names {name}, which no cell defines at top level"
        if str(target).rpartition(".")[2] not in chapters.public_names():
            yield f"course.ships says that {name} ships as {target}, which course_lib does not offer"
    for name in course(notebook).get("own", {}):
        if name not in chapters.definitions(notebook) & chapters.public_names():
            yield f"course.own names {name}, which is not defined both here and in course_lib"


def check_exercises(notebook: NotebookNode, path: Path) -> Faults:
    """Six exercises or more in rising levels, each with a folded solution that can check itself."""
    found = chapters.exercises(notebook)
    inside = sum(cell.source.startswith("### Exercise") for cell in _section(notebook, "exercises"))
    named = sum(len(re.findall(r"^#+ Exercise \d", cell.source, re.MULTILINE)) for cell in _markdown(notebook))
    if not len(found) == inside == named:
        yield "every exercise must be a cell of the part 'exercises' that starts with '### Exercise k (level)'"
    if len(found) < MIN_EXERCISES:
        yield f"there are {len(found)} exercises; at least {MIN_EXERCISES} are needed"
    if [exercise.number for exercise in found] != list(range(1, len(found) + 1)):
        yield f"the exercises are numbered {[exercise.number for exercise in found]}; it must be 1, 2, 3, ..."
    levels = [exercise.level for exercise in found]
    if set(levels) != set(chapters.LEVELS):
        yield f"the levels are {sorted(set(levels))}; it must be all of {', '.join(chapters.LEVELS)} and no other"
    elif levels != sorted(levels, key=chapters.LEVELS.index):
        yield f"the levels are {levels}; they must rise: {', '.join(chapters.LEVELS)}"
    for exercise in found:
        name = f"exercise {exercise.number}"
        if exercise.solution is None:
            yield f"{name} has no solution folded in <details> with <summary>Solution</summary>"
            continue
        for code in exercise.code:
            try:
                ast.parse(code)
            except SyntaxError as error:
                yield f"{name}: line {error.lineno} of the solution is not Python: {error.msg}"
        if exercise.code and not re.search(r"\bassert\b|\bclaim\(", "".join(exercise.code)):
            yield f"{name}: the solution's code checks nothing; end it with assert or claim()"
        if exercise.level != "explain" and not exercise.code:
            yield f"{name}: the solution of a {exercise.level!r} exercise needs a ```python fence"
        if exercise.level == "explain" and not exercise.code and len(exercise.solution.split()) < MIN_WORDS:
            yield f"{name}: the solution explains in fewer than {MIN_WORDS} words"


def check_references(notebook: NotebookNode, path: Path) -> Faults:
    """A list of sources with links, at least one of them a DOI or arXiv link."""
    text = "\n".join(cell.source for cell in _section(notebook, "references") if cell.cell_type == "markdown")
    items = re.split(r"^(?:[-*]|\d+\.) ", text, flags=re.MULTILINE)[1:]
    if len(items) < MIN_REFERENCES:
        yield f"the references list {len(items)} sources; at least {MIN_REFERENCES} are needed"
    for item in items:
        if "https://" not in item:
            yield f"the reference {item.strip()[:60]!r} has no https link"
    if not re.search(r"https://(?:doi\.org/10\.\d{4,}/\S|arxiv\.org/abs/\d{4}\.\d{4,5})", text):
        yield "no reference has a link to https://doi.org/ or https://arxiv.org/abs/"


RULES: list[Callable[[NotebookNode, Path], Faults]] = [
    check_file,
    check_header,
    check_generated,
    check_needs,
    check_parts,
    check_headings,
    check_commonmark,
    check_numbers,
    check_machine,
    check_outputs,
    check_executed,
    check_code,
    check_figures,
    check_language,
    check_checks,
    check_definitions,
    check_exercises,
    check_references,
]


def lint(notebook: NotebookNode, path: Path) -> list[str]:
    """Give every fault of a chapter."""
    return [fault for rule in RULES for fault in rule(notebook, path)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="default: every chapter")
    files = chapters.paths(parser.parse_args(arguments).notebooks)
    faults = [f"{path.name}: {fault}" for path in files for fault in lint(chapters.read(path), path)]
    print("\n".join(faults) or f"{len(files)} chapters, no fault")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
