"""Properties of the tools on traces, on random traces with every kind of call, and how close `heaplay fit` comes."""
import collections
import json
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAPLAY = Path(os.environ.get("OUT", ROOT / "build" / "release")) / "heaplay"
HEADER = "kind,thread,time_ns,id,old_id,size,count,alignment"
Event = collections.namedtuple("Event", HEADER.split(","))
FREES = ("free", "free_sized", "free_aligned_sized", "delete", "delete_sized", "delete_aligned")


def heaplay(*words):
    return subprocess.run([HEAPLAY, *map(str, words)], capture_output=True, text=True, check=False)


def good(*words):
    done = heaplay(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(path, events):
    """A trace of these events, in any numbering of blocks."""
    text = path.with_suffix(".csv")
    text.write_text("\n".join([HEADER] + [",".join(map(str, e)) for e in events]) + "\n")
    good("import", "--strict", text, "-o", path)
    return path


def read(path):
    """The calls of a trace, without the starts and ends of threads."""
    good("check", path)
    lines = good("export", "--to", "csv", path).splitlines()
    assert lines[0] == HEADER
    rows = (line.split(",") for line in lines[1:])
    return [Event(row[0], *map(int, row[1:])) for row in rows if not row[0].startswith("thread_")]


def consumes(e):
    return e.old_id and (e.kind in FREES or e.kind in ("realloc", "reallocarray") and (e.id or not e.size or (
        e.kind == "reallocarray" and not e.count)))


def live_after(events):
    """Block -> the event that made it, in order."""
    live = {}
    for e in events:
        if consumes(e):
            del live[e.old_id]
        if e.id:
            live[e.id] = e
    return live


def renamed(events, timed=True):
    """The events with blocks and threads numbered by their first appearance."""
    blocks, threads = {0: 0}, {}
    return [e._replace(id=blocks.setdefault(e.id, len(blocks)), thread=threads.setdefault(e.thread, len(threads)),
                       old_id=blocks.setdefault(e.old_id, len(blocks)), time_ns=e.time_ns * timed) for e in events]


def release(rng, made, thread, now):
    kind = {"new": "delete", "new_aligned": "delete_aligned"}.get(made.kind, "free")
    if made.kind == "malloc" and rng.random() < 0.3:
        kind = "free_sized"
    size = made.size if kind in ("free_sized", "delete_aligned") else 0
    return Event(kind, thread, now, 0, made.id, size, 0, made.alignment if kind == "delete_aligned" else 0)


def random_events(seed, count=600, threads=3):
    """Calls of every kind: failing ones, frees of NULL, reallocs to nothing, blocks that pass between threads."""
    rng, live, out, block = random.Random(seed), {}, [], 0
    for i in range(count):
        thread, now, size, roll = rng.randrange(threads), 64 * 20 * i, rng.randrange(1, 3000), rng.random()
        old = rng.choice(list(live)) if live else 0
        if roll < 0.4 or not old:
            kind = rng.choice(["malloc", "malloc", "calloc", "memalign", "aligned_alloc", "new", "new_aligned", "valloc"])
            failed = rng.random() < 0.03
            block += not failed
            e = Event(kind, thread, now, 0 if failed else block, 0, size, 3 if kind == "calloc" else 0,
                      2 ** rng.randrange(4, 9) if "align" in kind else 0)
        elif roll < 0.55:
            block += 1
            e = Event("realloc", thread, now, block, old, size, 0, 0)
        elif roll < 0.58:
            e = Event("realloc", thread, now, 0, old, rng.choice([0, 10**15]), 0, 0)
        elif roll < 0.63:
            e = Event("malloc_usable_size", thread, now, 0, old, size, 0, 0)
        elif roll < 0.66:
            e = Event("free", thread, now, 0, 0, 0, 0, 0)
        else:
            e = release(rng, live[old], thread, now)
        if consumes(e):
            del live[e.old_id]
        if e.id:
            live[e.id] = e
        out.append(e)
    return out


@pytest.fixture(name="trace", params=[1, 2, 3], ids=lambda seed: f"seed{seed}")
def random_trace(request, tmp_path):
    events = random_events(request.param)
    path = write(tmp_path / "t.hpt", events)
    assert renamed(read(path)) == renamed(events)
    return path, events


def test_parts_make_the_whole(trace, tmp_path):
    """A cut at any place: what lives there is allocated as it was made, then the calls of the part follow unchanged."""
    path, events = trace
    for cut in (0, 1, 17, 300, len(events) - 1):
        good("slice", "--ops", f":{max(1, cut)}", path, "-o", tmp_path / "a.hpt")
        good("slice", "--ops", f"{cut}:", path, "-o", tmp_path / "b.hpt")
        first, second = read(tmp_path / "a.hpt"), read(tmp_path / "b.hpt")
        assert renamed(first) == renamed(events[:max(1, cut)])
        live = live_after(events[:cut])
        prelude = [Event("malloc" if made.old_id else made.kind, made.thread, events[cut].time_ns, block, 0,
                         made.size * max(1, made.count), int(made.kind == "calloc"), made.alignment)
                   for block, made in sorted(live.items())]
        assert renamed(second) == renamed(prelude + events[cut:])


def test_times_cut_where_operations_do(trace, tmp_path):
    path, events = trace
    at = events[200].time_ns
    good("slice", "--time", f"{at / 1e9:.9f}:", path, "-o", tmp_path / "a.hpt")
    good("slice", "--ops", "200:", path, "-o", tmp_path / "b.hpt")
    assert good("diff", tmp_path / "a.hpt", tmp_path / "b.hpt") == "the same calls\n"


def test_a_thread_alone_keeps_its_calls_on_its_blocks(trace, tmp_path):
    path, _ = trace
    events = read(path)                 # threads are numbered in the order in which they appear
    for thread in range(3):
        good("slice", "--thread", thread, path, "-o", tmp_path / "a.hpt")
        part, own = read(tmp_path / "a.hpt"), {e.id for e in events if e.thread == thread and e.id}
        assert {e.thread for e in part} == {0}
        wanted = [e.kind for e in events if e.thread == thread and (
            e.old_id in own or not e.old_id or e.id) and e.kind not in FREES]
        assert [e.kind for e in part if e.kind not in FREES] == wanted
        assert len(live_after(part)) == sum(made.thread == thread for made in live_after(events).values())


def test_head_and_tail_are_slices(trace, tmp_path):
    path, events = trace
    for tool, cut in (("head", ":70"), ("tail", f"{len(events) - 70}:")):
        good(tool, "-n", 70, path, "-o", tmp_path / "a.hpt")
        good("slice", "--ops", cut, path, "-o", tmp_path / "b.hpt")
        assert heaplay("diff", tmp_path / "a.hpt", tmp_path / "b.hpt").returncode == 0


def thread_of_input(merged, thread, parts):
    """Which input a thread of the merged trace comes from: its calls are those of one thread of that input."""
    def calls(events, one):
        return [(e.kind, e.time_ns, e.size) for e in events if e.thread == one]
    wanted = calls(merged, thread)
    found = [i for i, part in enumerate(parts) for one in range(3) if calls(part, one) == wanted]
    assert len(found) == 1
    return found[0]


def test_merge_keeps_each_input(tmp_path):
    parts = [random_events(seed, 300, threads) for seed, threads in ((5, 2), (6, 1), (7, 3))]
    paths = [write(tmp_path / f"{i}.hpt", events) for i, events in enumerate(parts)]
    good("merge", *paths, "-o", tmp_path / "m.hpt")
    merged = read(tmp_path / "m.hpt")
    assert [e.time_ns for e in merged] == sorted(e.time_ns for e in merged)
    assert len({e.thread for e in merged}) == 6
    for i, part in enumerate(parts):
        mine = [thread for thread in range(6) if thread_of_input(merged, thread, parts) == i]
        assert renamed([e for e in merged if e.thread in mine]) == renamed(part)


def test_diff_finds_the_one_change(trace, tmp_path):
    path, events = trace
    write(tmp_path / "same.hpt", events)
    assert good("diff", path, tmp_path / "same.hpt") == "the same calls\n"
    made = [at for at, e in enumerate(events) if e.kind == "malloc" and e.id]
    for at in (made[0], made[len(made) // 2], made[-1]):
        changed = list(events)
        changed[at] = changed[at]._replace(size=77777)
        write(tmp_path / "other.hpt", changed)
        done = heaplay("diff", path, tmp_path / "other.hpt")
        assert done.returncode == 1 and "the first difference is event" in done.stdout
        assert f"size {events[at].size}," in done.stdout and "size 77777," in done.stdout


def test_noise_keeps_class_and_rounding(trace, tmp_path):
    path, events = trace
    good("anonymize", "--noise", 9, path, "-o", tmp_path / "a.hpt")
    noisy = read(tmp_path / "a.hpt")
    blank = [e._replace(size=0) for e in events]
    assert renamed([e._replace(size=0) for e in noisy]) == renamed(blank)

    def rounding(size):
        return -(-size // 16), min(size & -size, 16)
    assert [rounding(e.size) for e in noisy] == [rounding(e.size) for e in events]
    assert [e.size for e in noisy] != [e.size for e in events]


def test_noise_keeps_sized_frees_fitting(tmp_path):
    rows = [("malloc", 1, 0, 301, 0), ("calloc", 2, 0, 103, 3), ("malloc_usable_size", 0, 2, 309, 0),
            ("free_sized", 0, 2, 309, 0),
            ("free_sized", 0, 1, 301, 0)]
    write(tmp_path / "t.hpt", [Event(kind, 0, 0, made, old, size, count, 0) for kind, made, old, size, count in rows])
    for seed in range(1, 9):
        good("anonymize", "--noise", seed, tmp_path / "t.hpt", "-o", tmp_path / "a.hpt")
        first, *others, last = [e.size for e in read(tmp_path / "a.hpt")]
        assert others == [103, 309, 309] and first == last


@pytest.mark.parametrize("words", [
    ["slice"], ["head"], ["tail"], ["anonymize"], ["fit"], ["import"], ["export", "--to", "csv"]])
def test_an_input_is_not_written_over(tmp_path, words):
    path = write(tmp_path / "t.hpt", random_events(4, 50))
    link = tmp_path / "link.hpt"
    link.symlink_to(path)
    before = path.read_bytes()
    done = heaplay(*words, path, "-o", link)
    assert done.returncode == 2 and "also the input" in done.stderr and path.read_bytes() == before
    done = heaplay("merge", path, path, "-o", link)
    assert done.returncode == 2 and path.read_bytes() == before


def test_parts_that_hold_nothing_are_refused(trace, tmp_path):
    path, _ = trace
    for words in (["--ops", "100000:"], ["--thread", "99"]):
        done = heaplay("slice", *words, path, "-o", tmp_path / "a.hpt")
        assert done.returncode == 3 and "nothing of" in done.stderr
    good("generate", "mix", "--ops", 100, "-o", tmp_path / "g.hpt")
    done = heaplay("slice", "--time", "0:1", tmp_path / "g.hpt", "-o", tmp_path / "a.hpt")
    assert done.returncode == 3 and "has no times" in done.stderr


def shape(path):
    """Sizes of blocks, lifetimes of those that were freed (operations), calls by kind, and blocks never freed."""
    born, sizes, lifetimes, kinds = {}, [], [], collections.Counter()
    for now, e in enumerate(read(path)):
        kinds[e.kind] += 1
        if consumes(e):
            lifetimes.append(now - born.pop(e.old_id))
        if e.id:
            born[e.id] = now
            sizes.append(e.size * max(1, e.count))
    return sizes, lifetimes, kinds, len(born)


def distance(a, b, tolerance=0.1):
    """Kolmogorov and Smirnov's distance of two samples, but values within the tolerance of each other are equal: a thousand
    blocks that all live 8000 operations in one and 7990 in the other are no difference worth 1."""
    a, b = np.sort(a), np.sort(b)
    worst = 0.0
    for x, y in ((a, b), (b, a)):
        below = np.searchsorted(x, x, "right") / len(x)
        worst = max(worst, np.max(below - np.searchsorted(y, x * (1 + tolerance), "right") / len(y)))
    return worst


def test_the_distance_tells():
    steps = np.arange(1, 1001)
    assert distance(steps, steps) == 0 and distance(steps, 1.05 * steps) == 0
    assert 0.4 < distance(steps, 2 * steps) < 0.5 and distance(steps, steps + 5000) == 1


@pytest.mark.parametrize("source", ["larson", "phases", "dot.hpt", "gdb.hpt", "java.hpt", "memcached.hpt", "node.hpt"])
def test_fit_keeps_distributions(tmp_path, source):
    path, fitted = ROOT / "traces" / source, tmp_path / "f.hpt"
    if not source.endswith(".hpt"):
        path = tmp_path / "g.hpt"
        good("generate", source, "--ops", 60000, "-o", path)
    good("fit", path, "-o", fitted)
    (sizes, lifetimes, kinds, never), (other_sizes, other_lifetimes, other_kinds, other_never) = shape(path), shape(fitted)
    assert distance(sizes, other_sizes, 0) < 0.02
    assert distance(lifetimes, other_lifetimes) < 0.04
    assert sum(kinds.values()) == sum(other_kinds.values())
    assert abs(never - other_never) <= 0.02 * len(sizes)
    for kind, count in kinds.items():
        assert abs(count - other_kinds[kind]) <= max(20, 0.1 * count), kind


def test_fit_of_another_length(tmp_path):
    path, fitted = tmp_path / "g.hpt", tmp_path / "f.hpt"
    good("generate", "larson", "--ops", 40000, "-o", path)
    for count in (1, 7000, 120000):
        good("fit", "--ops", count, path, "-o", fitted)
        sizes, *_, kinds, _ = shape(fitted)
        assert sum(kinds.values()) == count
        assert count < 1000 or distance(shape(path)[0], sizes, 0) < 0.03


def expected_card(events):
    """The figures of `heaplay info`, counted in another way."""
    live, most, peak = {}, collections.Counter(), (0, 0)
    card = collections.Counter()
    sizes, lifetimes, exact = collections.Counter(), collections.Counter(), collections.Counter()
    for now, e in enumerate(events):
        if consumes(e):
            made, born = live.pop(e.old_id)
            lifetimes[(now - born).bit_length()] += 1
            card["cross_thread_frees"] += made.thread != e.thread
        if e.kind in FREES:
            card["frees" if e.old_id else "null_frees"] += 1
        elif not e.id and e.kind != "malloc_usable_size":
            card["frees" if consumes(e) else "failed"] += 1
        if e.id:
            live[e.id] = e, now
            size = e.size * max(1, e.count)
            sizes[size.bit_length()] += 1
            exact[size] += 1
            card["requested_bytes"] += size
            card["allocations"] += 1
            per_class = collections.Counter((m.size * max(1, m.count)).bit_length() for m, _ in live.values())
            most |= per_class
        requested = [m.size * max(1, m.count) for m, _ in live.values()]
        if sum(requested) > peak[0]:
            small = sum(-(-max(1, size) // 16) * 16 for size in requested if size < 4096)
            peak = (sum(requested), -(-small // 4096) * 4096 + sum(-(-size // 4096) * 4096 for size in requested if size >= 4096))
    card.update(never_freed=len(live), peak_live_bytes=peak[0])
    return card, sizes, most, lifetimes, exact, peak[1]


def test_info_counts_as_another_program_does(trace):
    path, _ = trace
    info = json.loads(good("info", path, "--json"))
    card, sizes, most, lifetimes, exact, pages = expected_card(read(path))
    for key, value in card.items():
        assert info[key] == value, key
    assert {c["to"].bit_length(): c["count"] for c in info["sizes"]} == sizes
    assert {c["to"].bit_length(): c["most_live"] for c in info["sizes"]} == most
    assert {c["to"].bit_length(): c["count"] for c in info["lifetimes"]} == lifetimes
    assert [c["count"] for c in info["common_sizes"]] == sorted(exact.values(), reverse=True)[:10]
    assert all(exact[c["size"]] == c["count"] for c in info["common_sizes"])
    assert info["footprint_at_peak"]["pages"] == pages and info["resident_at_free"] is None


def test_info_of_a_trace_with_residency(tmp_path):
    path = tmp_path / "t.hpt"
    done = heaplay("record", "--touch", "-o", path, "--", "/bin/ls", "/")
    assert done.returncode == 0, done.stderr
    resident = json.loads(good("info", path, "--json"))["resident_at_free"]
    assert 0 < resident["resident"] and 0 < resident["bytes"]
    assert "in blocks when they were freed" in good("info", path)


def through(form, e):
    """What is left of a call after an export to this format; None: the format has no such call."""
    size = e.size * max(1, e.count)
    aligned = e.alignment or (4096 if e.kind == "valloc" and form == "android" else 0)
    if form == "csv":
        return e
    if e.kind == "malloc_usable_size":
        return None
    if e.kind in FREES:
        kind, size, aligned = "free", 0, 0
    elif e.kind == "realloc" or form != "rep" and e.kind == "calloc" or form == "wl" and e.kind == "valloc":
        kind = e.kind
    else:
        kind = "memalign" if aligned and form != "rep" else "malloc"
    if form == "rep":
        if not e.id and not consumes(e):
            return None
        kind = "free" if not e.id else "realloc" if e.old_id else "malloc"
        return Event(kind, 0, 0, e.id, e.old_id, size, 0, 0)
    if form == "wl":
        return Event(kind, e.thread, 0, e.id, e.old_id, size, int(kind == "calloc"), aligned)
    return e._replace(kind=kind, size=e.size if kind != "free" else 0, alignment=aligned)


@pytest.mark.parametrize("form", ["csv", "android", "rep", "wl"])
@pytest.mark.parametrize("threads", [1, 3])
def test_round_trips(tmp_path, form, threads):
    for seed in (11, 12, 13):
        path, text, back = (tmp_path / name for name in ("t.hpt", "text", "back.hpt"))
        write(path, random_events(seed, 600, threads))
        done = heaplay("export", "--to", form, path, "-o", text)
        assert done.returncode == 0, done.stderr
        good("import", "--strict", text, "-o", back)
        wanted = [e for e in (through(form, e) for e in read(path)) if e]
        got = read(back)
        if form != "wl" or threads == 1:
            assert renamed(got) == renamed(wanted)
            continue
        # Between the places where a block passes from one thread to another this format keeps no order of threads.
        for thread in range(threads):
            assert [(e.kind, e.size, e.count, e.alignment) for e in got if e.thread == thread] == [
                (e.kind, e.size, e.count, e.alignment) for e in wanted if e.thread == thread]
        assert len(live_after(got)) == len(live_after(wanted))
