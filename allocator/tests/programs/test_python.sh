#!/usr/bin/env bash
# python3 with cellmalloc preloaded, with and without its own pools: a script of ours, and its own test modules.
# A version manager's shim for python3 would only measure bash: the system's is taken.
source "$SRC/allocator/tests/programs/same.sh" || exit 1
python=/usr/bin/python3

same "python3" $python '/usr/bin/python3 words.py'
same "python3 without pools of its own" $python 'PYTHONMALLOC=malloc /usr/bin/python3 words.py'
same "python3 under a limit that it sets itself" $python '/usr/bin/python3 limited.py'

# The tests mind open descriptors, so the run that is traced is a short one.
own() { # NAME MODULE...
    local name=$1
    shift
    if ! $python -c "import test.$1" 2>/dev/null; then
        skip "$name" "python3's own tests are not installed (libpython3-testsuite)"
        return
    fi
    # Which tests ran and how each ended; the order of threads' output and times differ.
    same "$name" $python "PYTHONMALLOC=malloc $python -m test -v -j1 --fail-env-changed $* 2>&1 | tr -d '\r' |
        grep -oE '^test_[a-zA-Z0-9_]+ \([a-zA-Z0-9_.]+\)|^(OK|FAILED).*|^Ran [0-9]+ tests|^Result: .*' | sort | uniq -c" "$python -c pass"
}
own "its tests of containers" test_list test_dict test_set
own "its tests of memory" test_gc test_mmap test_zlib test_hashlib test_json
own "its tests of threads" test_thread test_threading test_threading_local
own "its tests of ctypes" test_ctypes
long "its tests of subprocess" && own "its tests of subprocess" test_subprocess test_fork1 test_popen
long "its tests of processes" && own "its tests of processes" test_multiprocessing_fork test_queue
long "its tests of libraries" && own "its tests of libraries" test_lzma test_bz2 test_decimal test_xml_etree_c test_bytes test_array test_deque
tap_end
