// programs.cc - what whole programs do: they build trees, maps and documents and drop them, serve requests, work in bursts.
#include "micro.h"

#include <string>

namespace {

using namespace micro;

// Many blocks at once, small ones for the most part; half are freed in the order in which they were made, the others from the last
// on. In the manner of sh6bench (MicroQuill).
void bursts(benchmark::State &state)
{
    constexpr size_t kBurst = 4000, kHalf = kBurst / 2;
    Random random(state);
    std::vector<void *> blocks(kBurst);
    for (auto _ : state) {
        for (void *&block : blocks)
            block = allocate(1 + random.below(random.below(4) ? 64 : 1000));
        for (size_t i = 0; i < kHalf; i++)
            std::free(blocks[i]);
        for (size_t i = kBurst; i > kHalf; i--)
            std::free(blocks[i - 1]);
    }
    count_calls(state, kBurst);
}

struct Node {
    Node *child[2];
};

Node *grow_tree(size_t size, int depth)
{
    Node *node = static_cast<Node *>(allocate(size));
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

struct Entry {
    Entry *next;
    uint64_t key;
    char value[24];
};

// A map with chains, whose entries are freed in the order of their buckets: in none that the allocator knows.
class HashMap {
public:
    HashMap() : buckets_(8, nullptr) {}
    HashMap(const HashMap &) = delete;

    ~HashMap()
    {
        for (Entry *first : buckets_)
            while (Entry *entry = first) {
                first = entry->next;
                std::free(entry);
            }
    }

    void insert(uint64_t key)
    {
        if (held_++ == buckets_.size())
            grow();
        Entry *entry = static_cast<Entry *>(allocate(sizeof(Entry)));
        entry->key = key;
        link(buckets_, entry);
    }

private:
    static void link(std::vector<Entry *> &buckets, Entry *entry)
    {
        Entry *&first = buckets[entry->key % buckets.size()];
        entry->next = first;
        first = entry;
    }

    void grow()
    {
        std::vector<Entry *> larger(2 * buckets_.size(), nullptr);
        for (Entry *first : buckets_)
            while (Entry *entry = first) {
                first = entry->next;
                link(larger, entry);
            }
        buckets_.swap(larger);
    }

    std::vector<Entry *> buckets_;
    size_t held_ = 0;
};

void hash_map(benchmark::State &state)
{
    constexpr int kEntries = 10000;
    Random random(state);
    for (auto _ : state) {
        HashMap map;
        for (int i = 0; i < kEntries; i++)
            map.insert(random.next());
    }
    count_calls(state, kEntries);
}

// Documents of 3000 strings, by operator new; in every second one a third of them is replaced. Strings that have no block, since
// they are short, do not count, nor does the vector.
void documents(benchmark::State &state)
{
    constexpr size_t kStrings = 3000;
    const size_t without_block = std::string().capacity();
    Random random(state);
    int64_t calls = 0;
    bool edited = false;
    auto text = [&](size_t length) {
        calls += length > without_block;
        return std::string(length, 'x');
    };
    for (auto _ : state) {
        std::vector<std::string> document;
        for (size_t i = 0; i < kStrings; i++)
            document.push_back(text(1 + random.below(random.below(10) ? 100 : 2000)));
        for (size_t i = 0; edited && i < kStrings; i += 3)
            document[i] = text(random.below(60));
        edited = !edited;
    }
    state.SetItemsProcessed(calls);
}

// A request has a buffer, some lines and many small blocks, which go when it is served, and leaves a block in one of 500 sessions.
void requests(benchmark::State &state)
{
    constexpr uint32_t kSessions = 500;
    Random random(state);
    std::vector<void *> sessions(kSessions, nullptr), blocks;
    int64_t calls = 0;
    for (auto _ : state) {
        uint32_t count = 10 + random.below(14);
        for (uint32_t i = 0; i < count; i++)
            blocks.push_back(allocate(16 + random.below(i == 0 ? 16384 : i < 4 ? 2048 : 200)));
        void *&session = sessions[random.below(kSessions)];
        std::free(session);
        session = allocate(100 + random.below(900));
        for (; !blocks.empty(); blocks.pop_back())
            std::free(blocks.back());
        calls += count + 1;
    }
    free_all(sessions);
    state.SetItemsProcessed(calls);
}

BENCHMARK(trees)->Arg(16)->Arg(200);

BENCHMARK(trees)->Arg(16)->ThreadRange(1, 8)->UseRealTime();
BENCHMARK(bursts)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(hash_map)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(documents)->Threads(1)->Threads(4)->UseRealTime();
BENCHMARK(requests)->Threads(1)->Threads(4)->UseRealTime();

}  // namespace
