"""The lint is silent on a good chapter, and each of its rules sees the faults that it is there for."""

import chapters
import lint
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output


def test_a_good_chapter_has_no_fault(chapter, path):
    assert lint.lint(chapter, path) == []


def cell(chapter, start):
    """Find a cell by the start of its source."""
    return next(cell for cell in chapter.cells if cell.source.startswith(start))


def replace(start, old, new):
    """Make a fault: in the cell that begins with `start`, `old` becomes `new`."""

    def spoil(chapter):
        found = cell(chapter, start)
        assert old in found.source
        found.source = found.source.replace(old, new)

    return spoil


def append(text, start="## One side"):
    """Make a fault: a paragraph of prose at the end of a cell."""

    def spoil(chapter):
        cell(chapter, start).source += f"\n\n{text}"

    return spoil


def tag(start, *tags):
    def spoil(chapter):
        cell(chapter, start).metadata["tags"] = list(tags)

    return spoil


def output(**of):
    """Make a fault: one more output of the cell that defines the step."""

    def spoil(chapter):
        kind = of.get("kind", "stream")
        rest = {key: value for key, value in of.items() if key != "kind"}
        cell(chapter, "def heron_step").outputs.append(new_output(kind, **rest))

    return spoil


def metadata(**entries):
    def spoil(chapter):
        chapter.metadata["course"].update(entries)

    return spoil


def header(**entries):
    def spoil(chapter):
        chapter.metadata["course"]["measured"].update(entries)

    return spoil


def drop(start):
    def spoil(chapter):
        chapter.cells.remove(cell(chapter, start))

    return spoil


def swap(first, second):
    def spoil(chapter):
        i, j = (chapter.cells.index(cell(chapter, start)) for start in (first, second))
        chapter.cells[i], chapter.cells[j] = chapter.cells[j], chapter.cells[i]

    return spoil


def insert(source, kind=new_markdown_cell, at=5, **metadata):
    def spoil(chapter):
        chapter.cells.insert(at, kind(source, metadata=metadata))

    return spoil


def figure(chapter):
    """Find the output that holds the picture."""
    return next(o for c in chapters.code_cells(chapter) for o in c.outputs if "image/png" in o.get("data", {}))


def set_alt(alt, text=None):
    def spoil(chapter):
        figure(chapter).metadata["image/png"]["alt"] = alt
        figure(chapter).data["text/plain"] = alt if text is None else text

    return spoil


def every(old, new, kind="code"):
    def spoil(chapter):
        for found in chapter.cells:
            if found.cell_type == kind:
                found.source = found.source.replace(old, new)

    return spoil


def set_kernel(chapter):
    chapter.metadata["kernelspec"]["name"] = "my-env"


def set_format(chapter):
    chapter.nbformat_minor = 4


def clear_outputs(chapter):
    for found in chapters.code_cells(chapter):
        found.outputs = []


def never_measured(chapter):
    del chapter.metadata["course"]["measured"]


def damage_header(chapter):
    del chapter.metadata["course"]["measured"]["date"]


def figure_in_compared_cell(chapter):
    cell(chapter, "def heron_step").outputs.append(figure(chapter))


def break_solution(chapter):
    cell(chapter, "### Exercise 5").source = cell(chapter, "### Exercise 5").source.split("\n\nThe error")[0] + (
        "\n\nSquaring does it.\n\n</details>"
    )


