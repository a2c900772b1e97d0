// tables.cc - tables of blocks of which one at random is replaced, resized or dropped: sizes and lifetimes mix.
#include "micro.h"

#include <cstring>

namespace {

using namespace micro;

// Blocks of a table are replaced, each by one that `make` returns.
template <typename Make> void replace(benchmark::State &state, uint32_t slots, Make make)
{
    Random random(state);
    std::vector<void *> table(slots, nullptr);
    for (auto _ : state) {
        void *&slot = table[random.below(slots)];
        std::free(slot);
        slot = checked(make(random));
    }
    free_all(table);
    count_calls(state, 1);
}

void random_replacement(benchmark::State &state)
{
    replace(state, static_cast<uint32_t>(state.range(0)), [](Random &random) { return std::malloc(mixed_size(random)); });
}

// 1000 blocks, each of any size of a range, made by `make`.
template <typename Make> void replace_varied(benchmark::State &state, Make make)
{
    uint32_t least = static_cast<uint32_t>(state.range(0)), most = static_cast<uint32_t>(state.range(1));
    replace(state, 1000, [&](Random &random) { return make(least + random.below(most - least + 1)); });
}

// What caches of single sizes or of classes gain.
void varied_sizes(benchmark::State &state)
{
    replace_varied(state, [](size_t size) { return std::malloc(size); });
}

// The same at multiples of 64 bytes.
void varied_aligned(benchmark::State &state)
{
    replace_varied(state, [](size_t size) {
        void *block = nullptr;
        return posix_memalign(&block, 64, size) == 0 ? block : nullptr;
    });
}

// Blocks made as large as they may have to be, and cut to what they turned out to need.
void shrinking(benchmark::State &state)
{
    uint32_t most = static_cast<uint32_t>(state.range(0));
    replace(state, 64, [most](Random &random) { return std::realloc(allocate(most), 16 + random.below(most - 15)); });
}

// Few blocks, each of another size, which no cache of equal sizes serves.
void large_varied(benchmark::State &state)
{
    replace(state, 8, [](Random &random) { return std::malloc(32768 + random.below(98304)); });
}

// From 4 bytes to 32 KiB, the smaller the more frequent (products of four random numbers). In the manner of glibc-thread
// (bench-malloc-thread of glibc).
void skewed_sizes(benchmark::State &state)
{
    replace(state, 1600, [](Random &random) {
        uint32_t size = 32768;
        for (int i = 0; i < 4; i++)
            size = random.below(size + 1);
        return std::malloc(4 + size);
    });
}

// Blocks are replaced, or made a little larger one time in eight. In the manner of espresso (a minimizer of logic, in the sets
// of Zorn, Hoard and mimalloc-bench).
void resizes(benchmark::State &state)
{
    constexpr uint32_t kSlots = 400;
    struct Slot {
        void *block = nullptr;
        size_t size = 0;
    };
    Random random(state);
    std::vector<Slot> table(kSlots);
    for (auto _ : state) {
        Slot &slot = table[random.below(kSlots)];
        if (slot.block && random.below(8) == 0) {
            slot.size += random.below(200);
            slot.block = checked(std::realloc(slot.block, slot.size));
        } else {
            std::free(slot.block);
            slot.size = 8 + random.below(random.below(6) ? 120 : 4000);
            slot.block = allocate(slot.size);
        }
    }
    for (Slot &slot : table)
        std::free(slot.block);
    count_calls(state, 1);
}

// A slot is filled when it is empty and dropped when it is full, and blocks are written whole: half of the table is in use.
// In the manner of alloc-test (OLogN Technologies).
void fill_and_drop(benchmark::State &state)
{
    constexpr uint32_t kSlots = 65536;
    Random random(state);
    std::vector<void *> table(kSlots, nullptr);
    int64_t filled = 0;
    auto toggle = [&] {
        void *&slot = table[random.below(kSlots)];
        if (slot) {
            std::free(slot);
            slot = nullptr;
        } else {
            uint32_t power = 1u << random.below(10);
            size_t size = power + random.below(power);
            slot = std::memset(allocate(size), 1, size);
            filled++;
        }
    };
    for (uint32_t i = 0; i < 2 * kSlots; i++)       // what is timed does not depend on how long it is timed
        toggle();
    filled = 0;
    for (auto _ : state)
        toggle();
    free_all(table);
    state.SetItemsProcessed(filled);
}

BENCHMARK(random_replacement)->Arg(1000)->Arg(50000);
BENCHMARK(varied_sizes)->Args({130, 500})->Args({5, 1000})->Args({1000, 4000})->Args({4000, 30000})->Args({100000, 1000000});
BENCHMARK(varied_aligned)->Args({32, 512})->Args({1000, 4000});
BENCHMARK(shrinking)->Arg(512)->Arg(4096);

BENCHMARK(random_replacement)->Arg(5000)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(varied_sizes)->Args({5, 1000})->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(varied_aligned)->Args({32, 512})->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(shrinking)->Arg(4096)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(large_varied)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(skewed_sizes)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(resizes)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(fill_and_drop)->Threads(1)->Threads(4)->UseRealTime();

}  // namespace
