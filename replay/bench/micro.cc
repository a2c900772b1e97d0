// micro.cc - micro-benchmarks of malloc with Google Benchmark; scripts/micro.py runs it once per allocator, preloaded.
//
// Each benchmark is one pattern of calls whose cost is known to separate allocators: see the tables at the end of this
// file. The allocator is whatever malloc resolves to; in the context of the JSON output "malloc_from" names its file, and
// "strays" the calls that other files answer. Memory (benchmark::MemoryManager) is what the process's peak of anonymous memory lies above its start, so each
// benchmark needs a process of its own.
#include <benchmark/benchmark.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

// A small generator: its cost is the same everywhere and far below a call of malloc.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
    uint32_t below(uint32_t limit)
    {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return static_cast<uint32_t>((state_ >> 32) * limit >> 32);
    }

private:
    uint64_t state_;
};

// Small sizes are frequent, large ones rare, as in programs.
size_t mixed_size(Random &random)
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

void *checked(void *block)
{
    if (!block) {
        std::fputs("micro: out of memory\n", stderr);
        std::abort();
    }
    *static_cast<volatile char *>(block) = 1;
    return block;
}

void count_calls(benchmark::State &state, int64_t pairs_per_iteration)
{
    state.SetItemsProcessed(state.iterations() * pairs_per_iteration);
}

void pair(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    for (auto _ : state)
        std::free(checked(std::malloc(size)));
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
        for (int i = 0; i < kDepth; i++)
            blocks[i] = checked(std::malloc(size));
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
            slot = checked(std::malloc(size));
        }
    for (void *block : ring)
        std::free(block);
    count_calls(state, kDepth);
}

void random_replacement(benchmark::State &state)
{
    uint32_t slots = static_cast<uint32_t>(state.range(0));
    Random random(7 + static_cast<uint64_t>(state.thread_index()));
    std::vector<void *> table(slots, nullptr);
    for (auto _ : state) {
        void *&slot = table[random.below(slots)];
        std::free(slot);
        slot = checked(std::malloc(mixed_size(random)));
    }
    for (void *block : table)
        std::free(block);
    count_calls(state, 1);
}

// 1000 blocks replaced at random, each of any size of a range, made by `make`.
template <typename Make> void replace_varied(benchmark::State &state, Make make)
{
    uint32_t least = static_cast<uint32_t>(state.range(0)), most = static_cast<uint32_t>(state.range(1));
    Random random(5 + static_cast<uint64_t>(state.thread_index()));
    std::vector<void *> table(1000, nullptr);
    for (auto _ : state) {
        void *&slot = table[random.below(1000)];
        std::free(slot);
        slot = checked(make(least + random.below(most - least + 1)));
    }
    for (void *block : table)
        std::free(block);
    count_calls(state, 1);
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
    Random random(9 + static_cast<uint64_t>(state.thread_index()));
    std::vector<void *> table(64, nullptr);
    for (auto _ : state) {
        void *&slot = table[random.below(64)];
        std::free(slot);
        slot = checked(std::realloc(checked(std::malloc(most)), 16 + random.below(most - 15)));
    }
    for (void *block : table)
        std::free(block);
    count_calls(state, 1);
}

// Three buffers at a time, of one size, its half and its quarter, with every page used: what is kept of large blocks.
void buffers(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    for (auto _ : state) {
        char *held[3];
        for (int i = 0; i < 3; i++) {
            held[i] = static_cast<char *>(checked(std::malloc(size >> i)));
            for (size_t at = 0; at < size >> i; at += 4096)
                held[i][at] = 1;
        }
        for (char *buffer : held)
            std::free(buffer);
    }
    count_calls(state, 3);
}

// A vector that grows by allocation, copy and release, as std::vector does.
void copied_growth(benchmark::State &state)
{
    size_t limit = static_cast<size_t>(state.range(0));
    int64_t calls = 0;
    for (auto _ : state) {
        void *vector = checked(std::malloc(16));
        for (size_t size = 32; size <= limit; size *= 2, calls++) {
            void *larger = checked(std::malloc(size));
            std::memcpy(larger, vector, size / 2);
            std::free(vector);
            vector = larger;
        }
        std::free(vector);
    }
    state.SetItemsProcessed(calls);
}

