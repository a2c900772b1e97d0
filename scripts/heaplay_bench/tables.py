"""A small report: tables and sentences, printed by rich, and written as Markdown and JSON."""

import json
import sys
from pathlib import Path

import rich.box
import rich.console
import rich.table

WIDTH = 160         # where output is no terminal
WORDS = ("allocator", "pattern", "huge pages", "trace", "call")


class Report:
    """Collects tables and sentences, which are printed as they come."""

    def __init__(self, title, environment, console=None):
        self.environment = environment
        self.markdown = [f"# {title}", "", f"{environment['cpu']}, {environment['cpus']} CPUs, {environment['kernel']}, commit "
                         f"{environment['git_commit'] or 'unknown'}, huge pages: {environment['thp']}.", ""]
        self.console = console or rich.console.Console(highlight=False, soft_wrap=True,
                                                       width=None if sys.stdout.isatty() else WIDTH)

    def table(self, title, heads, rows):
        """rows: tuples of text, as many as heads; columns headed by one of WORDS are words, the others figures."""
        shown = rich.table.Table(title=title, title_justify="left", box=rich.box.SIMPLE, pad_edge=False)
        text = [head in WORDS for head in heads]
        for head, left in zip(heads, text):
            shown.add_column(head, justify="left" if left else "right", no_wrap=True)
        for row in rows:
            shown.add_row(*row)
        self.console.print(shown)
        self.markdown += [f"## {title}", "", "| " + " | ".join(heads) + " |",
                          "|" + "|".join("---" if left else "---:" for left in text) + "|"]
        self.markdown += ["| " + " | ".join(row) + " |" for row in rows] + [""]

    def lines(self, sentences):
        for sentence in sentences:
            self.console.print(sentence, markup=False)
        self.markdown += [f"* {sentence}" for sentence in sentences] + [""]

    def write(self, directory, name, measured):
        """NAME.md and NAME.json below the directory; returns the path of the first."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        made = {"environment": self.environment, **measured}
        (directory / f"{name}.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        path = directory / f"{name}.md"
        path.write_text("\n".join(self.markdown), encoding="utf-8")
        return path
