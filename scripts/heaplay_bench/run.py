"""Starting programs through the launcher, and servers under their load; every run returns the launcher's line."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from workloads import catalog


class RunError(Exception):
    """A run that could not be made."""


def launcher(out):
    path = Path(out).resolve() / "launcher"
    if not path.is_file():
        raise RunError(f"no file '{path}'; run make build")
    return str(path)


def launch_words(out, argv, environment, work, log, stdin=None, stdout=os.devnull, timeout_s=300):
    """The command line that runs argv through the launcher."""
    words = [launcher(out), "-l", str(log), "-C", str(work), "-o", str(stdout), "-e", os.devnull, "-t",
             str(timeout_s),
             "-i", str(stdin or os.devnull)]
    for name, value in environment.items():
        words += ["-E", f"{name}={value}"]
    return words + ["--"] + list(argv)


def read_log(log):
    """The launcher's lines, one dictionary a run."""
    with open(log, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def status_of(line):
    """(status, text) as the results schema names them."""
    if line["timeout"]:
        return "timeout", "killed at its time limit"
    if line["signal"]:
        return "crashed", f"killed by {signal.Signals(line['signal']).name}"
    if line["exit"]:
        return "crashed", f"exit status {line['exit']}"
    return "ok", ""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RunError(f"the server ended with {process.returncode} before it answered on port {port}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise RunError(f"the server did not answer on port {port} within {seconds} s")


def drive(workload, work, port, process, scale=1.0):
    """A server's load, then its end; returns the nanoseconds that the load took."""
    wait_for_port(port, process)
    plain = catalog.environment(workload, work)
    start = time.monotonic_ns()
    for command in workload.load:
        done = subprocess.run([catalog.fill(word, work, port, scale) for word in command], cwd=work, env=plain,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1200, check=False)
        if done.returncode:
            raise RunError(f"{workload.name}: '{' '.join(command)}' ended with {done.returncode}: "
                           f"{done.stderr[-200:]}")
    elapsed_ns = time.monotonic_ns() - start
    subprocess.run([catalog.fill(word, work, port) for word in workload.stop], cwd=work, env=plain,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    process.wait(60)
    return elapsed_ns


def end(process):
    """End a process that this run started, whatever state it is in."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run_server(out, workload, work, environment, log):
    """One run of a server under its load; elapsed_ns is the load's."""
    port = free_port()
    words = launch_words(out, catalog.program(workload, work, port), environment, work, log)
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        try:
            elapsed_ns = drive(workload, work, port, process)
        finally:
            end(process)
    line = read_log(log)[-1]
    line["elapsed_ns"] = elapsed_ns
    return line


def hyperfine(commands, runs, export, work):
    """Wall times in ns, one list a command, as hyperfine took them."""
    path = shutil.which("hyperfine")
    if not path:
        raise RunError("hyperfine is not installed (package hyperfine)")
    done = subprocess.run([path, "--shell=none", "--ignore-failure", "--style=none", f"--runs={runs}",
                           "--export-json", str(export)] + commands, cwd=work, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RunError(f"hyperfine ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    with open(export, encoding="utf-8") as document:
        return [[int(t * 1e9) for t in result["times"]] for result in json.load(document)["results"]]


def plain(words):
    """Run the launcher without a timer; its own failure to start the program is an error."""
    status = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if status.returncode == 127:
        raise RunError(status.stderr.strip() or f"'{words[-1]}' could not be started")


def through_launcher(out, words, environment, timeout_s=120):
    """One run of a program in a directory of its own: (the launcher's line, what the program printed)."""
    with tempfile.TemporaryDirectory(prefix="heaplay-run-") as work:
        log, said = Path(work) / "log", Path(work) / "said"
        plain(launch_words(out, words, environment, work, log, stdout=said, timeout_s=timeout_s))
        return read_log(log)[-1], said.read_text(encoding="ascii", errors="replace")
