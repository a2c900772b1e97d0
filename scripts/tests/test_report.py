"""From a document to words, tables and pages; bad documents end in one line and exit 3."""
import json
import re

import fixture
import pytest

import advise
import compare
import report
from heaplay_report import load, plots, schema, stats, text, verdict

SMALL = {"python-json": (24, 4000), "gcc-cc1": (31, 8000), "larson-handoff": (60, 1600)}


@pytest.fixture
def run():
    return load.Run(fixture.document(traces=SMALL))


def write(tmp_path, document, name="results.json"):
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


def test_fixture_keeps_the_schema():
    schema.check(fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "jemalloc"), "fixture")


@pytest.mark.parametrize("damage, place", [
    (lambda doc: doc.pop("rows"), "rows"),
    (lambda doc: doc.update(schema_version=2), "schema_version 2 is newer"),
    (lambda doc: doc["rows"][1].update(status="fine"), "rows/1"),
    (lambda doc: doc["rows"][0]["ns_per_op"].update(samples=[]), "rows/0/ns_per_op"),
    (lambda doc: doc["rows"][0]["ns_per_op"]["samples"].pop(), "7 samples for 8 blocks"),
    (lambda doc: doc["rows"][0]["blocks"].__setitem__(0, 1), "occurs twice"),
    (lambda doc: doc["rows"][2].update(status="crashed"), "rows/2"),
    (lambda doc: doc["environment"].pop("cpu"), "environment"),
])
def test_schema_violations_name_the_place(tmp_path, capsys, damage, place):
    document = fixture.document(traces=SMALL)
    damage(document)
    assert report.main([str(write(tmp_path, document))]) == 3
    said = capsys.readouterr().err
    assert place in said and said.count("\n") == 1 and "results.json" in said


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"schema_version": 1'])
def test_what_is_no_results_document(tmp_path, capsys, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    assert report.main([str(path)]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_file(tmp_path, capsys):
    assert report.main([str(tmp_path / "none.json")]) == 3
    assert "cannot be read" in capsys.readouterr().err


def test_known_difference_is_said_in_words(run):
    found = verdict.compare_overall(run, verdict.MEMORY, "cellmalloc", "glibc")
    assert verdict.phrase(found).startswith("leaner by 7.0") or verdict.phrase(found).startswith("leaner by 6.9")
    found = verdict.compare_overall(run, verdict.TIME, "glibc#again", "glibc")
    assert re.match(r"no difference shown; the smallest effect this run could show is [\d.]+ %", verdict.phrase(found))


@pytest.mark.parametrize("floor, shown", [(0.0, "1.8 %"), (0.05, "5.0 %")])
def test_no_difference_says_what_could_have_been_shown(floor, shown):
    """The larger of what the spread hides and what the control shows."""
    even = stats.Estimate(1.001, 0.99, 1.012, 1 / 1.018, 1.018, pairs=8, series=1)
    found = verdict.Comparison(verdict.TIME, "t", "a", "b", even, floor)
    assert verdict.phrase(found) == f"no difference shown; the smallest effect this run could show is {shown}"
    few = verdict.Comparison(verdict.TIME, "t", "a", "b", even._replace(pairs=3), floor)
    assert verdict.phrase(few) == "no verdict: 3 paired samples, at least 4 are needed"


def test_twice_as_much_is_said_in_times(run):
    found = verdict.compare_on_trace(run, "gcc-cc1", verdict.MEMORY, "bump", "glibc")
    assert verdict.phrase(found) == "larger: 6.0 times as much peak RSS"


def test_floor_of_the_control_holds_back_a_claim(run):
    found = verdict.compare_on_trace(run, "gcc-cc1", verdict.MEMORY, "cellmalloc", "glibc", floor=0.10)
    assert found.claimed == 0 and "the A/A control shows" in verdict.phrase(found)
    assert verdict.compare_on_trace(run, "gcc-cc1", verdict.MEMORY, "cellmalloc", "glibc", floor=0.02).claimed == -1


def with_peaks(kib, allocators=("cellmalloc", "glibc", "glibc#again")):
    """A run of two traces; on "one" the allocators' peaks are the given ones, of samples that hardly spread."""
    document = fixture.document(traces={"one": (20, 4000), "two": (30, 80_000)}, allocators=list(allocators),
                                speed={"cellmalloc": 0.5})
    for row in document["rows"]:
        if row["trace"] == "one" and row["allocator"] in kib:
            peak = kib[row["allocator"]]
            row["peak_rss_kib"] = fixture.figure([peak - 1, peak, peak, peak, peak, peak, peak, peak + 1])
    return load.Run(document)


@pytest.mark.parametrize("gap, claimed", [(-80, 0), (80, 0), (299, 0), (-299, 0), (301, 1), (-301, -1)])
def test_what_the_kernels_count_can_be_off_is_not_claimed(gap, claimed):
    """Of peaks on one trace, at whatever size; the mean over traces and times know no such bound."""
    for peak in (1200, 50_000):
        run = with_peaks({"cellmalloc": peak + gap, "glibc": peak})
        found = verdict.compare_on_trace(run, "one", verdict.MEMORY, "cellmalloc", "glibc")
        assert found.estimate.claimed and found.claimed == claimed
        said = f"no difference shown: {abs(gap)} KiB is within the 300 that the kernel's count can be off"
        assert (verdict.phrase(found) == said) == (claimed == 0)
        for other in (verdict.compare_overall(run, verdict.MEMORY, "cellmalloc", "glibc"),
                      verdict.compare_on_trace(run, "one", verdict.TIME, "cellmalloc", "glibc")):
            assert other.claimed == other.estimate.claimed != 0


def test_the_smallest_effect_knows_the_kernels_count():
    run = with_peaks({"cellmalloc": 1000, "glibc": 1000})
    found = verdict.compare_on_trace(run, "one", verdict.MEMORY, "cellmalloc", "glibc")
    assert verdict.phrase(found) == "no difference shown; the smallest effect this run could show is 30 %"


@pytest.mark.parametrize("gap, first", [(250, ["cellmalloc", "glibc"]), (350, ["cellmalloc"])])
def test_the_first_place_is_shared_within_the_kernels_count(gap, first):
    run = with_peaks({"cellmalloc": 3000, "glibc": 3000 + gap})
    assert verdict.best(run, "one", verdict.MEMORY) == first


def test_the_control_is_held_to_the_kernels_count_too():
    run = with_peaks({"glibc": 3000, "glibc#again": 3080})
    assert "glibc against itself shows no difference on any of 2 traces" in verdict.control_words(verdict.control(run))[1]
    run = with_peaks({"glibc": 3000, "glibc#again": 3400})
    assert "differs on 1 of 2 traces (most on one, 13 %)" in verdict.control_words(verdict.control(run))[1]
    found = verdict.all_comparisons(with_peaks({"cellmalloc": 2650, "glibc": 3000, "glibc#again": 3400}))
    one = next(one for one in found if (one.trace, one.measure) == ("one", verdict.MEMORY))
    assert verdict.phrase(one) == "no difference shown: 12 % is within the 13 % that the A/A control shows"


def test_uneven_control_is_reported():
    run = load.Run(fixture.document(traces=SMALL, speed={"glibc#again": 1.10}))
    assert "differs on 3 of 3 traces" in verdict.control_words(verdict.control(run))[0]
    run = load.Run(fixture.document(traces=SMALL, allocators=["cellmalloc", "glibc"]))
    assert "no A/A control" in verdict.control_words(verdict.control(run))[0]


def test_span_prints_bounds_once_when_equal():
    assert verdict.span(0.118, 0.152) == "12-15 %"
    assert verdict.span(0.1201, 0.1203) == "12 %"
    assert verdict.span(0.021, 0.034) == "2.1-3.4 %"
    assert verdict.percent(0.0183) == "1.8 %"


def test_losses_come_largest_first_and_failures_before(run):
    lines = text.loss_lines(run)
    assert lines and "mimalloc" in lines[0]
    failed = load.Run(fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "cellmalloc"))
    assert text.loss_lines(failed)[0] == "gcc-cc1: crashed (ended by signal 11)"


def test_failed_rows_stay_rows(tmp_path):
    document = fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "jemalloc", "wrong", "overlap at operation 17")
    assert report.main([str(write(tmp_path, document))]) == 0
    page = (tmp_path / "report.md").read_text()
    assert "gcc-cc1 under jemalloc: wrong (overlap at operation 17)" in page
    line = next(line for line in page.splitlines() if line.startswith("| gcc-cc1 |"))
    assert "wrong" in line
    assert "gcc-cc1,jemalloc,recorded,page,flat,1,wrong" in (tmp_path / "results.csv").read_text()


