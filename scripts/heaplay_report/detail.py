"""What lies behind the two headline figures: memory beyond its peak, and the processor's own counts."""
from . import load, verdict

EVENTS = ("cycles", "instructions", "cache_misses", "dtlb_misses")
MEMORY_HEADS = ("peak", "at peak live", "mean, recorded order", "mean, over time", "internal", "external", "after drain, KiB",
                "drift, KiB a pass", "before the start, KiB")


def ratio(value):
    return "" if value is None else f"{value:.3g}"


def drift(row):
    """KiB that resident memory grows by from one pass of --loops to the next: slope over the passes, median of the samples."""
    slopes = []
    for ends in row.get("pass_end_rss_kib", []):
        later = ends[len(ends) // 2:]           # the first passes find their size
        if len(later) > 1 and None not in later:
            slopes.append((later[-1] - later[0]) / (len(later) - 1))
    return sorted(slopes)[len(slopes) // 2] if slopes else None


def memory_rows(run, number):
    """[trace, allocator, then MEMORY_HEADS]: ratios to live bytes, shares, KiB; empty where a run did not look."""
    table = []
    for trace in run.traces:
        for name in run.allocators:
            row = run.row(trace, name)
            if not row or "at_peak_live_ratio" not in row:
                continue
            internal, external = row.get("internal_fragmentation"), row.get("external_fragmentation")
            table.append([run.label(trace), run.title(name), ratio(load.figure_value(row, "peak_ratio")),
                          ratio(row["at_peak_live_ratio"]), ratio(row.get("time_average_ratio")),
                          ratio(row.get("timeline", {}).get("average_ratio")),
                          "" if internal is None else verdict.percent(internal),
                          "" if external is None else verdict.percent(external),
                          number(load.figure_value(row, "rss_after_drain_kib")), number(drift(row)),
                          number(load.figure_value(row, "start_rss_kib"))])
    return table


LATENCY_HEADS = ("p50", "p90", "p99", "p99.9", "p99.99", "max", "the clock's p99.9", "slowest call")


def latency_rows(run):
    """[trace, allocator, then LATENCY_HEADS] in ns, of rows whose calls were timed one by one."""
    table = []
    for trace in run.traces:
        for name in run.all_allocators:
            found = (run.row(trace, name) or {}).get("latency")
            if not found:
                continue
            worst = found["worst"]
            shares = [found["all"].get(head, "") for head in LATENCY_HEADS[:6]]
            table.append([run.label(trace), run.title(name), *shares, found["control"].get("p99.9", ""),
                          f"{worst['kind']}({worst['bytes']}), operation {worst['operation']}"])
    return table


def missing_counters(run):
    """One sentence on the hardware events that the kernel did not count; empty when it counted all or was not asked."""
    missing = [f"{name} ({said.removeprefix('missing: ')})" for name, said in run.document.get("counters", {}).items()
               if said != "counted"]
    return f"Not counted, for the kernel does not offer them: {', '.join(missing)}." if missing else ""


def counter_rows(run, number):
    """[trace, allocator, events per operation ...] of the rows that have any."""
    table = []
    for trace in run.traces:
        for name in run.all_allocators:
            row = run.row(trace, name) or {}
            values = [load.figure_value(row, f"{event}_per_op") for event in EVENTS]
            if any(value is not None for value in values):
                table.append([run.label(trace), run.title(name), *map(number, values)])
    return table
