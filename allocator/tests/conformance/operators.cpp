// operators.cpp - all forms of new and delete, bad_alloc, the new handler and containers; the output must not depend on the allocator.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

struct alignas(256) Wide { char bytes[300]; };
struct Base { virtual ~Base() {} char bytes[40]; };
struct Derived : Base { char more[400]; };

static volatile std::size_t huge = PTRDIFF_MAX - 4096;
static int handled;

template <typename Function> static const char *outcome(Function function)
{
    try {
        return function() == nullptr ? "nullptr" : "block";
    } catch (const std::bad_alloc &) {
        return "bad_alloc";
    } catch (int thrown) {
        return thrown == 17 ? "17" : "another int";
    }
}

static void handler()
{
    if (++handled == 3)
        std::set_new_handler(nullptr);
}

static void throwing_handler()
{
    handled++;
    throw std::bad_alloc();
}

static void int_throwing_handler()
{
    handled++;
    throw 17;
}

// Makes memory available at its second call.
static void freeing_handler()
{
    rlimit limit;

    if (++handled == 2) {
        getrlimit(RLIMIT_DATA, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_DATA, &limit);
    }
}

static std::size_t wanted;

template <typename Function> static void show_handlers(const char *name, Function make)
{
    static const struct { const char *name; std::new_handler handler; } handlers[] = {
        { "none", nullptr }, { "one that goes away", handler }, { "one that throws bad_alloc", throwing_handler },
        { "one that throws an int", int_throwing_handler },
    };

    for (auto &one : handlers) {
        handled = 0;
        std::set_new_handler(one.handler);
        const char *what = outcome([&] { return make(huge); });
        std::printf("%s, handler: %s: %s after %d calls\n", name, one.name, what, handled);
    }
    handled = 0;
    std::set_new_handler(freeing_handler);
    rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_DATA, &limit);
    const char *what = outcome([&] {
        void *block = make(wanted += std::size_t(64) << 20);    // more than an allocator may have kept
        std::free(block);       // aligned or not, new is malloc here
        return block;
    });
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_DATA, &limit);
    std::printf("%s, handler: one that frees: %s after %d calls\n", name, what, handled);
    std::set_new_handler(nullptr);
}

int main()
{
    int *one = new int(7);
    int *array = new int[1000]();
    Wide *wide = new Wide, *wides = new Wide[5];
    Base *derived = new Derived;
    std::printf("%d %d %d %d\n", *one, array[999], int((std::uintptr_t)wide % 256), int((std::uintptr_t)wides % 256));
    delete one;
    delete[] array;
    delete wide;
    delete[] wides;
    delete derived;
    ::operator delete(::operator new(100), std::size_t(100));
    ::operator delete[](::operator new[](100), std::size_t(100));
    ::operator delete(::operator new(100, std::nothrow), std::nothrow);
    ::operator delete[](::operator new[](100, std::nothrow), std::nothrow);
    ::operator delete(::operator new(100, std::align_val_t(512)), std::align_val_t(512));
    ::operator delete[](::operator new[](100, std::align_val_t(512)), 100, std::align_val_t(512));
    ::operator delete(::operator new(100, std::align_val_t(64), std::nothrow), std::align_val_t(64), std::nothrow);
    ::operator delete(nullptr);
    std::printf("new(0) %s\n", outcome([] { return ::operator new(0); }));
    std::printf("new(huge) %s\n", outcome([] { return ::operator new(huge); }));
    std::printf("new[](huge) %s\n", outcome([] { return ::operator new[](huge); }));
    std::printf("new(huge, nothrow) %s\n", outcome([] { return ::operator new(huge, std::nothrow); }));
    std::printf("new(huge, align) %s\n", outcome([] { return ::operator new(huge, std::align_val_t(64)); }));
    std::printf("new(huge, align, nothrow) %s\n",
                outcome([] { return ::operator new(huge, std::align_val_t(64), std::nothrow); }));
    std::set_new_handler(handler);
    std::printf("handler: %s after %d calls\n", outcome([] { return ::operator new(huge); }), handled);
    using size = std::size_t;
    const std::align_val_t wide_alignment = std::align_val_t(128);
    show_handlers("new", [](size n) { return ::operator new(n); });
    show_handlers("new[]", [](size n) { return ::operator new[](n); });
    show_handlers("new nothrow", [](size n) { return ::operator new(n, std::nothrow); });
    show_handlers("new[] nothrow", [](size n) { return ::operator new[](n, std::nothrow); });
    show_handlers("new aligned", [=](size n) { return ::operator new(n, wide_alignment); });
    show_handlers("new[] aligned", [=](size n) { return ::operator new[](n, wide_alignment); });
    show_handlers("new aligned nothrow", [=](size n) { return ::operator new(n, wide_alignment, std::nothrow); });
    show_handlers("new[] aligned nothrow", [=](size n) { return ::operator new[](n, wide_alignment, std::nothrow); });

    std::map<std::string, std::vector<std::string>> words;
    std::vector<std::thread> threads;
    for (int i = 0; i < 20000; i++)
        words["key " + std::to_string(i % 777)].push_back(std::string(std::size_t(i % 90), 'x'));
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            std::vector<std::shared_ptr<std::string>> kept;
            for (int j = 0; j < 20000; j++)
                kept.push_back(std::make_shared<std::string>(std::size_t(j % 200), 'y'));
        });
    for (auto &thread : threads)
        thread.join();
    std::size_t total = 0;
    for (auto &entry : words)
        for (auto &word : entry.second)
            total += word.size();
    std::printf("%zu words, %zu bytes\n", words.size(), total);
    return 0;
}