def test_report_can_be_found_again_in_the_results(tmp_path):
    document = fixture.document(traces=SMALL)
    assert report.main([str(write(tmp_path, document))]) == 0
    page = (tmp_path / "report.md").read_text()
    row = next(row for row in document["rows"] if (row["trace"], row["allocator"]) == ("gcc-cc1", "glibc"))
    assert text.number(row["ns_per_op"]["median"]) in page
    assert "larson-handoff (synthetic)" in page
    html = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert html.count("data:image/svg+xml") == 4 + len(SMALL)
    for name in ("speed-against-memory", "throughput", "peak-rss", "fragmentation", "memory-gcc-cc1"):
        assert (tmp_path / "plots" / f"{name}.png").stat().st_size > 5000
        assert "<svg" in (tmp_path / "plots" / f"{name}.svg").read_text()


def test_the_report_says_how_many_comparisons_it_makes(tmp_path):
    """One for each trace, rival and measure that bounds anything; of 100 at 99 % one is claimed by chance."""
    document = fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "jemalloc")
    assert report.main([str(write(tmp_path, document))]) == 0
    wanted = "22 comparisons, each claimed by its 99 % interval: if no difference were real, about 0.2 of them"
    for name in ("report.md", "report.html"):
        assert wanted in (tmp_path / name).read_text().split("Every verdict")[1]
    few = load.Run(fixture.document(traces=SMALL, blocks=3))
    assert verdict.chance_words(verdict.all_comparisons(few)).startswith("0 comparisons, ")


