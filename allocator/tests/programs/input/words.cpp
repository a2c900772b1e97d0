#include <algorithm>
#include <iostream>
#include <map>
#include <string>

int main()
{
    std::map<std::string, int> m;
    for (unsigned i = 0, x = 1; i < 5000; i++) {
        x = x * 1103515245u + 12345;
        m[std::to_string(x >> 20)]++;
    }
    std::cout << m.size() << ' ' << std::count_if(m.begin(), m.end(), [](auto &p) { return p.second > 1; }) << '\n';
}