ALT = "A figure's text that is long enough to say what the picture shows."
FAULTS = [
    ("check_file", set_kernel, "the kernel is 'my-env'"),
    ("check_file", set_format, "nbformat is 4.4"),
    ("check_file", lambda chapter: chapter.cells[0].pop("source"), "not a valid notebook"),
    ("check_header", replace("# 98", "# 98", "# 97"), "cell 0 must be markdown"),
    ("check_header", replace("# 98", "**Goals**\n\n- D", "**Goals**\n\nD"), "lacks '**Goals**'"),
    ("check_header", replace("# 98", "**Prerequisites**", "Prerequisites"), "lacks '**Prerequisites**'"),
    ("check_header", tag("| This chapter"), "exactly one markdown cell with the tag 'measured'"),
    ("check_header", tag("# Setup"), "exactly one code cell with the tag 'setup'"),
    ("check_header", swap("| This chapter", "# Setup"), "cell 1 must be the one with the tag 'measured'"),
    ("check_header", swap("# Setup", "import numpy"), "the first code cell must be"),
    ("check_generated", replace("# Setup", "course_lib", "other_lib"), "the setup cell is not what the tool writes"),
    ("check_generated", replace("# Setup", 'ADDRESS = ""', 'ADDRESS = "https://x.org/a"'), "the setup cell is not"),
    ("check_generated", replace("| This chapter", "Peak", "Top"), "the measured cell is not what the tool writes"),
    ("check_generated", header(seconds=0.1, peak_mib=1.0), "the measured cell is not what the tool writes"),
    ("check_generated", damage_header, "course.measured in the metadata is damaged"),
    ("check_generated", never_measured, "never measured"),
    ("check_generated", replace("guess = 1.0", "1000", "2000"), "the code changed since"),
    ("check_generated", header(scale="smoke"), "must be those of laptop scale and seed 0"),
    ("check_generated", header(seed=3), "must be those of laptop scale and seed 0"),
    ("check_generated", metadata(downloads=[{"host": "x.org", "megabytes": 1, "what": "X"}]), "downloads changed"),
    ("check_generated", metadata(needs=["jax"]), "course.needs changed since"),
    ("check_needs", metadata(needs="jax"), "course.needs is 'jax'; it must be a list of packages"),
    ("check_needs", metadata(needs=["jax>=0.4"]), "it must be a list of packages as they are imported"),
    ("check_needs", metadata(needs=["numpy"]), "course.needs names numpy, which a cell imports"),
    ("check_parts", tag("## One side"), "belong together, got []"),
    ("check_parts", tag("## One side", "idea", "check"), "belong together, got ['idea', 'check']"),
    ("check_parts", insert("No heading.", tags=["idea"]), "belong together, got ['idea']"),
    ("check_parts", replace("## Pitfalls", "## Pitfalls", "## Traps"), "must read '## Pitfalls'"),
    ("check_parts", swap("## One side", "## From the mean"), "the parts first occur in the order"),
    ("check_parts", drop("## Pitfalls"), "the part 'pitfalls' is missing"),
    ("check_parts", metadata(omits={"keras": "no model"}), "stands in the chapter and in course.omits"),
    ("check_headings", append("<details>\n<summary>S</summary>\n\n### H\n\n</details>"), "inside <details>"),
    ("check_headings", insert("# Another"), "only cell 0 may have"),
    ("check_headings", append("## Again"), "must be the first line of its cell"),
    ("check_headings", append("#### Deep"), "skips from level 2 to 4"),
    ("check_commonmark", append("```{note}\nHello.\n```"), "a MyST directive"),
    ("check_commonmark", append(":::{note}\nHello.\n:::"), "a MyST directive"),
    ("check_commonmark", append(":::\nHello.\n:::"), "a colon fence"),
    ("check_commonmark", append("See {ref}`the label`."), "a MyST role"),
    ("check_commonmark", append("See {doc}`../book/notation`."), "a MyST role"),
    ("check_commonmark", append("(label)=\n"), "a MyST target"),
    ("check_commonmark", append("$$\nx\n$$ (eq-one)"), "a MyST equation label"),
    ("check_commonmark", append("% hidden"), "a MyST comment"),
    ("check_commonmark", append("+++"), "a MyST block break"),
    ("check_commonmark", append("It is {{ version }}."), "a MyST substitution"),
    ("check_commonmark", append("A note[^1]."), "a footnote"),
    ("check_commonmark", append("> [!NOTE]\n> Hello."), "a GitHub alert"),
    ("check_commonmark", append("So \\(x\\) it is."), "mathematics in \\( or \\["),
    ("check_commonmark", append("\\begin{align}\nx\n\\end{align}"), "mathematics outside $$"),
    ("check_commonmark", append('<img src="x.png">'), "the HTML tag <img>"),
    ("check_commonmark", append('<div class="note">\nHello.\n</div>'), "the HTML tag <div>"),
    ("check_commonmark", append("See https://example.org/x."), "a bare address"),
    ("check_commonmark", append("<details>\n<summary>S</summary>\nText.\n</details>"), "need blank lines around"),
    ("check_commonmark", append("<details><summary>S</summary>\n\nText.\n\n</details>"), "need blank lines around"),
    ("check_commonmark", append("See [chapter 99](99_nothing.ipynb)."), "99_nothing.ipynb, which does not exist"),
    ("check_numbers", append("The loss falls to 0.031 at the end."), "'0.031' looks like a hand-typed result"),
    ("check_numbers", append("Sections 4.2 and 4.4 end at 0.031."), "'0.031' looks like a hand-typed result"),
    ("check_numbers", append("It reaches 93% accuracy."), "'93%'"),
    ("check_numbers", append("It saves 12 percent."), "'12 percent'"),
    ("check_numbers", append("That is 3 times faster."), "'3 times faster'"),
    ("check_numbers", append("It needs two times as many."), "'two times as'"),
    ("check_numbers", append("It needs twice as many steps."), "'twice as'"),
    ("check_numbers", append("A speed-up of 3x."), "'3x'"),
    ("check_numbers", append("The cost is $5 and the loss 0.25, for $6."), "'0.25'"),
    ("check_numbers", replace("### Exercise 1", "is $5$", "is 5.25"), "'5.25'"),
    ("check_numbers", metadata(constants={"0.9": ""}), "'0.9' has no source"),
    ("check_machine", append("Look into /home/me/data."), "the machine path '/home/m' in the source"),
    (
        "check_machine",
        replace("guess = 1.0", "guess", "p = '/tmp/x'\nguess"),
        "the machine path '/tmp/x' in the source",
    ),
    ("check_machine", output(name="stdout", text="C:\\Users\\me"), "in the output"),
    ("check_machine", output(name="stdout", text="lib/python3.11/site-packages/x.py"), "in the output"),
    ("check_machine", output(name="stdout", text="<object at 0x7f01aabbccdd>"), "a memory address"),
    ("check_machine", output(kind="display_data", data={"text/html": "<b>/home/me</b>"}), "in the output"),
    ("check_outputs", output(name="stderr", text="Warning"), "text on stderr: 'Warning'"),
    ("check_outputs", output(kind="error", ename="ValueError", evalue="no", traceback=[]), "the error ValueError: no"),
    (
        "check_outputs",
        output(kind="display_data", data={"application/vnd.jupyter.widget-view+json": {}}),
        "which not every reader shows",
    ),
    ("check_executed", insert("1 + 1", new_code_cell), "execution counts are [1, 2, None"),
    ("check_executed", swap("import numpy", "guess = 1.0"), "execution counts are [1, 3, 2"),
    ("check_executed", clear_outputs, "no cell has an output"),
    ("check_code", insert("", new_code_cell), "an empty code cell"),
    ("check_code", insert("x = 1\n" * 26, new_code_cell), "26 lines of code"),
    ("check_code", insert(f"x = '{'a' * 100}'", new_code_cell), "a line of 106 characters"),
    ("check_code", insert("%matplotlib inline", new_code_cell), "not plain Python"),
    ("check_code", insert("!pip install x", new_code_cell), "not plain Python"),
    ("check_figures", set_alt("A curve."), "the figure's alt text is 'A curve.'"),
    ("check_figures", set_alt(ALT, "<Figure size 500x340>"), "differs from its alt text"),
    ("check_figures", insert("plt.show()", new_code_cell), "plt.show() has no alt text"),
    ("check_figures", append("![](pictures/x.png)"), "the image's alt text is ''"),
    ("check_language", append("Great \U0001f680"), "emoji \U0001f680"),
    ("check_language", output(name="stdout", text="done \u2705"), "emoji \u2705"),
    ("check_language", append("TODO: say more."), "TODO"),
    ("check_checks", every("claim(", "print("), "no cell calls claim()"),
    ("check_checks", every("at_scale(", "dict("), "no cell calls at_scale()"),
    ("check_checks", every("# NBVAL_CHECK_OUTPUT\n", ""), "no cell is marked"),
    ("check_checks", every("# NBVAL_CHECK_OUTPUT\n", "1  # NBVAL_CHECK_OUTPUT\n"), "on a line of its own"),
    ("check_checks", figure_in_compared_cell, "must print text and show no figure"),
    ("check_checks", clear_outputs, "must print text and show no figure"),
    ("check_definitions", insert("def claim(x):\n    return x", new_code_cell), "write check_claim in"),
    ("check_definitions", metadata(ships={"heron_step": "course_lib.runtime.seed"}), "write check_heron_step in"),
    ("check_definitions", metadata(ships={"nowhere": "course_lib.runtime.seed"}), "no cell defines at top level"),
    ("check_definitions", metadata(ships={"heron_step": "course_lib.runtime.nothing"}), "does not offer"),
    ("check_definitions", metadata(own={"heron_step": "mine"}), "is not defined both here and in course_lib"),
    ("check_exercises", replace("### Exercise 2", "### ", "#### "), "every exercise must be a cell of the part"),
    ("check_exercises", swap("### Exercise 6", "## References"), "every exercise must be a cell of the part"),
    ("check_exercises", drop("### Exercise 6"), "there are 5 exercises"),
    ("check_exercises", replace("### Exercise 3", "Exercise 3", "Exercise 4"), "are numbered [1, 2, 4, 4, 5, 6]"),
    ("check_exercises", replace("### Exercise 3", "(code)", "(hard)"), "it must be all of"),
    ("check_exercises", every("(open)", "(explain)", "markdown"), "it must be all of"),
    ("check_exercises", replace("### Exercise 1", "(compute)", "(code)"), "they must rise"),
    ("check_exercises", replace("### Exercise 1", "Solution", "Answer"), "exercise 1 has no solution"),
    ("check_exercises", replace("### Exercise 1", "assert ", "assert not not) "), "is not Python"),
    ("check_exercises", replace("### Exercise 1", "assert ", ""), "the solution's code checks nothing"),
    ("check_exercises", replace("### Exercise 1", "```python", "```text"), "needs a ```python fence"),
    ("check_exercises", break_solution, "explains in fewer than 30 words"),
    ("check_references", replace("## References", "- N. J.", "N. J."), "list 2 sources"),
    ("check_references", replace("## References", "(https://numpy.org", "(numpy.org"), "has no https link"),
    ("check_references", every("https://doi.org/", "https://example.org/", "markdown"), "no reference has a link to"),
]