def test_html_escapes_what_traces_say(tmp_path):
    document = fixture.document(traces=SMALL)
    document["traces"]["gcc-cc1"]["command"] = "<script>alert(1)</script>"
    assert report.main([str(write(tmp_path, document))]) == 0
    assert "<script>" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("allocators", [["glibc"], ["cellmalloc", "glibc"], ["null"], ["mine", "other"]])
def test_reports_of_few_or_strange_allocators(tmp_path, allocators):
    extra = {"mine": 1.1, "other": 0.9}
    document = fixture.document(traces=SMALL, speed=extra, space=extra, allocators=allocators)
    assert report.main([str(write(tmp_path, document))]) == 0


def test_a_run_in_which_everything_failed(tmp_path):
    document = fixture.document(traces=SMALL, allocators=["cellmalloc", "glibc"])
    for trace in SMALL:
        for name in ("cellmalloc", "glibc"):
            fixture.fail(document, trace, name)
    assert report.main([str(write(tmp_path, document))]) == 0
    assert "Nothing to compare" in (tmp_path / "report.md").read_text()


def test_rows_of_other_conditions_stay_apart():
    document = fixture.document(traces=SMALL)
    other = json.loads(json.dumps(document["rows"][0]))
    other["touch"] = "all"
    other["ns_per_op"]["median"] = 1e6
    document["rows"].append(other)
    run = load.Run(document)
    assert run.other_rows == [other] and run.row(other["trace"], other["allocator"])["touch"] == "page"


