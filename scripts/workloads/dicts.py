"""Dictionaries, JSON, strings and regular expressions. usage: dicts.py FILE.jsonl"""
import collections
import json
import re
import sys

groups, words, seen = collections.defaultdict(list), collections.Counter(), {}
with open(sys.argv[1]) as lines:
    for line in lines:
        record = json.loads(line)
        groups[record["group"]].append(record)
        words.update(re.findall(r"[a-z]+", record["name"] + " " + " ".join(record["tags"])))
        seen[(record["group"], record["name"])] = json.dumps(record["extra"], sort_keys=True)
        if len(groups[record["group"]]) > 60:
            groups[record["group"]] = sorted(groups[record["group"]], key=lambda r: -r["score"])[:30]
out = {name: [[r["id"], r["name"].upper(), sorted(set(r["tags"]))] for r in rows] for name, rows in groups.items()}
print(len(json.dumps(out)), len(seen), words.most_common(5))
