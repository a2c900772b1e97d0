"""Pictures of a run, as PNG and SVG. Every picture names the rows it shows; colours belong to allocators."""
import functools

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt                         # noqa: E402
import numpy                                            # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator       # noqa: E402

from . import load, stats, verdict                      # noqa: E402

# Okabe and Ito's colours, told apart in all common forms of colour blindness; the marker repeats the distinction.
LOOK = {"cellmalloc": ("#0072B2", "o"), "glibc": ("#4D4D4D", "s"), "jemalloc": ("#D55E00", "^"),
        "mimalloc": ("#009E73", "D"), "tcmalloc": ("#CC79A7", "v"), "null": ("#B0B0B0", "|"), "bump": ("#8C6D31", "_")}
SPARE = [("#E69F00", "P"), ("#56B4E9", "X"), ("#6A3D9A", "p"), ("#8B0000", "h"), ("#556B2F", "*"), ("#000000", "d")]
INK, FAINT, GRID = "#222222", "#777777", "#E4E4E4"
STYLE = {"font.family": ["DejaVu Sans"], "font.size": 10, "axes.edgecolor": "#999999", "axes.labelcolor": INK,
         "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
         "axes.spines.right": False, "svg.hashsalt": "heaplay", "figure.facecolor": "white", "axes.titlesize": 10}
PNG_DPI = 144


def look(name, names):
    if name in LOOK:
        return LOOK[name]
    others = [other for other in names if other not in LOOK]
    return SPARE[others.index(name) % len(SPARE)]


def bytes_words(value, _=None):
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"


def plain(value, _=None):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def count_words(value, _=None):
    for unit, size in ((" G", 1e9), (" M", 1e6), (" k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def head(figure, title, subtitle, foot):
    """Title and subtitle at the left edge, the filter at the foot, in inches so that tall figures look the same."""
    height = figure.get_figheight()
    figure.text(0.02, 1 - 0.12 / height, title, fontsize=13.5, fontweight="bold", va="top")
    figure.text(0.02, 1 - 0.42 / height, subtitle, fontsize=9.5, color=FAINT, va="top")
    figure.text(0.02, 0.08 / height, foot, fontsize=7.5, color=FAINT, va="bottom")


def foot(run, extra=""):
    facts = run.document["environment"]
    return (f"{run.filter_words()}{'; ' + extra if extra else ''}\n"
            f"{run.document['created'][:10]}, {facts['cpu']}, {facts['cpus']} CPUs, {facts['libc']}")


def log_ticks(axis, formatter=plain):
    low, high = axis.get_view_interval()
    decades = numpy.log10(high / low)
    if decades < 0.25:
        axis.set_major_locator(MaxNLocator(6))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 1.3 else
                                          (1, 2, 3, 5, 7) if decades > 0.6 else (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(formatter))


def dot_rows(axes, run, traces, value_of, bounds_of=None):
    """One line per trace, one mark per allocator; the subject is drawn last and larger."""
    names = [name for name in run.allocators if name != run.subject()] + [run.subject()]
    for position, trace in enumerate(traces):
        values = {name: value_of(trace, name) for name in names}
        known = [value for value in values.values() if value is not None]
        if not known:
            axes.text(0.5, position, "no figures", transform=axes.get_yaxis_transform(), va="center",
                      ha="center", fontsize=8, color=FAINT)
            continue
        axes.plot([min(known), max(known)], [position] * 2, color="#CCCCCC", linewidth=2, zorder=1,
                  solid_capstyle="round")
        for name in names:
            if values[name] is None:
                continue
            colour, marker = look(name, run.allocators)
            first = name == run.subject()
            if bounds_of:
                low, high = bounds_of(trace, name)
                axes.plot([low, high], [position] * 2, color=colour, linewidth=1.4, zorder=3, alpha=0.8)
            axes.plot(values[name], position, marker, color=colour, markersize=9 if first else 6.5,
                      markeredgecolor="white", markeredgewidth=0.8, zorder=5 if first else 4)
    axes.set_yticks(range(len(traces)), [run.label(trace) for trace in traces])
    for tick, trace in zip(axes.get_yticklabels(), traces):
        tick.set_fontstyle("italic" if run.is_synthetic(trace) else "normal")
    axes.set_ylim(len(traces) - 0.4, -0.6)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def legend(figure, run):
    handles = []
    for name in run.allocators:
        colour, marker = look(name, run.allocators)
        handles.append(plt.Line2D([], [], marker=marker, color=colour, linestyle="none", label=run.title(name),
                                  markersize=9 if name == run.subject() else 7))
    height = figure.get_figheight()
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.013, 1 - 0.62 / height), frameon=False,
                  ncols=min(6, len(handles)), fontsize=9.5, handletextpad=0.2, columnspacing=1.4, borderaxespad=0)


