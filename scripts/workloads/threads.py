"""Threads that make records and threads that use them up: blocks are freed far from where they were made.

usage: threads.py FILE.jsonl
"""
import json
import queue
import sys
import threading
import zlib

inbox, outbox = queue.Queue(maxsize=64), queue.Queue(maxsize=64)
totals = {}


def parse():
    while (chunk := inbox.get()) is not None:
        outbox.put([json.loads(line) for line in chunk])
    outbox.put(None)


def use(name):
    total = 0
    while (records := outbox.get()) is not None:
        packed = zlib.compress(json.dumps(records).encode(), 1)
        total += sum(r["id"] for r in json.loads(zlib.decompress(packed)))
    totals[name] = total


workers = [threading.Thread(target=parse) for _ in range(2)]
workers += [threading.Thread(target=use, args=(n,)) for n in range(2)]
for worker in workers:
    worker.start()
with open(sys.argv[1]) as lines:
    chunk = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == 100:
            inbox.put(chunk)
            chunk = []
inbox.put(chunk)
for _ in range(2):
    inbox.put(None)
for worker in workers:
    worker.join()
print(sum(totals.values()))
