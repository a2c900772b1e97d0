// queue.h - batches of blocks on their way from one thread to another: a bounded queue, with and without waiting.
#ifndef MICRO_QUEUE_H
#define MICRO_QUEUE_H

#include "micro.h"

#include <condition_variable>
#include <mutex>

namespace micro {

using Batch = std::vector<void *>;

// Batches are swapped in and out, so that their vectors stay in use and only the blocks are allocated and freed.
template <size_t kRoom> class alignas(64) Queue {
public:
    // Takes the blocks and leaves an empty batch; false when there is no room.
    bool offer(Batch &batch)
    {
        std::lock_guard<std::mutex> guard(mutex_);
        return held_ < kRoom && push(batch);
    }

    // Fills an empty batch with the oldest; false when there is none.
    bool poll(Batch &batch)
    {
        std::lock_guard<std::mutex> guard(mutex_);
        return held_ > 0 && pop(batch);
    }

    // The same, waiting for room or for a batch.
    void put(Batch &batch)
    {
        std::unique_lock<std::mutex> guard(mutex_);
        emptied_.wait(guard, [this] { return held_ < kRoom; });
        push(batch);
        filled_.notify_one();
    }

    void take(Batch &batch)
    {
        std::unique_lock<std::mutex> guard(mutex_);
        filled_.wait(guard, [this] { return held_ > 0; });
        pop(batch);
        emptied_.notify_one();
    }

    // Frees what it holds, the vectors too.
    void clear()
    {
        std::lock_guard<std::mutex> guard(mutex_);
        for (Batch &batch : batches_) {
            free_all(batch);
            Batch().swap(batch);
        }
        held_ = 0;
    }

private:
    bool push(Batch &batch)
    {
        batches_[(first_ + held_++) % kRoom].swap(batch);
        return true;
    }

    bool pop(Batch &batch)
    {
        batches_[first_].swap(batch);
        first_ = (first_ + 1) % kRoom;
        held_--;
        return true;
    }

    std::mutex mutex_;
    std::condition_variable filled_, emptied_;
    Batch batches_[kRoom];
    size_t first_ = 0, held_ = 0;
};

}  // namespace micro

#endif
