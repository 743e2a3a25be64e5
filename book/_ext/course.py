"""What the book needs beyond Jupyter Book: alt text for figures, buttons on one setting, the table of chapters."""

from __future__ import annotations

import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from myst_nb.core.render import MimeData, NbElementRenderer
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)
plain_render_image = NbElementRenderer.render_image


def render_image(self: NbElementRenderer, data: MimeData) -> list[nodes.Element]:
    """Render an image output with the alt text that its output metadata carries; warn where it carries none.

    MyST-NB takes only the width and the height from there.
    """
    images = plain_render_image(self, data)
    alt = str(data.output_metadata.get(data.mime_type, {}).get("alt", "")).strip()
    for image in images:
        if alt:
            image["alt"] = alt
        if not image.get("alt"):
            logger.warning(
                "a figure in the output of this cell has no alt text",
                location=(self.renderer.sphinx_env.docname, data.line),
                type="course",
                subtype="alt",
            )
    return images


def set_buttons(app: Sphinx, config: Config) -> None:
    """Show launch, repository and issue buttons where the repository has an address, and none where it has not."""
    options = config.html_theme_options
    known = bool(options.get("repository_url"))
    options["use_repository_button"] = options["use_issues_button"] = known
    if not known:
        options["launch_buttons"] = {}


def link_papers(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the arXiv numbers, DOIs and addresses that a docstring cites into links."""
    for number, line in enumerate(lines):
        line = re.sub(r"\barXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", line)
        line = re.sub(r"\bdoi:(10\.\d+/[^\s,;]*[^\s,;.])", r"`doi:\1 <https://doi.org/\1>`__", line)
        lines[number] = re.sub(r"(?<![<\w`])(https://[^\s,;>]*[^\s,;.>])", r"`\1 <\1>`__", line)


class MeasuredChapters(SphinxDirective):
    """A table of what each chapter on the site costs to run, from what ``make measure`` stored in the notebooks."""

    def run(self) -> list[nodes.Node]:
        """Write the table as Markdown and parse it."""
        rows = ["| Chapter | Run time | Peak memory | Scale and device | Versions | Date |", "| --- " * 6 + "|"]
        for name in sorted(doc for doc in self.env.found_docs if doc.startswith("notebooks/")):
            path = Path(self.env.doc2path(name))
            self.env.note_dependency(str(path))
            measured = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("course", {}).get("measured")
            cells = [f"{{doc}}`/{name}`", *(_row(measured) if measured else ["not measured yet", "", "", "", ""])]
            rows.append("| " + " | ".join(cells) + " |")
        container = nodes.container()
        self.state.nested_parse(StringList(rows, source=self.env.docname), self.content_offset, container)
        return container.children


def _row(measured: dict[str, Any]) -> list[str]:
    return [
        f"{math.ceil(measured['seconds'])} s",
        f"{math.ceil(measured['peak_mib'])} MiB",
        f"{measured['scale']}, {measured['device']}",
        ", ".join(f"{name} {version}" for name, version in measured["versions"].items()),
        measured["date"],
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    NbElementRenderer.render_image = render_image
    app.add_directive("measured-chapters", MeasuredChapters)
    app.connect("config-inited", set_buttons)
    app.connect("autodoc-process-docstring", link_papers)
    # A change of this file or of the style makes Sphinx build every page anew; it would not notice by itself.
    files = [Path(__file__), *sorted(Path(__file__).parents[1].glob("_static/*"))]
    version = zlib.crc32(b"".join(file.read_bytes() for file in files))
    return {"env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
