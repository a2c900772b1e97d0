#!/usr/bin/env python3
"""Writes small binary traces of other tools whose calls are known: make_foreign.py DIRECTORY."""
import struct
import sys
from pathlib import Path


def big_varint(v):
    out = [v & 127]
    while v >> 7:
        v >>= 7
        out.append(v & 127 | 128)
    return bytes(reversed(out))


def little_varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    return bytes(out + bytes([v]))


def prefix_varint(v):
    for k in range(1, 9):
        if v < 1 << 7 * k:
            return (v << k | 1 << (k - 1)).to_bytes(k, "little")
    return b"\0" + v.to_bytes(8, "little")


def zigzag(v):
    return (v << 1) ^ (v >> 63) if v >= 0 else (-v << 1) - 1


def wl():
    def op(code, *numbers):
        return bytes([code]) + b"".join(map(big_varint, numbers))
    # Thread 0 makes #1 and #2 and hands #1 to thread 1, which waits for it; then an allocation onto a live id.
    one = op(2, 1, 1234) + op(3, 2, 300) + op(6, 1) + op(12, 3, 64, 128) + op(1)
    two = op(7, 1) + op(4, 1, 1, 70000) + op(5, 1) + op(5, 0) + op(2, 0, 9) + op(13, 4, 10) + op(2, 4, 20) + op(1)
    head = op(8, 5) + op(9, 2) + op(10, 2)
    size = len(head) + 5
    return head + op(11, size) + op(11, size + len(one)) + op(1) + one + two


def proto():
    def line(kind, *fields):
        body = b"".join(bytes([n << 3]) + little_varint(v) for n, v in fields)
        call = bytes([kind << 3 | 2]) + little_varint(len(body)) + body
        return b"\x0a" + little_varint(len(call)) + call
    return (line(1, (1, 0), (2, 1234)) + line(4, (1, 1), (2, 3), (3, 7)) + line(3, (1, 0), (2, 0), (3, 5000))
            + line(2) + line(1, (1, 2), (2, 64), (3, 32)) + line(2, (1, 0), (2, 5000)) + line(2, (1, 1)) + b"\x10\x03")


def glibc_trace():
    def record(thread, kind, ptr1=0, ptr2=0, size=0, size2=0):
        return struct.pack("<iIQQQQQQQ", thread, kind, ptr1, ptr2, size, size2, 0, 0, 0)
    return (record(5, 255, 0x1234, 0, 8) + record(5, 1, 0, 0x1000, 100) + record(6, 1, 0, 0x1000, 50)    # before its free
            + record(5, 3, 0x1000) + record(5, 4, 0x1000, 0x2000, 70) + record(6, 5, 0, 0x3000, 9, 64)
            + record(6, 8, 12, 0, 5, 64) + record(6, 2, 0, 0x4000, 24) + record(5, 3, 0x2000) + record(0, 0))


def glibc_trace_32(size):
    def record(thread, kind, ptr1=0, ptr2=0, size1=0, size2=0):
        return struct.pack("<iIIIIII", thread, kind, ptr1, ptr2, size1, size2, size1 + 8).ljust(size, b"\0")
    return (record(5, 255, 0x1234, 0, 4) + record(5, 1, 0, 0x1000, 100) + record(5, 2, 0, 0x2000, 24)
            + record(6, 4, 0x1000, 0x3000, 70) + record(6, 3, 0x3000) + record(5, 5, 0, 0x4000, 9, 64) + record(0, 0))


def alk_raw():
    def ts(ns):
        return prefix_varint(ns << 10)

    def inner(*words):
        return b"".join(map(prefix_varint, words))

    def malloc(delta):
        return zigzag(delta) << 3

    def free(delta):
        return zigzag(delta) << 3 | 1

    def buffer(thread, time, body):
        return prefix_varint(thread << 3 | 3) + ts(time) + prefix_varint(len(body)) + body
    # Thread 2 frees token 0 of thread 1, but its buffer comes first and its time is earlier.
    second = inner(free(0)) + inner(100 << 3 | 2) + ts(9) + inner(malloc(4)) + inner(zigzag(0) << 8 | 0x1f, 64)
    first = inner(malloc(2), malloc(3), zigzag(-1) << 8 | 0x17, zigzag(1))
    return (struct.pack("<I", 0x6CBD63E4) + buffer(2, 1, second) + buffer(1, 5, first)
            + prefix_varint(2 << 8 | 0x07) + ts(20) + prefix_varint(0x27) + ts(21) + prefix_varint(0x0f))


def alk_processed():
    def record(kind, reg=0, a=0, b=0):
        return struct.pack("<QQQ", reg << 8 | kind, a, b)
    return (record(5, 0, 7) + record(7, 0, 64000, 1) + record(0, 0, 100) + record(3, 1, 50, 64) + record(5, 0, 8)
            + record(4, 0, 2, 300) + record(2, 1, 50) + record(1, 2) + record(6))


def main():
    out = Path(sys.argv[1])
    for name, make in (("wl", wl), ("proto", proto), ("glibc-trace", glibc_trace), ("alk", alk_raw),
                       ("alk-processed", alk_processed)):
        (out / f"t.{name}").write_bytes(make())
    for size in (28, 32, 36, 40, 64):
        (out / f"t{size}.glibc-trace").write_bytes(glibc_trace_32(size))


if __name__ == "__main__":
    main()