@pytest.mark.parametrize(("rule", "spoil", "fault"), FAULTS, ids=[f"{f[0]}: {f[2][:40]}" for f in FAULTS])
def test_each_fault_is_seen_by_its_rule(chapter, path, rule, spoil, fault):
    check = getattr(lint, rule)
    assert list(check(chapter, path)) == []
    spoil(chapter)
    assert fault in "\n".join(check(chapter, path))


def test_every_rule_has_a_fault_to_see():
    assert {rule.__name__ for rule in lint.RULES} == {rule for rule, _, _ in FAULTS}


@pytest.mark.parametrize(
    "text",
    [
        "A rate of $\\eta = 0.1$ and `beta=0.9`.",
        "$$\nx = 0.5 y\n$$",
        "```text\n0.25\n```",
        "See [Kingma and Ba](https://arxiv.org/abs/1412.6980), arXiv:1412.6980, section 2.1.",
        "It needs Python 3.11 and 3 steps of 10 times.",
        "The program of sections 4.2, 4.4 and 4.5 is one; so say figures 1.1 and 1.2.",
        "<details>\n<summary>Proof</summary>\n\nFor $x \\in (0, 1)$, $a[i](x)$ and $\\{{1}\\}$.\n\n</details>",
        "A pair in code, `{ref}` or `[^1]`, is text.",
        "| a | b |\n| --- | --- |\n| $x$ | H<sub>2</sub>O |",
        "Money: \\$5 and 7 of them.",
        "See [the set-up](#setup) and <https://example.org/a_b>.",
        "A list:\n\n1. one,\n2. two.",
        "If a < b and c > d, all is well.",
    ],
)
def test_good_markdown_is_let_through(chapter, path, text):
    append(text)(chapter)
    assert [fault for fault in lint.lint(chapter, path) if "measured cell" not in fault] == []


