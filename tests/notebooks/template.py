"""Start a chapter: a tiny one that has every part and passes every check. Replace its content.

::

    python tests/notebooks/template.py NN_slug "Title"

The tests of the tools in this folder work on it too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import chapters
import stamp
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

_EXERCISE = """\
### Exercise {number} ({level})

{question}

<details>
<summary>Solution</summary>

{answer}

</details>"""


def _code(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


_EXERCISES = [
    (
        "compute",
        "Take one step by hand from $x = 1$ for $a = 9$.",
        "The mean of $1$ and $9/1$ is $5$.\n\n" + _code("assert heron_step(1.0, 9.0) == 5.0"),
    ),
    (
        "compute",
        "From which start does the first step for $a = 4$ give $2$?",
        "From $x = 2$ alone, since $x + 4/x = 4$ has that double root.\n\n"
        + _code("assert heron_step(2.0, 4.0) == 2.0"),
    ),
    (
        "code",
        "Write the step for the cube root.",
        "The same idea with three factors:\n\n"
        + _code(
            "x = 1.0",
            "for _ in range(50):",
            "    x = (2 * x + 27.0 / x**2) / 3",
            "assert abs(x - 3.0) < 1e-12",
        ),
    ),
    (
        "code",
        "Show that the sign of the start decides which root is found.",
        "Start on the other side:\n\n"
        + _code(
            "x = -1.0",
            "for _ in range(30):",
            "    x = heron_step(x, target)",
            'claim("A negative start finds the negative root", x < 0, root=x)',
        ),
    ),
    (
        "explain",
        "Why does the number of correct digits double with each step?",
        "The error of the next step is the square of this step's error, divided by twice the value. Squaring a number "
        "that is below one doubles the count of zeros that follow its point, and each of them is one more digit that "
        "is correct.",
    ),
    (
        "open",
        "How would you find the root of a function that you can evaluate but not differentiate?",
        "One way is the secant through the last two points:\n\n"
        + _code(
            "x0, x1 = 1.0, target",
            "while abs(x1 - x0) > 1e-9:",
            "    slope = (x1**2 - x0**2) / (x1 - x0)",
            "    x0, x1 = x1, x1 - (x1**2 - target) / slope",
            "assert abs(x1**2 - target) < 1e-6",
        ),
    ),
]


def chapter(slug: str, title: str) -> NotebookNode:
    """Make the chapter, not yet run."""

    def part(tag: str, text: str) -> NotebookNode:
        return new_markdown_cell(text, metadata={"tags": [tag]})

    cells = [
        new_markdown_cell(
            f"# {slug[:2]} {title}\n\nHow to find a square root with a rule that corrects itself.\n\n"
            "**Goals**\n\n- Derive the rule and measure how fast it converges.\n\n"
            "**Prerequisites**\n\n- The derivative of a function of one variable."
        ),
        part("measured", "written by make stamp"),
        new_code_cell("# written by make stamp", metadata={"tags": ["setup", "hide-input"]}),
        new_code_cell(
            "import numpy as np\n\n"
            "from course_lib.claims import above, below, claim\n"
            "from course_lib.plotting import new_figure, show\n"
            "from course_lib.runtime import at_scale, describe, rng\n\n"
            "print(describe())\n"
            'target = float(rng("target").uniform(2.0, 9.0))\n'
            "steps = at_scale(smoke=6, laptop=8, gpu=8)"
        ),
        part(
            "question",
            "## Why does guessing take so long?\n\nHalving an interval gains one binary digit a step. A thousand steps "
            "of a fixed size may gain nothing at all.",
        ),
        new_code_cell(
            "guess = 1.0\n"
            "for _ in range(1000):\n"
            "    guess += 0.5 if guess**2 < target else -0.5\n"
            'claim("Fixed steps never settle", above(abs(guess**2 - target), 1e-6), error=guess**2 - target)'
        ),
        part(
            "idea", "## One side too long, the other too short\n\nThe root lies between $x$ and $a/x$; take the mean."
        ),
        part(
            "derivation",
            "## From the mean to Newton's rule\n\n"
            "$$\nx_{t+1} = \\tfrac{1}{2}\\left(x_t + \\frac{a}{x_t}\\right)\n$$\n\n"
            "<details>\n<summary>Proof that the error is squared</summary>\n\n"
            "Subtract $\\sqrt{a}$ from both sides:\n\n"
            "$$\nx_{t+1} - \\sqrt{a} = \\frac{(x_t - \\sqrt{a})^2}{2 x_t}.\n$$\n\n"
            "</details>",
        ),
        part("numpy", "## The rule in NumPy"),
        new_code_cell(
            "def heron_step(x, a):\n    return (x + a / x) / 2\n\n\n# NBVAL_CHECK_OUTPUT\nprint(heron_step(1.0, 9.0))"
        ),
        part("check", "## The same by an independent implementation"),
        new_code_cell(
            "x, errors = target, []\n"
            "for _ in range(steps):\n"
            "    errors.append(abs(x - np.sqrt(target)))\n"
            "    x = heron_step(x, target)\n"
            'claim("The rule agrees with NumPy\'s root", below(abs(x - np.sqrt(target)), 1e-9))'
        ),
        part(
            "keras", "## The Keras way\n\n`keras.ops.sqrt` calls the backend, which calls the processor's instruction."
        ),
        part("experiment", "## Is the error squared at each step?\n\nIf so, the curve bends down on a log axis."),
        new_code_cell(
            'fig, ax = new_figure(xlabel="step", ylabel="error", yscale="log")\n'
            "ax.plot(np.maximum(errors, 1e-17))\n"
            'show(fig, alt="The error on a log axis against the step: the curve bends down ever more steeply.")'
        ),
        part("pitfalls", "## Pitfalls\n\nA start of zero divides by zero."),
        part("take-away", "## Take-away\n\nA rule that squares its error needs very few steps."),
        part("exercises", "## Exercises\n\nThe solutions are folded; they run as they stand after the cells above."),
        *(
            new_markdown_cell(_EXERCISE.format(number=number, level=level, question=question, answer=answer))
            for number, (level, question, answer) in enumerate(_EXERCISES, start=1)
        ),
        part(
            "references",
            "## References\n\n"
            "- T. J. Ypma, 1995, *Historical development of the Newton-Raphson method*, SIAM Review 37(4), "
            "[doi:10.1137/1037125](https://doi.org/10.1137/1037125).\n"
            "- N. J. Higham, 2002, *Accuracy and Stability of Numerical Algorithms*, "
            "[doi:10.1137/1.9780898718027](https://doi.org/10.1137/1.9780898718027).\n"
            "- NumPy's documentation of [sqrt](https://numpy.org/doc/stable/reference/generated/numpy.sqrt.html).",
        ),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # random ids would change with every call
    notebook = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "course": {"constants": {}, "downloads": [], "omits": {}, "ships": {}},
        },
    )
    return stamp.stamp(notebook, stamp.address())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slug", help="the file's name without .ipynb, such as 03_gradient_descent")
    parser.add_argument("title")
    arguments = parser.parse_args()
    path = Path(chapters.NOTEBOOKS / f"{arguments.slug}.ipynb")
    if path.exists():
        parser.error(f"{path.name} exists")
    chapters.write(chapter(arguments.slug, arguments.title), path)
    print(f"wrote {path.name}; next: edit it, then make measure")


if __name__ == "__main__":
    main()
