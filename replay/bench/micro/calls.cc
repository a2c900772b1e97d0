// calls.cc - single calls and simple sequences of them: pairs, stacks and queues of blocks, batches, growth, large buffers.
#include "micro.h"

#include <cstring>

namespace {

using namespace micro;

void pair(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    for (auto _ : state)
        std::free(allocate(size));
    count_calls(state, 1);
}

void calloc_pair(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    for (auto _ : state)
        std::free(checked(std::calloc(1, size)));
    count_calls(state, 1);
}

void aligned_pair(benchmark::State &state)
{
    size_t alignment = static_cast<size_t>(state.range(0));
    for (auto _ : state)
        std::free(checked(std::aligned_alloc(alignment, 2 * alignment)));
    count_calls(state, 1);
}

constexpr int kDepth = 256;

void lifo(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    void *blocks[kDepth];
    for (auto _ : state) {
        for (void *&block : blocks)
            block = allocate(size);
        for (int i = kDepth - 1; i >= 0; i--)
            std::free(blocks[i]);
    }
    count_calls(state, kDepth);
}

void fifo(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    std::vector<void *> ring(kDepth, nullptr);
    for (auto _ : state)
        for (void *&slot : ring) {
            std::free(slot);
            slot = allocate(size);
        }
    free_all(ring);
    count_calls(state, kDepth);
}

void batch(benchmark::State &state)
{
    Random random(state);
    std::vector<void *> blocks(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        for (void *&block : blocks)
            block = allocate(mixed_size(random));
        for (void *block : blocks)
            std::free(block);
    }
    count_calls(state, state.range(0));
}

void realloc_growth(benchmark::State &state)
{
    size_t limit = static_cast<size_t>(state.range(0));
    int64_t calls = 0;
    for (auto _ : state) {
        void *block = allocate(16);
        for (size_t size = 32; size <= limit; size += size / 2, calls++)
            block = checked(std::realloc(block, size));
        std::free(block);
    }
    state.SetItemsProcessed(calls);
}

// A vector that grows by allocation, copy and release, as std::vector does.
void copied_growth(benchmark::State &state)
{
    size_t limit = static_cast<size_t>(state.range(0));
    int64_t calls = 0;
    for (auto _ : state) {
        void *vector = allocate(16);
        for (size_t size = 32; size <= limit; size *= 2, calls++) {
            void *larger = allocate(size);
            std::memcpy(larger, vector, size / 2);
            std::free(vector);
            vector = larger;
        }
        std::free(vector);
    }
    state.SetItemsProcessed(calls);
}

// Three buffers at a time, of one size, its half and its quarter, with every page used: what is kept of large blocks.
void buffers(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    for (auto _ : state) {
        char *held[3];
        for (int i = 0; i < 3; i++) {
            held[i] = static_cast<char *>(allocate(size >> i));
            for (size_t at = 0; at < size >> i; at += 4096)
                held[i][at] = 1;
        }
        for (char *buffer : held)
            std::free(buffer);
    }
    count_calls(state, 3);
}

// Single-threaded over what the pattern depends on; then the pattern in 1 to 8 threads at once.
BENCHMARK(pair)->Arg(8)->Arg(16)->Arg(64)->Arg(256)->Arg(1024)->Arg(4096)->Arg(32768)->Arg(262144);
BENCHMARK(calloc_pair)->Arg(64)->Arg(4096)->Arg(262144);
BENCHMARK(aligned_pair)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(lifo)->Arg(16)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(fifo)->Arg(16)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(batch)->Arg(100)->Arg(10000);
BENCHMARK(realloc_growth)->Arg(4096)->Arg(1 << 20);
BENCHMARK(copied_growth)->Arg(1 << 17)->Arg(1 << 20);
BENCHMARK(buffers)->Arg(100000)->Arg(1000000);

BENCHMARK(pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(pair)->Arg(65536)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(calloc_pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(aligned_pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(lifo)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(fifo)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(batch)->Arg(100)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(realloc_growth)->Arg(4096)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(buffers)->Arg(1000000)->ThreadRange(1, 8)->UseRealTime();

}  // namespace
