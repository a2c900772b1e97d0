// thread_locals.cpp - thread_local objects that own memory: their destructors allocate, also when the allocator's own part of
// the thread is gone, and blocks that a thread leaves behind are freed by another.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> destroyed;

struct Diary {
    std::map<int, std::string> pages;
    ~Diary()
    {
        std::vector<std::string> copy;
        for (auto &page : pages)
            copy.push_back(page.second + page.second);
        copy.shrink_to_fit();
        if (copy.size() == pages.size())
            destroyed++;
    }
};

static thread_local Diary first;
static thread_local std::unique_ptr<Diary> second(new Diary);
static std::vector<std::string *> left_behind;

static void write(int number, std::string **leave)
{
    for (int i = 0; i < 40; i++) {
        first.pages[i] = std::string(static_cast<size_t>(i * number % 700), 'x');
        second->pages[-i] = "a page of thread " + std::to_string(number);
    }
    *leave = new std::string(static_cast<size_t>(number * 100), 'y');
}

int main()
{
    size_t length = 0;

    std::atexit([] { std::printf("%d diaries at exit: %s\n", destroyed.load(), std::string(3000, 'z').substr(2990).c_str()); });
    for (int round = 0; round < 40; round++) {
        std::vector<std::thread> threads;
        std::vector<std::string *> left(6);
        for (int i = 0; i < 6; i++)
            threads.emplace_back(write, round + i, &left[static_cast<size_t>(i)]);
        for (auto &thread : threads)
            thread.join();
        for (auto *text : left) {
            length += text->size();
            delete text;
        }
    }
    write(1, &left_behind.emplace_back());
    std::printf("%d diaries, %zu bytes left behind\n", destroyed.load(), length);
    return 0;
}
