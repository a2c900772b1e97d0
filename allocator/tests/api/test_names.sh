#!/usr/bin/env bash
# test_names.sh - libcellmalloc.so shows the public names and nothing else; the archive shows only prefixed ones and leaves malloc
# to the C library; every function of the header exists. LIBC=musl: a C library without mallinfo, whose start files show two names.
. "$SRC/scripts/tests/tap.sh"

header=$SRC/allocator/include/cellmalloc.h
declared=$(grep -oE '\bcell_[a-z_]+\(' <(grep CELL_EXPORT "$header") | tr -d '(' | sort -u)
libc="malloc calloc realloc reallocarray free cfree free_sized free_aligned_sized aligned_alloc memalign posix_memalign
      valloc pvalloc malloc_usable_size malloc_good_size mallopt malloc_trim malloc_info malloc_stats mallinfo mallinfo2
      __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_cfree __libc_memalign __libc_valloc __libc_pvalloc
      __posix_memalign"
cxx="_Znwm _Znam _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_t _ZnamSt11align_val_t
     _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t _ZdlPv _ZdaPv _ZdlPvm _ZdaPvm
     _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t _ZdlPvmSt11align_val_t
     _ZdaPvmSt11align_val_t _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t"
foreign=none
if [ "${LIBC:-glibc}" = musl ]; then
    libc=${libc/mallinfo mallinfo2/}
    foreign='_init|_fini'
fi
# What is size_t in the operators' names: unsigned long, or unsigned int.
readelf -h "$OUT/libcellmalloc.so" | grep -q ELF32 && cxx=$(sed -E 's/(_Zn[aw]|_Zd[al]Pv)m/\1j/g' <<<"$cxx")
wanted=$(printf '%s\n' $declared $libc $cxx | sort -u)
shown=$(nm -D --defined-only "$OUT/libcellmalloc.so" | awk '{ print $3 }' | sed 's/@.*//' | grep -vxE "$foreign" | sort -u)

is "the library shows the public names and nothing else" "$(diff <(echo "$wanted") <(echo "$shown"))" ""

defined=$(nm --defined-only "$OUT/cellmalloc.o" | awk '$2 ~ /[TDBRVW]/ { print $3 }' | grep -vE '^(cell_|__x86\.get_pc_thunk)' | sort -u)
is "the archive defines prefixed names only" "$defined" ""
tap_end
