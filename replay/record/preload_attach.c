/* preload_attach.c - slow paths of the recorder: finding the shared memory, a process slot, a ring.
 *
 * The fast path comes here through hp_preload_ready() when a thread has no ring, after a fork, when its ring is full,
 * or when recording is off. A signal handler that lands here twice gives its event up and counts it as lost.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "record/preload.h"

enum { SPIN_ROUNDS = 200, LAST_DESTRUCTOR_ROUND = 4, RECORDING_SHIFT = 40 };
#define EPOCH_NONE UINT64_MAX
#define EPOCH_BOOT 1u
#define HEARTBEAT_PATIENCE 50           /* waits of 20 ms without a beat before the collector is looked for */

__thread struct hp_self hp_self = {.epoch = EPOCH_NONE};
static struct hp_wiped boot_page = {.epoch = EPOCH_BOOT};
struct hp_wiped *hp_wiped = &boot_page;
struct hp_shared *hp_shared;
bool hp_use_tsc;

static struct hp_process_slot *process;
static uint64_t serial;                 /* of this process, or of its parent until it has registered */
static uint64_t recordings;             /* of this process: threads keep what they knew of an earlier one */
static bool off;                        /* this process is not recorded, for good */
static pthread_key_t thread_key;
static uint64_t forks;

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
    return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

static void ring_doorbell(void)
{
    if (atomic_load(&hp_shared->sleeping)) {
        atomic_fetch_add(&hp_shared->doorbell, 1);
        futex(&hp_shared->doorbell, FUTEX_WAKE, 1, NULL);
    }
}

static void read_command(char *out)
{
    int state, fd;
    ssize_t n;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);     /* the thread of the program that is here may have been cancelled */
    fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, out, HP_COMMAND_BYTES - 1);
    if (fd >= 0)
        close(fd);
    pthread_setcancelstate(state, NULL);
    if (n < 0)
        n = 0;
    while (n > 0 && out[n - 1] == '\0')
        n--;
    for (ssize_t i = 0; i < n; i++)
        if (out[i] == '\0')
            out[i] = ' ';
    out[n] = '\0';
}

/* A program that defines malloc itself is called instead of us. One that only takes malloc's address, and is not
 * position independent, has an undefined symbol with a value: its entry in the procedure linkage table. */
static uint32_t program_has_own_malloc(void)
{
    Dl_info own, bound;
    const ElfW(Sym) *entry = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    const void *beside = hp_late ? (void *)getauxval(AT_PHDR) : &boot_page;

    return symbol && dladdr1(symbol, &bound, (void **)&entry, RTLD_DL_SYMENT) && dladdr(beside, &own) &&
           (own.dli_fbase == bound.dli_fbase) == hp_late && !(entry && entry->st_shndx == SHN_UNDEF);
}

static void describe_process(struct hp_process_slot *slot, uint64_t parent_serial, uint64_t fork_number)
{
    struct timespec now;
    Dl_info info;

    clock_gettime(CLOCK_REALTIME, &now);
    slot->pid = (uint32_t)getpid();
    slot->parent_pid = (uint32_t)getppid();
    slot->serial = serial;
    slot->parent_serial = parent_serial;
    slot->fork_number = fork_number;
    slot->start_ticks = hp_preload_clock() - hp_shared->epoch_ticks;
    slot->start_unix_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    slot->own_malloc = program_has_own_malloc();
    atomic_store(&slot->lost, 0);
    atomic_store(&slot->threads, 0);
    read_command(slot->command);
    slot->allocator[0] = '\0';
    if (dladdr((void *)hp_next.malloc, &info) && info.dli_fname)
        strncat(slot->allocator, info.dli_fname, HP_PATH_BYTES - 1);
}

/* A pid of another namespace would mean another process to the collector. */
static bool same_pid_namespace(const struct hp_shared *shared)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) != 0 || shared->pid_namespace == (uint64_t)st.st_ino;
}

