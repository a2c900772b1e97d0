// threads.cc - what goes on between threads: blocks that another thread frees, tables that are shared, lines, short threads.
#include "queue.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <thread>
#include <utility>

namespace {

using namespace micro;

bool is_first(const benchmark::State &state)
{
    return state.thread_index() == 0;
}

// The ring of threads: each has a queue of what the thread before it hands on.
constexpr int kMostThreads = 8;
Queue<8> handed_to[kMostThreads];

// Hands a batch to the next thread and frees what has come from the one before. A thread whose successor does not get
// to its queue lets others run, then frees the batch itself: the successor may be done.
void hand_on(const benchmark::State &state, Batch &batch)
{
    Queue<8> &next = handed_to[(state.thread_index() + 1) % state.threads()];
    if (!next.offer(batch)) {
        std::this_thread::yield();
        if (!next.offer(batch))
            free_all(batch);
    }
    while (handed_to[state.thread_index()].poll(batch))
        free_all(batch);
}

void empty_ring(const benchmark::State &state)
{
    if (is_first(state))
        for (Queue<8> &queue : handed_to)
            queue.clear();
}

// One thread allocates, the next one in the ring frees.
void hand_off(benchmark::State &state)
{
    constexpr size_t kBatch = 128;
    Batch batch;
    for (auto _ : state) {
        while (batch.size() < kBatch)
            batch.push_back(allocate(64));
        hand_on(state, batch);
    }
    empty_ring(state);
    count_calls(state, kBatch);
}

// Each thread replaces blocks of a table of its own at random; from time to time the next thread gets a fifth of them to free.
// In the manner of rptest (Jansson's benchmark of rpmalloc).
void cross_frees(benchmark::State &state)
{
    constexpr uint32_t kSlots = 5000, kGiven = 1000, kReplaced = 2000;
    Random random(state);
    Batch table(kSlots, nullptr), batch;
    uint32_t given = 0;
    for (auto _ : state) {
        for (uint32_t i = 0; i < kReplaced; i++) {
            void *&slot = table[random.below(kSlots)];
            std::free(slot);
            slot = allocate(16 + random.below(random.below(8) ? 500 : 8000));
        }
        for (uint32_t i = 0; i < kGiven; i++)
            batch.push_back(std::exchange(table[given + i], nullptr));
        given = (given + kGiven) % kSlots;
        hand_on(state, batch);
    }
    free_all(table);
    empty_ring(state);
    count_calls(state, kReplaced);
}

std::mutex passed_mutex;
Batch passed[8];
size_t passed_turn;

// Each thread adds a batch to those that all have passed on and frees the oldest: with several threads, mostly another's.
// In the manner of sh8bench (MicroQuill).
void passed_batches(benchmark::State &state)
{
    constexpr size_t kBatch = 1000;
    Random random(state);
    Batch batch;
    for (auto _ : state) {
        while (batch.size() < kBatch)
            batch.push_back(allocate(1 + random.below(400)));
        {
            std::lock_guard<std::mutex> guard(passed_mutex);
            passed[passed_turn++ % std::size(passed)].swap(batch);
        }
        free_all(batch);
    }
    if (is_first(state))
        for (Batch &left : passed) {
            free_all(left);
            Batch().swap(left);
        }
    count_calls(state, kBatch);
}

Queue<200> produced;
std::atomic<int> consumers;

// Half of the threads allocate, the others free. As many batches are consumed as produced, so that none waits in the end; a
// producer without any consumer is the first thread alone, see micro.h. In the manner of xmalloc-test (Lever and Boreham, 2000).
void producers_consumers(benchmark::State &state)
{
    constexpr size_t kBatch = 120;
    const bool consumes = state.thread_index() % 2 == 1;
    Random random(state);
    Batch batch;
    consumers += consumes;
    for (auto _ : state) {
        if (consumes) {
            produced.take(batch);
            free_all(batch);
            continue;
        }
        while (batch.size() < kBatch)
            batch.push_back(allocate(16 + 16 * random.below(16)));
        if (consumers > 0)
            produced.put(batch);
        else
            free_all(batch);
    }
    consumers -= consumes;
    if (is_first(state))
        produced.clear();
    count_calls(state, consumes ? 0 : kBatch);
}

std::atomic<void *> exchanged[1000];

// From 8 bytes to 1 KiB, each power of two as frequent; one in 200 is fifty times as large.
size_t stress_size(Random &random)
{
    uint32_t power = 8u << random.below(8);
    return (power + random.below(power)) * (random.below(200) == 0 ? 50 : 1);
}

// Rounds of blocks. A third is kept, half of what is kept goes when a round ends; the others go within the round or at its
// end, many after they were exchanged for a block of another thread. In the manner of mstress (mimalloc-bench).
void stress(benchmark::State &state)
{
    constexpr int kRound = 2000;
    Random random(state);
    std::vector<void *> kept, passing;
    auto any = [&]() -> void *& { return passing[random.below(static_cast<uint32_t>(passing.size()))]; };
    for (auto _ : state) {
        passing.push_back(nullptr);         // any() needs one
        for (int i = 0; i < kRound; i++) {
            size_t size = stress_size(random);
            void *block = std::memset(allocate(size), 1, std::min<size_t>(size, 64));
            (random.below(3) == 0 ? kept : passing).push_back(block);
            if (random.below(3) == 0)
                std::free(std::exchange(any(), nullptr));
            if (random.below(4) == 0) {
                void *&slot = any();
                slot = exchanged[random.below(std::size(exchanged))].exchange(slot);
            }
        }
        free_all(passing);
        size_t left = 0;
        for (size_t i = 0; i < kept.size(); i++)
            if (i % 2 == 0)
                std::free(kept[i]);
            else
                kept[left++] = kept[i];
        kept.resize(left);
    }
    free_all(kept);
    if (is_first(state))
        for (std::atomic<void *> &block : exchanged)
            std::free(block.exchange(nullptr));
    count_calls(state, kRound);
}

constexpr size_t kLarsonSlots = 1024;
std::atomic<void *> larson_table[kMostThreads * kLarsonSlots];

// Each thread replaces blocks in a table that it shares with the thread after it. In the manner of larson (Larson and Krishnan, 1998).
void larson(benchmark::State &state)
{
    Random random(state);
    size_t threads = static_cast<size_t>(state.threads()), turn = static_cast<size_t>(state.thread_index());
    for (auto _ : state) {
        size_t part = random.below(16) == 0 ? (turn + 1) % threads : turn;
        std::atomic<void *> &slot = larson_table[part * kLarsonSlots + random.below(kLarsonSlots)];
        std::free(slot.exchange(allocate(16 + random.below(497))));
    }
    if (is_first(state))
        for (std::atomic<void *> &slot : larson_table)
            std::free(slot.exchange(nullptr));
    count_calls(state, 1);
}

// Threads write to their own small blocks: slow when the allocator gives one line to two threads. In the manner of cache-thrash
// (Berger's set for Hoard).
void false_sharing(benchmark::State &state)
{
    for (auto _ : state) {
        volatile char *block = static_cast<volatile char *>(allocate(8));
        for (int i = 0; i < 200; i++)
            block[i & 7] = static_cast<char>(block[i & 7] + 1);
        std::free(const_cast<char *>(block));
    }
    count_calls(state, 1);
}

void *short_life(void *)
{
    void *blocks[16];
    for (size_t i = 0; i < std::size(blocks); i++)
        blocks[i] = allocate(24 + i * 40);
    for (void *block : blocks)
        std::free(block);
    return nullptr;
}

void thread_start_stop(benchmark::State &state)
{
    for (auto _ : state) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, short_life, nullptr) != 0) {
            state.SkipWithError("pthread_create failed");
            break;
        }
        pthread_join(thread, nullptr);
    }
    count_calls(state, 16);
}

BENCHMARK(hand_off)->ThreadRange(1, kMostThreads)->UseRealTime();
BENCHMARK(larson)->ThreadRange(1, kMostThreads)->UseRealTime();
BENCHMARK(false_sharing)->ThreadRange(1, kMostThreads)->UseRealTime();
BENCHMARK(thread_start_stop)->ThreadRange(1, kMostThreads)->UseRealTime();
BENCHMARK(stress)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(cross_frees)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(passed_batches)->Threads(4)->UseRealTime();
BENCHMARK(producers_consumers)->Threads(4)->UseRealTime();

}  // namespace