void batch(benchmark::State &state)
{
    Random random(11);
    std::vector<void *> blocks(static_cast<size_t>(state.range(0)));
    for (auto _ : state) {
        for (void *&block : blocks)
            block = checked(std::malloc(mixed_size(random)));
        for (void *block : blocks)
            std::free(block);
    }
    count_calls(state, state.range(0));
}

struct Node {
    Node *child[2];
};

Node *grow_tree(size_t size, int depth)
{
    Node *node = static_cast<Node *>(checked(std::malloc(size)));
    for (Node *&child : node->child)
        child = depth > 0 ? grow_tree(size, depth - 1) : nullptr;
    return node;
}

void fell_tree(Node *node)
{
    for (Node *child : node->child)
        if (child)
            fell_tree(child);
    std::free(node);
}

// Trees of 32 to 65,536 nodes are built and torn down in turn beside one that stays: pages empty one by one.
void trees(benchmark::State &state)
{
    size_t size = static_cast<size_t>(state.range(0));
    Node *stays = grow_tree(size, 14);
    int64_t calls = 0;
    int depth = 4;
    for (auto _ : state) {
        fell_tree(grow_tree(size, depth));
        calls += (int64_t{2} << depth) - 1;
        depth = depth < 15 ? depth + 1 : 4;
    }
    fell_tree(stays);
    state.SetItemsProcessed(calls);
}

void realloc_growth(benchmark::State &state)
{
    size_t limit = static_cast<size_t>(state.range(0));
    int64_t calls = 0;
    for (auto _ : state) {
        void *block = checked(std::malloc(16));
        for (size_t size = 32; size <= limit; size += size / 2, calls++)
            block = checked(std::realloc(block, size));
        std::free(block);
    }
    state.SetItemsProcessed(calls);
}

// One thread allocates, the next one in the ring frees: single-slot mailboxes of whole batches.
struct alignas(64) Mailbox {
    std::atomic<std::vector<void *> *> held{nullptr};
};
Mailbox mailboxes[64];

void hand_off(benchmark::State &state)
{
    constexpr size_t kBatch = 128;
    size_t self = static_cast<size_t>(state.thread_index());
    size_t next = (self + 1) % static_cast<size_t>(state.threads());
    std::vector<void *> *mine = new std::vector<void *>(kBatch);
    for (auto _ : state) {
        for (void *&block : *mine)
            block = checked(std::malloc(64));
        std::vector<void *> *swapped = mailboxes[next].held.exchange(mine);
        mine = swapped ? swapped : new std::vector<void *>();
        for (void *block : *mine)
            std::free(block);
        mine->resize(kBatch);
    }
    delete mine;
    if (std::vector<void *> *left = mailboxes[self].held.exchange(nullptr)) {
        for (void *block : *left)
            std::free(block);
        delete left;
    }
    count_calls(state, kBatch);
}

// larson: each thread replaces blocks in a table that it shares with the thread after it.
constexpr size_t kLarsonSlots = 1024;
std::atomic<void *> larson_table[64 * kLarsonSlots];

void larson(benchmark::State &state)
{
    Random random(3 + static_cast<uint64_t>(state.thread_index()));
    size_t threads = static_cast<size_t>(state.threads()), turn = static_cast<size_t>(state.thread_index());
    for (auto _ : state) {
        size_t part = random.below(16) == 0 ? (turn + 1) % threads : turn;
        std::atomic<void *> &slot = larson_table[part * kLarsonSlots + random.below(kLarsonSlots)];
        std::free(slot.exchange(checked(std::malloc(16 + random.below(497)))));
    }
    for (size_t i = 0; i < kLarsonSlots; i++)
        std::free(larson_table[turn * kLarsonSlots + i].exchange(nullptr));
    count_calls(state, 1);
}

// Threads write to their own small blocks: slow when the allocator gives one line to two threads.
void false_sharing(benchmark::State &state)
{
    for (auto _ : state) {
        volatile char *block = static_cast<volatile char *>(checked(std::malloc(8)));
        for (int i = 0; i < 200; i++)
            block[i & 7] = static_cast<char>(block[i & 7] + 1);
        std::free(const_cast<char *>(block));
    }
    count_calls(state, 1);
}

