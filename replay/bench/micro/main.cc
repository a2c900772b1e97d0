// main.cc - runs micro-benchmarks of malloc with Google Benchmark; scripts/micro.py runs it once per allocator, preloaded.
//
// Each benchmark is one pattern of calls whose cost is known to separate allocators: see the tables at the end of calls.cc (single
// calls), tables.cc (replacement at random), programs.cc (what programs build and drop) and threads.cc (what goes on between
// threads). The allocator is whatever malloc resolves to; in the context of the JSON output "malloc_from" names its file, and
// "strays" the calls that other files answer. Memory (benchmark::MemoryManager) is what the process's peak of anonymous memory
// lies above its start, so each benchmark needs a process of its own.
#include <benchmark/benchmark.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

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