def test_compare_finds_a_regression_and_nothing_else(tmp_path, capsys):
    old = write(tmp_path, fixture.document(seed=1, traces=SMALL), "old.json")
    same = write(tmp_path, fixture.document(seed=2, traces=SMALL), "same.json")
    worse = write(tmp_path, fixture.document(seed=3, traces=SMALL, speed={"cellmalloc": 1.10}), "worse.json")
    assert compare.main([str(old), str(same)]) == 0
    assert compare.main([str(old), str(worse)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"REGRESSION +gcc-cc1, cellmalloc, time per operation: slower by", said)
    assert compare.main([str(old), str(worse), "--alloc", "jemalloc"]) == 0
    assert compare.main([str(old), str(worse), "--threshold", "60"]) == 0


def test_a_slow_day_is_no_regression(tmp_path):
    old = write(tmp_path, fixture.document(seed=1, traces=SMALL), "old.json")
    slow = {name: (time * 1.3, live) for name, (time, live) in SMALL.items()}
    new = write(tmp_path, fixture.document(seed=4, traces=slow), "new.json")
    assert compare.main([str(old), str(new), "--alloc", "cellmalloc"]) == 0


def test_compare_refuses_unlike_machines(tmp_path, capsys):
    old = write(tmp_path, fixture.document(traces=SMALL), "old.json")
    document = fixture.document(traces=SMALL)
    document["environment"]["cpu"] = "Another CPU"
    new = write(tmp_path, document, "new.json")
    assert compare.main([str(old), str(new)]) == 2
    assert "cpu: Example CPU then Another CPU" in capsys.readouterr().err
    assert compare.main([str(old), str(new), "--any-machine"]) == 0


@pytest.mark.parametrize("key, value", [
    ("kernel", "Linux 7"), ("cpu", "Another CPU"), ("cpus", 3), ("memory_kib", 9_000_000), ("thp", "always"), ("overcommit", 1),
    ("aslr", 0), ("governor", "powersave"), ("libc", "glibc 2.41"), ("cgroup_memory_kib", 1000), ("cgroup_cpus", 0.5),
    ("variables", {"MALLOC_CONF": "dirty_decay_ms:0"})])
def test_every_part_of_the_fingerprint_counts(tmp_path, capsys, key, value):
    old, new = fixture.document(traces=SMALL), fixture.document(traces=SMALL)
    new["environment"][key] = value
    paths = [str(write(tmp_path, *pair)) for pair in ((old, "old.json"), (new, "new.json"))]
    assert compare.main(paths) == 2
    assert f"unlike: {key}: " in capsys.readouterr().err


@pytest.mark.parametrize("change, said", [
    (lambda doc: [row.update(touch="all") for row in doc["rows"]], "conditions: "),
    (lambda doc: doc["traces"]["gcc-cc1"].update(sha256="f" * 64), "trace gcc-cc1: another file")])
def test_compare_refuses_other_conditions_and_traces(tmp_path, capsys, change, said):
    old, new = fixture.document(traces=SMALL), fixture.document(traces=SMALL)
    change(new)
    paths = [str(write(tmp_path, *pair)) for pair in ((old, "old.json"), (new, "new.json"))]
    assert compare.main(paths) == 2
    assert f"unlike: {said}" in capsys.readouterr().err
    assert compare.main([*paths, "--any-machine"]) == 0


def test_compare_counts_a_new_failure(tmp_path):
    old = write(tmp_path, fixture.document(traces=SMALL), "old.json")
    new = write(tmp_path, fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "cellmalloc"), "new.json")
    assert compare.main([str(old), str(new)]) == 1


def test_advice_names_the_right_allocator(tmp_path, capsys):
    path = write(tmp_path, fixture.document(traces=SMALL))
    assert advise.main([str(path)]) == 0
    said = capsys.readouterr().out
    assert "throughput: mimalloc" in said and "memory: cellmalloc" in said


def test_advice_leaves_out_who_failed(tmp_path, capsys):
    path = write(tmp_path, fixture.fail(fixture.document(traces=SMALL), "gcc-cc1", "mimalloc"))
    assert advise.main([str(path), "--aim", "throughput"]) == 0
    said = capsys.readouterr().out
    assert "left out, because they failed on a trace: mimalloc" in said and "throughput: tcmalloc" in said


