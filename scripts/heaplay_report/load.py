"""A run: one or more results documents seen as rows by trace and allocator, in one order and under one condition."""
from collections import Counter
from pathlib import Path

from . import schema

ORDER = ["cellmalloc", "glibc", "jemalloc", "mimalloc", "tcmalloc"]
CONTROLS = ("null", "bump")     # measure the harness, are no choice for a program
AGAIN = "#again"                # the A/A control carries its twin's name and this label
CONDITION = ("threads", "touch", "pace", "loops")


def is_control(name):
    return name.split("#")[0].split("@")[0] in CONTROLS or name.endswith(AGAIN)


def order_key(name):
    base = name.split("#")[0].split("@")[0]
    rank = ORDER.index(base) if base in ORDER else len(ORDER)
    return (is_control(name), rank, name)


def condition_of(row):
    return tuple(row.get(key) for key in CONDITION)


def condition_words(condition):
    threads, touch, pace, loops = condition
    words = ["recorded threads" if threads == "recorded" else "one thread", f"touch {touch}",
             "flat out" if pace in (None, "flat", "flat-out", "max", "none") else f"pace {pace}"]
    if loops and loops != 1:
        words.append(f"{loops} loops")
    return ", ".join(words)


class Run:
    """Rows of the commonest condition, by (trace, allocator); others stay reachable in `other_rows`."""

    def __init__(self, document, name="results"):
        self.document = document
        self.name = name
        replayed = [row for row in document["rows"] if "benchmark" not in row]
        counts = Counter(condition_of(row) for row in replayed if row["status"] == "ok")
        self.condition = counts.most_common(1)[0][0] if counts else ("recorded", "page", "flat", 1)
        self.by_key = {}
        self.failed = []
        self.other_rows = []
        for row in replayed:
            if row["status"] != "ok":
                self.failed.append(row)
            elif condition_of(row) == self.condition:
                self.by_key[row["trace"], row["allocator"]] = row
            else:
                self.other_rows.append(row)
        seen = {allocator for _, allocator in self.by_key} | {row["allocator"] for row in self.failed}
        self.all_allocators = sorted(seen, key=order_key)
        self.allocators = [name for name in self.all_allocators if not is_control(name)]
        self.traces = sorted({trace for trace, _ in self.by_key} | {row["trace"] for row in self.failed},
                             key=lambda trace: (self.is_synthetic(trace), trace))

    def row(self, trace, allocator):
        return self.by_key.get((trace, allocator))

    def is_synthetic(self, trace):
        return self.document["traces"].get(trace, {}).get("origin", "").startswith("synthetic")

    def threads(self, trace):
        """Threads on which the trace was replayed."""
        return 1 if self.condition[0] == "1" else self.document["traces"].get(trace, {}).get("threads", 1)

    def label(self, trace):
        sample = self.document["traces"].get(trace, {}).get("sample")
        return trace + (" (synthetic)" if self.is_synthetic(trace) else "") + (f" (1/{sample} of objects)" if sample else "")

    def subject(self):
        """The allocator the report is about."""
        return "cellmalloc" if "cellmalloc" in self.allocators else next(iter(self.allocators), None)

    def reference(self):
        """The allocator that ratios are to."""
        if "glibc" in self.allocators:
            return "glibc"
        return next((name for name in self.allocators if name != self.subject()), self.subject())

    def rivals(self):
        return [name for name in self.allocators if name != self.subject()]

    def distrusted(self, name):
        """Whether verify found that the allocator breaks malloc's contract."""
        return self.document["allocators"].get(name, {}).get("verified") is False

    def title(self, name):
        """The name as tables show it: one that broke the contract is marked wherever its figures stand."""
        return f"{name} (FAILS VERIFY)" if self.distrusted(name) else name

    def filter_words(self):
        """What a figure shows: printed on each."""
        return f"rows with status ok; {condition_words(self.condition)}"


def figure_value(row, key):
    """The median of a figure, or the number when the row holds a plain one; None when absent."""
    value = row.get(key) if row else None
    return value["median"] if isinstance(value, dict) else value


def figure_bounds(row, key):
    value = row.get(key) if row else None
    return (value["low"], value["high"]) if isinstance(value, dict) else (value, value)


def by_block(row, key):
    """Block number to sample; a plain number holds for every block."""
    value = row.get(key) if row else None
    blocks = row.get("blocks", []) if row else []
    if isinstance(value, dict):
        if len(value["samples"]) != len(blocks):
            return {}
        return dict(zip(blocks, value["samples"]))
    return {block: value for block in blocks} if value is not None else {}


def merge(documents, kind, created, command):
    """One document of several: rows in order; allocators by name, of which no two may differ; of a trace that several
    replayed, the entry of the first, whose `stopping` is about most rows."""
    counters = [document["counters"] for document in documents if "counters" in document]
    merged = {"schema_version": 1, "kind": kind, "created": created, "command": command,
              "environment": documents[0]["environment"], "allocators": {}, "traces": {}, "rows": []}
    if counters:
        merged["counters"] = counters[0]
    for document in documents:
        for name, facts in document["allocators"].items():
            known = merged["allocators"].setdefault(name, facts)
            if known.get("sha256") != facts.get("sha256"):
                raise schema.ResultsError(f"allocator {name} changed during the run: sha256 {known.get('sha256')}, "
                                          f"then {facts.get('sha256')}; run again")
        for name, facts in document["traces"].items():
            merged["traces"].setdefault(name, facts)
        merged["rows"] += document["rows"]
    return merged


def newest(results):
    """The newest run directory below results/, by name, which is its time."""
    found = sorted(path.parent for path in Path(results).glob("[0-9]*-[0-9]*-[0-9]*/results.json"))
    if not found:
        raise schema.ResultsError(f"{results}: holds no run; `make bench` makes one")
    return found[-1]


def load(path):
    return Run(schema.read(path), str(path))
