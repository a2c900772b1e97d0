# Limits its own address space, and goes on: libraries are mapped, threads start, memory runs out near the limit and comes back.
import resource
import threading

LIMIT = 1 << 30

resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
import ctypes       # noqa: E402 - what it maps counts

print(ctypes.sizeof(ctypes.c_void_p))
thread = threading.Thread(target=print, args=("a thread",))
thread.start()
thread.join()
for size in (1000, 100000, 10000000):
    blocks, had = [], 0
    try:
        while True:
            blocks.append(bytearray(size))
            had += size
            if had > 2 * LIMIT:
                break
    except MemoryError:
        blocks = None               # what follows needs some
        print(size, "memory ran out", "near the limit" if LIMIT * 3 // 4 < had < LIMIT else had)
print(sum(bytearray(1000)[0] for _ in range(1000)))