def test_who_breaks_the_contract_is_marked_and_wins_nothing(tmp_path, capsys):
    document = fixture.document(traces=SMALL)
    trusted = write(tmp_path, document, "trusted.json")
    assert "mimalloc" in verdict.winners(load.Run(document))[0].split(";")[0]
    document["allocators"]["mimalloc"]["verified"] = False
    path = write(tmp_path, document)
    run = load.load(path)
    assert not any("mimalloc" in line for line in verdict.winners(run))
    assert report.main([str(path)]) == 0
    page = (tmp_path / "report.md").read_text()
    for heading in ("## Time, ns per operation", "## Peak RSS / peak live"):
        table = page.split(heading)[1].split("\n## ")[0]
        heads = [cell.strip() for cell in table.split("\n| trace |")[1].splitlines()[0].split("|")]
        place = heads.index("mimalloc (FAILS VERIFY)") + 1
        rows = [line.split("|") for line in table.splitlines() if line.startswith("| ") and "trace" not in line]
        assert len(rows) == len(SMALL) and not any("**" in row[place + 1] for row in rows)
        assert any("**" in cell for row in rows for cell in row)
    assert "mimalloc (FAILS VERIFY)" in (tmp_path / "report.html").read_text()
    assert "| mimalloc (FAILS VERIFY) |" in page.split("geometric", 1)[0] + page.split("Geometric means")[1].split("## ")[0]
    capsys.readouterr()
    assert advise.main([str(path), "--aim", "throughput"]) == 0
    said = capsys.readouterr().out
    assert "break malloc's contract: mimalloc" in said and "throughput: tcmalloc" in said
    assert compare.main([str(trusted), str(path)]) == 1
    assert "REGRESSION  every trace, mimalloc: breaks malloc's contract" in capsys.readouterr().out


def test_memory_and_counters_in_detail(tmp_path):
    document = fixture.document(traces=SMALL, allocators=["cellmalloc", "glibc"])
    document["counters"] = {"cycles": "counted", "dtlb_misses": "missing: ENOENT (No such file or directory)"}
    row = next(row for row in document["rows"] if (row["trace"], row["allocator"]) == ("gcc-cc1", "glibc"))
    row.update(at_peak_live_ratio=1.234, time_average_ratio=1.5, external_fragmentation=0.164,
               cycles_per_op=fixture.figure([70] * 8), rss_after_drain_kib=fixture.figure([321] * 8),
               start_rss_kib=fixture.figure([5572] * 8),
               pass_end_rss_kib=[[100, 190, 200, 210, 220]] * 8)
    assert report.main([str(write(tmp_path, document))]) == 0
    page = (tmp_path / "report.md").read_text()
    assert re.search(r"\| gcc-cc1 \| glibc \| [\d.]+ \| 1.23 \| 1.5 \|  \| 6.0 % \| 16 % \| 321 \| 10 \| 5,572 \|", page)
    assert "| gcc-cc1 | glibc | 70 |" in page.split("## Events per operation")[1]
    assert "the kernel does not offer them: dtlb_misses (ENOENT" in page


def test_fragmentation_is_drawn_as_the_row_says(run):
    """The moment when live bytes peak, for both; the peak of RSS may be another."""
    figure = plots.fragmentation(run)
    first = [run.row(run.traces[0], name) for name in run.allocators]
    for axes, kind in zip(figure.axes, ("internal", "external")):
        drawn = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None" and line.get_ydata()[0] == 0)
        assert drawn == pytest.approx(sorted(100 * row[f"{kind}_fragmentation"] for row in first))
    assert figure.axes[1].get_xlabel().replace("\n", " ").endswith("resident over usable bytes when live bytes peak")


def test_winners_name_the_first_the_level_and_the_next(run):
    time, memory, with_start = verdict.winners(run)
    assert re.fullmatch(r"Least time per operation over the 3 traces: (\w+).*; faster by [\d.-]+ % than the next, \w+\.", time)
    assert memory.startswith("Least peak RSS over the 3 traces: cellmalloc; leaner by ") and memory.endswith("next, glibc.")
    assert with_start.startswith("Least peak RSS with start-up over the 3 traces: cellmalloc; leaner by ")
    even = load.Run(fixture.document(traces=SMALL, space={"cellmalloc": 1.0}, noise=0.2))
    assert "cellmalloc, level with glibc (no difference shown)" in verdict.winners(even)[1] or \
        "glibc, level with cellmalloc (no difference shown)" in verdict.winners(even)[1]
    one = load.Run(fixture.document(traces={"gcc-cc1": (31, 8000)}))
    assert verdict.winners(one)[1].startswith("Least peak RSS on the one trace: cellmalloc; ")