def test_numbers_may_stand_in_the_references_and_in_the_generated_header(chapter, path):
    append("- A title with 99.9% and 0.5 in it.", "## References")(chapter)
    append("| Downloads | MNIST (11.5 MB) |", "| This chapter")(chapter)
    assert list(lint.check_numbers(chapter, path)) == []


def test_a_constant_with_a_source_may_stand_in_prose(chapter, path):
    append("The usual rate of decay is 0.9.")(chapter)
    assert list(lint.check_numbers(chapter, path)) != []
    chapter.metadata["course"]["constants"] = {"0.9": "Adam's default beta1, arXiv:1412.6980"}
    assert list(lint.check_numbers(chapter, path)) == []


def test_a_part_may_be_left_out_for_a_reason(chapter, path):
    drop("## The Keras way")(chapter)
    assert list(lint.check_parts(chapter, path)) != []
    chapter.metadata["course"]["omits"] = {"keras": "The chapter trains no model."}
    assert list(lint.check_parts(chapter, path)) == []


def test_a_large_file_is_refused(chapter, tmp_path):
    cell(chapter, "def heron_step").outputs[0].text = "x" * lint.MAX_BYTES
    large = tmp_path / "98_square_roots.ipynb"
    chapters.write(chapter, large)
    assert "2,0" in "\n".join(lint.check_file(chapter, large))


def test_a_wrong_file_name_is_refused(chapter, path):
    assert "must be NN_slug.ipynb" in "\n".join(lint.check_file(chapter, path.with_name("chapter 98.ipynb")))


def test_the_command_says_where_and_ends_with_1(chapter, tmp_path, capsys):
    bad = tmp_path / "98_square_roots.ipynb"
    append("It reaches 93%.")(chapter)
    chapters.write(chapter, bad)
    assert lint.main([str(bad)]) == 1
    assert "98_square_roots.ipynb: cell 6 (## One side too long" in capsys.readouterr().out