def figure_for_rows(run, traces, columns=1):
    height = 1.95 + 0.36 * len(traces)
    figure, axes = plt.subplots(1, columns, figsize=(9.2, height), sharey=columns > 1, squeeze=False)
    longest = max((len(run.label(trace)) for trace in traces), default=8)
    figure.subplots_adjust(left=min(0.34, 0.03 + 0.0082 * longest), right=0.97, top=1 - 1.02 / height,
                           bottom=0.93 / height, wspace=0.12)
    return figure, axes[0]


def throughput(run):
    traces = run.traces
    figure, (axes,) = figure_for_rows(run, traces)

    def value(trace, name):
        found = load.figure_value(run.row(trace, name), "ops_per_s")
        return found and found / 1e6

    def bounds(trace, name):
        low, high = load.figure_bounds(run.row(trace, name), "ops_per_s")
        return low / 1e6, high / 1e6

    axes.set_xscale("log")
    dot_rows(axes, run, traces, value, bounds)
    log_ticks(axes.xaxis)
    axes.set_xlabel("million operations per second (log scale), harness included  \N{RIGHTWARDS ARROW}  faster")
    head(figure, "Throughput", "Median over fresh processes; the line through a mark is its 95 % interval",
         foot(run))
    legend(figure, run)
    return figure


def peak_rss(run):
    traces = run.traces
    figure, (axes,) = figure_for_rows(run, traces)

    def value(trace, name):
        row = run.row(trace, name)
        found = load.figure_value(row, "peak_rss_kib")
        return found * 1024 / row["peak_live_bytes"] if found is not None and row.get("peak_live_bytes") else None

    def bounds(trace, name):
        row = run.row(trace, name)
        return tuple(bound * 1024 / row["peak_live_bytes"] for bound in load.figure_bounds(row, "peak_rss_kib"))

    axes.set_xscale("log")
    dot_rows(axes, run, traces, value, bounds)
    axes.axvline(1, color=INK, linewidth=1, zorder=2)
    log_ticks(axes.xaxis)
    axes.set_xlabel("leaner  \N{LEFTWARDS ARROW}  peak RSS / peak live bytes (log scale)")
    head(figure, "Peak memory", "Peak RSS above the harness's own, over the most bytes that the program had in use "
         "at once;\n1 would be no overhead, less is possible where blocks are not wholly touched", foot(run))
    figure.legends.clear()
    legend_below(figure, run)
    return figure


def legend_below(figure, run):
    """The legend when the subtitle has two lines."""
    legend(figure, run)
    height = figure.get_figheight()
    figure.legends[0].set_bbox_to_anchor((0.013, 1 - 0.76 / height))


def fragmentation_value(run, kind, trace, name):
    """The row's own figure in per cent, both of the moment when live bytes peak."""
    found = load.figure_value(run.row(trace, name), f"{kind}_fragmentation")
    return None if found is None else found * 100


def fragmentation(run):
    traces = run.traces
    figure, both = figure_for_rows(run, traces, 2)
    for axes, kind, ratio in zip(both, ("internal", "external"), ("usable over requested bytes",
                                                                  "resident over usable bytes\nwhen live bytes peak")):
        value = functools.partial(fragmentation_value, run, kind)
        dot_rows(axes, run, traces, value)
        axes.set_xlabel(f"{kind}, %: {ratio}")
        numbers = [value(trace, name) for trace in traces for name in run.allocators]
        numbers = [number for number in numbers if number is not None]
        if numbers and max(numbers) > 300:
            axes.set_xscale("symlog", linthresh=100, linscale=2)
            axes.set_xlim(min(0, *numbers) * 1.2 - 4, max(numbers) * 1.4)
            axes.xaxis.set_major_locator(FixedLocator([0, 25, 50, 75, 100, 300, 1000, 3000, 10000]))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.axvline(0, color=INK, linewidth=1, zorder=2)
    both[1].tick_params(axis="y", labelleft=False)
    head(figure, "Fragmentation at the peak", "Internal: rounding within blocks. External: what is resident beyond "
         "the blocks, headers included; blocks not wholly touched lower it", foot(run))
    legend(figure, run)
    return figure


