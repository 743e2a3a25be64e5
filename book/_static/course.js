// A browser lets no script read other pages from the file system, so search shows titles without excerpts there.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// A claim is a sentence, so it wraps on a narrow screen; tables in the same output keep their columns and scroll.
document.addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll(".cell_output pre")) {
    const lines = box.textContent.replace(/\n$/, "").split("\n");
    if (!lines.some((line) => line.startsWith("✓ "))) continue;
    box.replaceChildren(
      ...lines.map((line, i) => {
        const span = document.createElement("span");
        const values = /^ {2}\(.*\)$/.test(line) && i > 0 && lines[i - 1].startsWith("✓ ");
        span.className = line.startsWith("✓ ") ? "claim" : values ? "claim values" : "line";
        span.textContent = (values ? line.trimStart() : line) + "\n";
        return span;
      }),
    );
  }
});