void *short_life(void *)
{
    void *blocks[16];
    for (int i = 0; i < 16; i++)
        blocks[i] = checked(std::malloc(static_cast<size_t>(24 + i * 40)));
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

// Single-threaded over what the pattern depends on; then the pattern in 1 to 8 threads at once.
BENCHMARK(pair)->Arg(8)->Arg(16)->Arg(64)->Arg(256)->Arg(1024)->Arg(4096)->Arg(32768)->Arg(262144);
BENCHMARK(calloc_pair)->Arg(64)->Arg(4096)->Arg(262144);
BENCHMARK(aligned_pair)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(lifo)->Arg(16)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(fifo)->Arg(16)->Arg(64)->Arg(512)->Arg(4096);
BENCHMARK(random_replacement)->Arg(1000)->Arg(50000);
BENCHMARK(varied_sizes)->Args({130, 500})->Args({5, 1000})->Args({1000, 4000})->Args({4000, 30000})->Args({100000, 1000000});
BENCHMARK(varied_aligned)->Args({32, 512})->Args({1000, 4000});
BENCHMARK(shrinking)->Arg(512)->Arg(4096);
BENCHMARK(batch)->Arg(100)->Arg(10000);
BENCHMARK(trees)->Arg(16)->Arg(200);
BENCHMARK(realloc_growth)->Arg(4096)->Arg(1 << 20);
BENCHMARK(copied_growth)->Arg(1 << 17)->Arg(1 << 20);
BENCHMARK(buffers)->Arg(100000)->Arg(1000000);

BENCHMARK(pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(pair)->Arg(65536)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(calloc_pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(aligned_pair)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(lifo)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(fifo)->Arg(64)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(random_replacement)->Arg(5000)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(varied_sizes)->Args({5, 1000})->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(varied_aligned)->Args({32, 512})->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(shrinking)->Arg(4096)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(batch)->Arg(100)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(trees)->Arg(16)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(realloc_growth)->Arg(4096)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(buffers)->Arg(1000000)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(hand_off)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(larson)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(false_sharing)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(thread_start_stop)->ThreadRange(1, 8)->UseRealTime();

long field_kib(const char *path, const char *name)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    const char *found = std::strstr(text, name);
    return found ? std::strtol(found + std::strlen(name), nullptr, 10) : 0;
}

// Anonymous memory now, by smaps_rollup, and how far the high-water mark lies above what is resident now: pages of files,
// which come in with the code that is run, do not count.
class HighWater : public benchmark::MemoryManager {
public:
    void Start() override {}
    void Stop(Result &result) override
    {
        long above = field_kib("/proc/self/status", "VmHWM:") - field_kib("/proc/self/smaps_rollup", "Rss:");
        long now = field_kib("/proc/self/smaps_rollup", "Anonymous:");
        result.num_allocs = 0;
        result.max_bytes_used = (now + (above > 0 ? above : 0) - start_kib_) * 1024;
    }
    void Stop(Result *result) override { Stop(*result); }

private:
    long start_kib_ = field_kib("/proc/self/smaps_rollup", "Anonymous:");
};

std::string provider_of(const char *call)
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, call);
    return symbol && dladdr(symbol, &info) && info.dli_fname ? info.dli_fname : "unknown";
}

// Calls that are not answered by malloc's file, each with the file that does: "aligned_alloc from /lib/libc.so.6, ...".
std::string strays()
{
    std::string found;
    for (const char *call : {"free", "calloc", "realloc", "aligned_alloc"})
        if (provider_of(call) != provider_of("malloc"))
            found += (found.empty() ? "" : ", ") + std::string(call) + " from " + provider_of(call);
    return found;
}

}  // namespace

int main(int argc, char **argv)
{
    HighWater high_water;
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;
    benchmark::AddCustomContext("malloc_from", provider_of("malloc"));
    benchmark::AddCustomContext("strays", strays());
    benchmark::RegisterMemoryManager(&high_water);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::RegisterMemoryManager(nullptr);
    benchmark::Shutdown();
    return 0;
}