def test_what_is_resident_at_the_start_is_added_block_by_block(tmp_path):
    """It changes who needs least over all traces; verdicts on single traces leave it out."""
    document = fixture.document(traces=SMALL, allocators=["cellmalloc", "glibc"])
    rows = {(row["trace"], row["allocator"]): row for row in document["rows"]}
    for trace in SMALL:
        rows[trace, "cellmalloc"]["start_rss_kib"] = fixture.figure(range(2000, 2800, 100))
    run = load.Run(document)
    sums = {key: [peak + start for peak, start in zip(row["peak_rss_kib"]["samples"], row["start_rss_kib"]["samples"])]
            for key, row in rows.items()}
    wanted = stats.geometric_mean([one / two for trace in SMALL
                                   for one, two in zip(sums[trace, "cellmalloc"], sums[trace, "glibc"])])
    assert verdict.compare_overall(run, verdict.WITH_START, "cellmalloc", "glibc").estimate.ratio == pytest.approx(wanted)
    assert verdict.winners(run)[1].startswith("Least peak RSS over the 3 traces: cellmalloc; ")
    assert verdict.winners(run)[2].startswith("Least peak RSS with start-up over the 3 traces: glibc; ")
    assert re.search(r"Peak RSS: leaner by [\d.-]+ %\. Peak RSS with start-up: larger by [\d.-]+ %\.$", verdict.summary(run)[0])
    assert {one.measure for one in verdict.all_comparisons(run)} == set(verdict.MEASURES)
    path = write(tmp_path, document)
    assert report.main([str(path)]) == 0
    page = (tmp_path / "report.md").read_text()
    assert "| peak RSS with start-up (95 % interval) |" in page
    assert re.search(rf"\| cellmalloc \| .* \| {wanted:.3f} \([^|]*\|\n", page)
    html = (tmp_path / "report.html").read_text()
    assert "peak RSS with start-up (95 % interval)</th></tr>" in html and f'<td class="n">{wanted:.3f} (' in html


def test_a_run_of_before_the_start_was_looked_at_says_nothing_of_it(tmp_path):
    document = fixture.document(traces=SMALL)
    for row in document["rows"]:
        del row["start_rss_kib"]
    assert report.main([str(write(tmp_path, document))]) == 0
    assert len(verdict.winners(load.Run(document))) == 2
    assert "with start-up" not in (tmp_path / "report.md").read_text().lower()


def test_a_claim_over_all_traces_is_held_to_the_controls():
    """On each trace and on their mean glibc#again needs 12 % more than glibc."""
    run = load.Run(fixture.document(traces=SMALL, space={"glibc#again": 1.12}))
    against = next(line for line in verdict.summary(run) if "against glibc" in line)
    assert re.search(r"Peak RSS: no difference shown: 7\.\d % is within the 12 % that the A/A control shows", against)
    assert "cellmalloc, level with glibc (no difference shown)" in verdict.winners(run)[1]
    assert "Time per operation: no difference shown: " not in against


def test_peaks_that_come_from_replay_order_are_pointed_out():
    """And means of memory are given without them, too."""
    document = fixture.document(traces=SMALL)
    assert not text.order_words(load.Run(document))
    assert not any("Without" in line for line in verdict.winners(load.Run(document)) + verdict.summary(load.Run(document)))
    for row in document["rows"]:
        if row["trace"] == "gcc-cc1":
            factor = 9 if row["allocator"] == "cellmalloc" else 3
            row["peak_rss_kib"] = fixture.figure([factor * value for value in row["peak_rss_kib"]["samples"]])
    run = load.Run(document)
    said = text.order_words(run)
    assert len(said) == 1 and said[0].startswith("gcc-cc1: the peak is ")
    time, memory, with_start = verdict.winners(run)
    assert memory.startswith("Least peak RSS over the 3 traces: glibc; ") and "Without" not in time
    assert ". Without gcc-cc1: cellmalloc; leaner by " in memory and ". Without gcc-cc1: " in with_start
    against = next(line for line in verdict.summary(run) if "against glibc" in line)
    assert re.search(r"Peak RSS: larger by [\d.-]+ %\. Without gcc-cc1: leaner by [67][\d.-]+ %\. "
                     r"Peak RSS with start-up: larger by [\d.-]+ %\. Without gcc-cc1: ", against)
    alone = load.Run({**document, "rows": [row for row in document["rows"] if row["trace"] == "gcc-cc1"]})
    assert not any("Without" in line for line in verdict.winners(alone) + verdict.summary(alone))