def spread_labels(wanted, gap):
    """Positions as close to the wanted ones as a distance of `gap` between neighbours allows; order kept."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [wanted[index] for index in order]
    for _ in range(200):
        moved = False
        for index in range(len(placed) - 1):
            lack = gap - (placed[index + 1] - placed[index])
            if lack > 1e-9:
                placed[index] -= lack / 2
                placed[index + 1] += lack / 2
                moved = True
        if not moved:
            break
    result = [0.0] * len(wanted)
    for index, position in zip(order, placed):
        result[index] = position
    return result


def curve_points(run, trace, row):
    """[(operations done, live bytes, resident bytes)]: in recorded order; with threads, what the outside sampler saw."""
    watched = row.get("timeline") if row else None
    if run.threads(trace) > 1 and watched:
        return [(done, live, kib * 1024) for done, live, kib in
                zip(watched["operations"], watched["live_bytes"], watched["rss_kib"])]
    return [(point["operation"], point["live_bytes"], point["rss_kib"] * 1024) for point in (row or {}).get("curve", [])]


def curve(run, trace):
    """Resident memory of every allocator against live bytes, along one trace; None without curves."""
    rows = {name: run.row(trace, name) for name in run.allocators}
    rows = {name: points for name, points in ((name, curve_points(run, trace, row)) for name, row in rows.items()) if points}
    if not rows:
        return None
    figure, axes = plt.subplots(figsize=(9.2, 4.6))
    figure.subplots_adjust(left=0.10, right=0.84, top=0.82, bottom=0.20)
    where, live, _ = zip(*max(rows.values(), key=len))
    axes.fill_between(where, live, color="#D9D9D9", linewidth=0, zorder=1)
    axes.plot(where, live, color="#9A9A9A", linewidth=0.8, zorder=2)
    ends = []
    for name in sorted(rows, key=lambda name: name == run.subject()):
        colour, _ = look(name, run.allocators)
        x_axis, _, y_axis = zip(*rows[name])
        axes.plot(x_axis, y_axis, color=colour, linewidth=2.4 if name == run.subject() else 1.4, zorder=4)
        ends.append((name, y_axis[-1], colour))
    axes.set_xlim(0, max(where))
    top = max(max(resident for points in rows.values() for _, _, resident in points), max(live)) * 1.06
    axes.set_ylim(0, top)
    step = 2.0 ** numpy.ceil(numpy.log2(top / 7))
    axes.set_yticks(numpy.arange(0, top, step))
    axes.yaxis.set_major_formatter(FuncFormatter(bytes_words))
    axes.xaxis.set_major_formatter(FuncFormatter(count_words))
    axes.set_xlabel("operations done")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    labels = [*ends, ("live bytes", live[-1], "#808080")]
    for (name, value, colour), position in zip(labels, spread_labels([end[1] for end in labels], top * 0.058)):
        axes.annotate(name, xy=(1.0, value), xytext=(1.025, position), xycoords=("axes fraction", "data"),
                      textcoords=("axes fraction", "data"), color=colour, va="center", annotation_clip=False,
                      fontweight="bold" if name == run.subject() else "normal",
                      arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 0})
    head(figure, f"Memory over time: {run.label(trace)}",
         "Resident memory above the harness's own, against the bytes the program had in use (grey)",
         foot(run, "one run in recorded order" if run.threads(trace) == 1 else
              "one run on the recorded threads, seen from outside; live bytes of the run with the most points"))
    return figure


def overall_point(run, name, measure):
    """Ratio to the reference over the traces that every shown allocator shares; an Estimate."""
    if name == run.reference():
        return stats.Estimate(1.0, 1.0, 1.0, 1.0, 1.0, stats.FEWEST_BLOCKS, 1)
    found = verdict.compare_overall(run, measure, name, run.reference())
    return found and found.estimate


def speed_against_memory(run):
    reference = run.reference()
    figure, axes = plt.subplots(figsize=(8.2, 6.4))
    figure.subplots_adjust(left=0.11, right=0.95, top=0.86, bottom=0.17)
    axes.set_xscale("log")
    axes.set_yscale("log")
    labels = []
    for name in run.allocators:
        colour, marker = look(name, run.allocators)
        for trace in run.traces if name != reference else ():
            pair = [load.figure_value(run.row(trace, which), measure.key) for measure in verdict.MEASURES
                    for which in (name, reference)]
            if all(value and value > 0 for value in pair):
                axes.plot(pair[0] / pair[1], pair[2] / pair[3], marker, color=colour, alpha=0.28, markersize=5,
                          markeredgewidth=0, zorder=2)
        time, memory = (overall_point(run, name, measure) for measure in verdict.MEASURES)
        if not time or not memory:
            continue
        axes.plot([time.low, time.high], [memory.ratio] * 2, color=colour, linewidth=1.6, zorder=4)
        axes.plot([time.ratio] * 2, [memory.low, memory.high], color=colour, linewidth=1.6, zorder=4)
        axes.plot(time.ratio, memory.ratio, marker, color=colour, markersize=14 if name == run.subject() else 11,
                  markeredgecolor="white", markeredgewidth=1.2, zorder=5)
        labels.append((name, time, memory, colour))
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        low, high = min(low, 0.9), max(high, 1.12)
        margin = (high / low) ** 0.05
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(low / margin, high * margin)
        log_ticks(axis, lambda value, _=None: f"{value:.3g}\N{MULTIPLICATION SIGN}")
    axes.axvline(1, color="#AAAAAA", linewidth=1, zorder=1)
    axes.axhline(1, color="#AAAAAA", linewidth=1, zorder=1)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    place_labels(axes, run, labels)
    axes.set_xlabel(f"faster  \N{LEFTWARDS ARROW}  time per operation, {reference} = 1 (log scale)")
    axes.set_ylabel(f"leaner  \N{LEFTWARDS ARROW}  peak RSS, {reference} = 1 (log scale)")
    axes.text(0.012, 0.015, "better", transform=axes.transAxes, color=FAINT, fontsize=9, fontstyle="italic")
    head(figure, "Speed against memory",
         f"Geometric means over {len(run.traces)} traces with 95 % intervals; faint: single traces", foot(run))
    return figure


def overlap(first, second):
    """Area that two boxes (left, bottom, width, height) share."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(0.0, width) * max(0.0, height)


