// sized_delete.cpp - deletes an object through its base class, which has no virtual destructor: the size named is the base's.
#include <cstdio>

struct Base { char bytes[40]; };
struct Derived : Base { char more[400]; };

int main()
{
    Base *object = new Derived;
    asm volatile("" : "+r"(object));
    delete object;
    std::puts("deleted");
    return 0;
}
