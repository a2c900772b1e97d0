"""Results documents are checked against results/schema.json before anything is read from them."""
import functools
import json
from pathlib import Path

import jsonschema

SCHEMA_PATH = Path(__file__).resolve().parents[2] / "results" / "schema.json"
EXIT_BAD_INPUT = 3


class ResultsError(Exception):
    """A results document cannot be used; the text is one line that says what, where and what to do."""


@functools.lru_cache(maxsize=1)
def _validator():
    text = json.loads(SCHEMA_PATH.read_text())
    text.pop("$id", None)       # a relative one makes older jsonschema look for #/$defs on the network
    return jsonschema.Draft202012Validator(text)


def check(document, name):
    """Raises ResultsError naming the place of the first violation."""
    if not isinstance(document, dict):
        raise ResultsError(f"{name}: holds a JSON {type(document).__name__}, wanted an object; see results/SCHEMA.md")
    version = document.get("schema_version")
    if isinstance(version, int) and version > 1:
        raise ResultsError(f"{name}: schema_version {version} is newer than 1, the newest this version reads; "
                           "update this checkout")
    problem = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if problem is not None:
        where = "/".join(str(part) for part in problem.absolute_path) or "top level"
        text = problem.message if len(problem.message) < 200 else problem.message[:197] + "..."
        raise ResultsError(f"{name}: at {where}: {text}; see results/SCHEMA.md")
    check_lengths(document, name)


def check_lengths(document, name):
    """What JSON Schema cannot say: samples pair with blocks, and every row's names are described."""
    for position, row in enumerate(document["rows"]):
        blocks = row.get("blocks")
        if blocks is None:
            continue
        if len(set(blocks)) != len(blocks):
            raise ResultsError(f"{name}: at rows/{position}/blocks: a block number occurs twice")
        for key in ("ns_per_op", "peak_rss_kib", "minor_faults"):
            if key in row and len(row[key]["samples"]) != len(blocks):
                raise ResultsError(f"{name}: at rows/{position}/{key}: {len(row[key]['samples'])} samples for "
                                   f"{len(blocks)} blocks")


def read(path):
    """The checked document of one results.json, or of the directory that holds it."""
    path = Path(path)
    if path.is_dir():
        path = path / "results.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'}); "
                           "give a results.json or its directory") from error
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); "
                           "the run that wrote it may have been cut off") from error
    check(document, str(path))
    return document