/* A slot of the process table for this image, or for this child of a fork. */
static void register_process(uint64_t parent_serial, uint64_t fork_number)
{
    uint32_t expected, used;

    if (parent_serial && !same_pid_namespace(hp_shared)) {      /* the parent made a namespace for its children */
        atomic_fetch_add(&hp_shared->refused, 1);
        off = true;
        return;
    }
    serial = atomic_fetch_add(&hp_shared->next_serial, 1) + 1;
    hp_preload_sites(hp_shared->sites);
    if (!hp_shared->children && serial != 1) {
        off = true;
        return;
    }
    for (uint32_t i = 0; i < HP_PROCESS_COUNT; i++) {
        expected = HP_PROCESS_FREE;
        if (!atomic_compare_exchange_strong(&hp_shared->processes[i].state, &expected, HP_PROCESS_CLAIMED))
            continue;
        process = &hp_shared->processes[i];
        describe_process(process, parent_serial, fork_number);
        used = atomic_load(&hp_shared->processes_used);
        while (used < i + 1 && !atomic_compare_exchange_weak(&hp_shared->processes_used, &used, i + 1))
            continue;
        atomic_store(&process->state, HP_PROCESS_READY);
        hp_wiped->epoch = recordings << RECORDING_SHIFT | serial;
        return;
    }
    atomic_fetch_add(&hp_shared->refused, 1);
    off = true;
}

/* The last round, so that the frees of other destructors come before it. */
static void thread_end(void *value)
{
    struct hp_self *self = value;
    struct hp_ring *ring;

    if (++self->end_rounds < LAST_DESTRUCTOR_ROUND) {
        pthread_setspecific(thread_key, self);
        return;
    }
    if (!self->ring || self->epoch != hp_wiped->epoch)
        return;
    hp_preload_log(HP_THREAD_END, NULL, 0, 0);
    ring = self->ring;
    self->epoch = EPOCH_NONE;
    self->ring = NULL;
    atomic_store(&ring->state, HP_RING_CLOSED);
}

static bool collector_gone(uint64_t *beat, unsigned *unchanged)
{
    uint64_t now = atomic_load(&hp_shared->heartbeat);

    if (now != *beat) {
        *beat = now;
        *unchanged = 0;
        return false;
    }
    if (++*unchanged < HEARTBEAT_PATIENCE)
        return false;
    *unchanged = 0;
    return kill((pid_t)hp_shared->collector_pid, 0) != 0 && errno == ESRCH;
}

/* *closing: rings of threads that have ended, which will be free once they are drained. */
static void find_ring(struct hp_self *self, bool *closing)
{
    uint32_t expected, used;

    *closing = false;
    self->ring = NULL;
    for (uint32_t i = 0; i < HP_RING_COUNT && !self->ring; i++) {
        expected = HP_RING_FREE;
        if (!atomic_compare_exchange_strong(&hp_shared->rings[i].state, &expected, HP_RING_CLAIMED)) {
            *closing |= expected == HP_RING_CLOSED;
            continue;
        }
        self->ring = &hp_shared->rings[i];
        self->slots = hp_shared->slots[i];
        used = atomic_load(&hp_shared->rings_used);
        while (used < i + 1 && !atomic_compare_exchange_weak(&hp_shared->rings_used, &used, i + 1))
            continue;
    }
}

/* Waits for the collector when so many threads have ended that it lags behind; gives up when as many live. */
static bool claim_ring(struct hp_self *self)
{
    static _Atomic uint32_t never;
    const struct timespec patience = {.tv_nsec = 1000000};
    uint64_t beat = 0;
    unsigned unchanged = 0;
    bool closing;

    for (find_ring(self, &closing); !self->ring; find_ring(self, &closing)) {
        if (!closing || atomic_load(&hp_shared->control) != HP_CONTROL_RECORD || collector_gone(&beat, &unchanged))
            return false;
        ring_doorbell();
        futex(&never, FUTEX_WAIT, 0, &patience);        /* nanosleep() would be a cancellation point in the program's malloc */
    }
    self->ring->process = (uint32_t)(process - hp_shared->processes);
    self->ring->serial = serial;
    self->ring->thread = atomic_fetch_add(&process->threads, 1);
    self->ring->tid = (uint32_t)syscall(SYS_gettid);
    self->ring->limit = self->ring->reserved + HP_RING_SLOTS / 2;
    self->end_rounds = 0;
    self->repeats = 0;
    self->epoch = hp_wiped->epoch;
    atomic_store(&self->ring->state, HP_RING_ACTIVE);
    pthread_setspecific(thread_key, self);
    hp_preload_log(HP_THREAD_START, NULL, 0, 0);
    return true;
}

