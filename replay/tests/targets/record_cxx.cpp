// record_cxx.cpp - every form of operator new and delete once, between malloc(777001) and malloc(777002).
#include <cstdlib>
#include <new>

static void *volatile keep;

static void *hold(void *p)
{
    keep = p;
    return p;
}

namespace shelf {
__attribute__((noinline)) static void *take(std::size_t size)
{
    return hold(::operator new(size));
}
}

int main()
{
    const std::align_val_t wide{64};

    hold(std::malloc(777001));
    ::operator delete(shelf::take(11));
    ::operator delete(hold(::operator new(12, std::nothrow)), std::nothrow);
    ::operator delete[](hold(::operator new[](13)));
    ::operator delete[](hold(::operator new[](14, std::nothrow)), std::nothrow);
    ::operator delete(hold(::operator new(15)), static_cast<std::size_t>(15));
    ::operator delete[](hold(::operator new[](16)), static_cast<std::size_t>(16));
    ::operator delete(hold(::operator new(17, wide)), wide);
    ::operator delete(hold(::operator new(18, wide)), static_cast<std::size_t>(18), wide);
    ::operator delete[](hold(::operator new[](19, wide, std::nothrow)), wide, std::nothrow);
    ::operator delete(nullptr);
    try {
        hold(::operator new(static_cast<std::size_t>(-1) / 4));
    } catch (const std::bad_alloc &) {
    }
    hold(std::malloc(777002));
    return 0;
}
