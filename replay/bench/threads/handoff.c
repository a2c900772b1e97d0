/* handoff.c - producers allocate, consumers free: bounded queues of single blocks, as between stages of a server. */
#include "threads.h"

enum { QUEUE = 256, BATCH = 32 };
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    void           *held[QUEUE];
    int             count;
    bool            closed;
};
static struct queue queues[THREADS_MAX / 2];
static struct work work;

static void put(struct queue *q, void **blocks)
{
    pthread_mutex_lock(&q->lock);
    while (q->count > QUEUE - BATCH)
        pthread_cond_wait(&q->changed, &q->lock);
    memcpy(q->held + q->count, blocks, BATCH * sizeof *blocks);
    q->count += BATCH;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static int take(struct queue *q, void **blocks)
{
    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed)
        pthread_cond_wait(&q->changed, &q->lock);
    int count = q->count;
    memcpy(blocks, q->held, (size_t)count * sizeof *blocks);
    q->count = 0;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
    return count;
}

static void produce(struct queue *q, uint64_t random)
{
    void *blocks[BATCH];
    for (long i = 0; i < work.rounds; i++) {
        for (int k = 0; k < BATCH; k++)
            blocks[k] = touched(mixed_size(&random) % 2048 + 16);
        put(q, blocks);
    }
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_signal(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static void *body(void *number)
{
    int thread = (int)(intptr_t)number;
    struct queue *q = &queues[thread / 2];
    void *blocks[QUEUE];
    if (thread % 2 == 0)
        produce(q, seed_of(thread));
    else
        for (int count; (count = take(q, blocks)) > 0;)
            for (int k = 0; k < count; k++)
                free(blocks[k]);
    return NULL;
}

int main(int argc, char **argv)
{
    work = read_arguments(argc, argv, 2, 40000, "handoff: pairs of a producer and a consumer");
    work.threads = (work.threads + 1) / 2 * 2;
    for (int i = 0; i < work.threads / 2; i++) {
        pthread_mutex_init(&queues[i].lock, NULL);
        pthread_cond_init(&queues[i].changed, NULL);
    }
    int64_t start_ns = now_ns();
    run_all(work.threads, body);
    return report(start_ns, work.rounds * BATCH * work.threads);
}