/* The ring is half full: tell the collector. It is full: wait for it, so that nothing is lost. */
static bool make_room(struct hp_self *self)
{
    struct hp_ring *ring = self->ring;
    const struct timespec patience = {.tv_nsec = 20000000};
    uint64_t room = HP_RING_SLOTS - HP_RING_SLACK, beat = 0, used;
    unsigned unchanged = 0;

    for (unsigned round = 0;; round++) {
        uint32_t wake = atomic_load(&ring->wake);

        if (atomic_load(&hp_shared->control) != HP_CONTROL_RECORD)
            return false;
        used = ring->reserved - atomic_load(&ring->consumed);
        if (used < room) {
            ring->limit = ring->reserved + (used < HP_RING_SLOTS / 2 ? HP_RING_SLOTS / 2 - used : room - used);
            if (used >= HP_RING_SLOTS / 2)
                ring_doorbell();
            return true;
        }
        ring_doorbell();
        if (round < SPIN_ROUNDS) {
            sched_yield();
            continue;
        }
        atomic_store(&ring->waiting, 1);
        if (ring->reserved - atomic_load(&ring->consumed) >= room)
            futex(&ring->wake, FUTEX_WAIT, wake, &patience);
        if (collector_gone(&beat, &unchanged)) {
            atomic_fetch_add(&process->lost, 1);
            off = true;
            return false;
        }
    }
}

static void fork_prepare(void)
{
    struct hp_self *self = &hp_self;

    if (off || !hp_shared || !hp_shared->children)
        return;
    self->fork_number = __atomic_add_fetch(&forks, 1, __ATOMIC_RELAXED);
    hp_preload_log(HP_RAW_FORK, (void *)(uintptr_t)self->fork_number, 0, 0);
}

static void fork_child(void)
{
    if (off || !hp_shared)
        return;
    if (hp_wiped->epoch && process && process->pid != (uint32_t)getpid()) {
        hp_wiped->epoch = 0;            /* a kernel without MADV_WIPEONFORK */
        atomic_store(&hp_wiped->lock, 0);
    }
    if (hp_wiped->epoch == 0)
        hp_preload_ready(&hp_self);
}

/* The descriptor is inherited; when the program closed it, the path still leads to the memory. */
static int open_shared(const char *text, bool *opened)
{
    struct stat st;
    char *end;
    long fd = strtol(text, &end, 10);
    unsigned long inode = *end == ':' ? strtoul(end + 1, &end, 10) : 0;

    *opened = false;
    if (*end != ':')
        return -1;
    if (fstat((int)fd, &st) == 0 && st.st_ino == inode && st.st_size == (off_t)sizeof(struct hp_shared))
        return (int)fd;
    *opened = true;
    fd = open(end + 1, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && (fstat((int)fd, &st) != 0 || st.st_ino != inode || st.st_size != (off_t)sizeof(struct hp_shared))) {
        close((int)fd);
        return -1;
    }
    return (int)fd;
}

/* Maps the memory of a recording and enters this process. False: it is not recorded. */
static bool enter(int fd)
{
    struct hp_wiped *page;
    struct hp_shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

    if (shared == MAP_FAILED || shared->magic != HP_SHARED_MAGIC)
        return false;
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || !same_pid_namespace(shared) || !hp_preload_sample(shared->sample)) {
        atomic_fetch_add(&shared->refused, 1);
        return false;
    }
    madvise(page, 4096, MADV_WIPEONFORK);
    if (recordings++ == 0) {
        pthread_key_create(&thread_key, thread_end);
        pthread_atfork(fork_prepare, NULL, fork_child);
    }
    hp_use_tsc = shared->use_tsc;
    hp_shared = shared;
    off = false;
    hp_wiped = page;
    register_process(0, 0);
    return true;
}