def place_labels(axes, run, labels):
    """Names beside their marks, each on the side (in axes coordinates) where it covers the least."""
    to_axes = axes.transAxes.inverted()

    def place(x, y):
        return to_axes.transform(axes.transData.transform((x, y)))

    spots = [place(time.ratio, memory.ratio) for _, time, memory, _ in labels]
    taken = [(x - 0.018, y - 0.022, 0.036, 0.044) for x, y in spots]
    for _, time, memory, _ in labels:
        (left, middle), (right, _) = place(time.low, memory.ratio), place(time.high, memory.ratio)
        taken.append((left, middle - 0.006, right - left, 0.012))
    for (name, _, _, colour), (x, y) in zip(labels, spots):
        width, height = 0.0165 * len(name), 0.04
        sides = [(x + 0.024, y), (x + 0.02, y + 0.042), (x - 0.024 - width, y), (x - width / 2, y + 0.052),
                 (x - width / 2, y - 0.052), (x + 0.02, y - 0.042), (x - 0.02 - width, y + 0.042),
                 (x - 0.02 - width, y - 0.042), (x + 0.07, y + 0.08), (x - width - 0.07, y - 0.08)]
        boxes = [(left, middle - height / 2, width, height) for left, middle in sides]
        outside = [10 * (box[2] * box[3] - overlap(box, (0, 0, 1, 1))) for box in boxes]
        cost = [round(sum(overlap(box, other) for other in taken) + beyond, 6) for box, beyond in zip(boxes, outside)]
        best = boxes[cost.index(min(cost))]
        taken.append(best)
        axes.annotate(name, xy=(x, y), xycoords="axes fraction", xytext=(best[0], best[1] + height / 2),
                      textcoords="axes fraction", ha="left", va="center", color=colour, fontsize=11, zorder=6,
                      fontweight="bold" if name == run.subject() else "normal")


def draw_all(run, directory):
    """Writes every picture into the directory; returns [(name, caption)] in the report's order."""
    directory.mkdir(parents=True, exist_ok=True)
    pictures = [("speed-against-memory", "Speed against memory", speed_against_memory),
                ("throughput", "Throughput per trace", throughput),
                ("peak-rss", "Peak RSS over peak live bytes per trace", peak_rss),
                ("fragmentation", "Internal and external fragmentation per trace", fragmentation)]
    pictures += [(f"memory-{file_name(trace)}", f"Memory over time: {run.label(trace)}",
                  lambda run, trace=trace: curve(run, trace)) for trace in run.traces]
    made = []
    with plt.rc_context(STYLE):
        for name, caption, draw in pictures:
            figure = draw(run) if run.by_key else None
            if figure is None:
                continue
            figure.savefig(directory / f"{name}.png", dpi=PNG_DPI)
            figure.savefig(directory / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            made.append((name, caption))
    return made


def file_name(trace):
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in trace)
