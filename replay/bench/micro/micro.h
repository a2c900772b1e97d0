// micro.h - what the micro-benchmarks share: random numbers and sizes, calls that cannot fail, the count of calls.
//
// Google Benchmark starts each thread's clock when all threads have come to the loop over `state`, and no thread goes on
// behind it before all have left it. What a pattern sets up before its loop and frees behind it is not timed, and what the
// first thread frees behind it no other thread uses any more. It calls a function several times to find the number of
// iterations, and once more with the first thread alone to look at memory: no pattern may leave blocks in variables that
// outlive it, nor wait for threads that need not be there.
#ifndef MICRO_H
#define MICRO_H

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace micro {

// A small generator: its cost is the same everywhere and far below a call of malloc. Each thread has numbers of its own, and
// has the same in each run.
class Random {
public:
    explicit Random(const benchmark::State &state) : state_((static_cast<uint64_t>(state.thread_index()) + 1) * 0x9e3779b97f4a7c15) {}

    uint64_t next()
    {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }

    uint32_t below(uint32_t limit) { return static_cast<uint32_t>((next() >> 32) * limit >> 32); }

private:
    uint64_t state_;
};

// Small sizes are frequent, large ones rare, as in programs.
inline size_t mixed_size(Random &random)
{
    uint32_t kind = random.below(100);
    if (kind < 60)
        return 8 + random.below(57);
    if (kind < 90)
        return 65 + random.below(448);
    if (kind < 99)
        return 513 + random.below(7680);
    return 8193 + random.below(57344);
}

inline void *checked(void *block)
{
    if (!block) {
        std::fputs("micro: out of memory\n", stderr);
        std::abort();
    }
    *static_cast<volatile char *>(block) = 1;
    return block;
}

inline void *allocate(size_t size)
{
    return checked(std::malloc(size));
}

inline void free_all(std::vector<void *> &blocks)
{
    for (void *block : blocks)
        std::free(block);
    blocks.clear();
}

inline void count_calls(benchmark::State &state, int64_t pairs_per_iteration)
{
    state.SetItemsProcessed(state.iterations() * pairs_per_iteration);
}

}  // namespace micro

#endif