static void attach(void)
{
    const char *text = getenv(HP_SHARED_ENV);
    bool opened;
    int fd;

    off = true;
    if (!text || (fd = open_shared(text, &opened)) < 0)
        return;
    enter(fd);
    if (opened)
        close(fd);
}

/* The memory of an earlier recording stays mapped: a thread may be in the middle of a record. */
int hp_preload_begin(int fd)
{
    struct hp_self *self = &hp_self;
    bool entered;

    if (hp_shared && !off && atomic_load(&hp_shared->control) != HP_CONTROL_STOP &&
        kill((pid_t)hp_shared->collector_pid, 0) == 0)
        return -EBUSY;
    self->guard = (uintptr_t)__builtin_frame_address(0);
    entered = enter(fd);
    self->guard = 0;
    return entered ? 0 : -EINVAL;
}

static bool ready_locked(struct hp_self *self)
{
    uint32_t expected = 0;

    if (hp_wiped == &boot_page || hp_wiped->epoch == 0) {
        struct hp_wiped *page = hp_wiped;

        while (!atomic_compare_exchange_weak(&page->lock, &expected, 1)) {
            expected = 0;
            sched_yield();
        }
        if (hp_wiped == &boot_page && !off)
            attach();
        else if (hp_wiped->epoch == 0 && !off)
            register_process(serial, self->fork_number);
        atomic_store(&page->lock, 0);
        if (off)
            return false;
    }
    if (atomic_load(&hp_shared->control) != HP_CONTROL_RECORD)
        return false;
    if (self->epoch != hp_wiped->epoch && !claim_ring(self)) {
        /* What comes once the recording has ended is not its own: it may have ended while this thread waited. */
        if (atomic_load(&hp_shared->control) == HP_CONTROL_RECORD)
            atomic_fetch_add(&hp_shared->lost_no_ring, 1);
        return false;
    }
    return self->ring->reserved < self->ring->limit || make_room(self);
}

/* True when the thread may log now. Allocations that the C library makes for us in here are not the program's. */
bool hp_preload_ready(struct hp_self *self)
{
    int saved_errno = errno;
    uintptr_t guard = self->guard;
    bool ok;

    if (off || (!hp_shared && !environ))
        return false;
    if (self->busy) {
        if (process)
            atomic_fetch_add(&process->lost, 1);
        return false;
    }
    if (!hp_next.malloc)
        hp_preload_resolve();
    self->busy = 1;
    self->guard = (uintptr_t)__builtin_frame_address(0);
    ok = ready_locked(self);
    self->guard = guard;
    self->busy = 0;
    errno = saved_errno;
    return ok;
}

/* A record of two slots. */
void hp_preload_log_wide(unsigned kind, const void *a, uint64_t b, uint64_t c)
{
    struct hp_self *self = &hp_self;
    uint64_t position = hp_preload_reserve(self->ring, 2), now = hp_preload_now(self);
    struct hp_slot *slot = &self->slots[position % HP_RING_SLOTS], *more = &self->slots[(position + 1) % HP_RING_SLOTS];

    more->word = b;
    atomic_store_explicit(&more->stamp, c << HP_STAMP_SHIFT | hp_shared_phase(position + 1) | HP_RAW_MORE,
                          memory_order_relaxed);
    slot->word = (uint64_t)(uintptr_t)a << HP_MORE_BITS | HP_MORE | c >> (64 - HP_STAMP_SHIFT);
    atomic_store_explicit(&slot->stamp, now << HP_STAMP_SHIFT | hp_shared_phase(position) | kind, memory_order_release);
}

__attribute__((constructor)) static void start(void)
{
    if (!hp_next.malloc)
        hp_preload_resolve();
    hp_preload_ready(&hp_self);
}
