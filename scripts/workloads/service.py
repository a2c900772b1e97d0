"""A service in steady state: threads answer requests from a bounded cache of sessions that expire; usage: service.py REQUESTS."""
import collections
import json
import queue
import random
import sys
import threading

SESSIONS, WORKERS = 1500, 3
lock, sessions = threading.Lock(), collections.OrderedDict()
inbox, outbox = queue.Queue(maxsize=128), queue.Queue(maxsize=128)


def session(number, random_):
    return {"id": number, "name": f"user {number}", "history": collections.deque(maxlen=12),
            "seen": {f"page{random_.randrange(400)}": random_.random() for _ in range(random_.randint(2, 14))}}


def work(seed):
    random_ = random.Random(f"heaplay service {seed}")
    while (line := inbox.get()) is not None:
        request = json.loads(line)
        with lock:
            found = sessions.pop(request["user"], None) or session(request["user"], random_)
            found["history"].append(request["path"])
            found["seen"][request["path"]] = random_.random()
            if len(found["seen"]) > 24:
                found["seen"].pop(next(iter(found["seen"])))
            sessions[request["user"]] = found
            while len(sessions) > SESSIONS:
                sessions.popitem(last=False)
            answer = {**found, "history": list(found["history"])}
        outbox.put(json.dumps(answer, sort_keys=True).encode())
    outbox.put(None)


def answer(totals):
    ended = 0
    while ended < WORKERS:
        data = outbox.get()
        ended += data is None
        totals.append(len(data or b""))
        del totals[:-1000]


totals = []
threads = [threading.Thread(target=work, args=(n,)) for n in range(WORKERS)]
threads.append(threading.Thread(target=answer, args=(totals,)))
for thread in threads:
    thread.start()
clients = random.Random("heaplay service clients")
for n in range(int(sys.argv[1])):
    user = min(int(clients.paretovariate(0.5)), 6000) if n % 3 else clients.randrange(4000)
    inbox.put(json.dumps({"user": user, "path": f"/p/{clients.randrange(300)}", "body": "x" * clients.randrange(600)}))
for _ in range(WORKERS):
    inbox.put(None)
for thread in threads:
    thread.join()
print(len(sessions))
