// Large pages for large arrays, where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

// Faulting an array in by 4 KiB at a time costs about as much as filling it does.
inline void use_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    constexpr std::uintptr_t kPage = 4096;
    constexpr std::size_t kWorthIt = std::size_t(1) << 22;
    if (bytes < kWorthIt) return;
    // The whole mapping: one that is advised in part becomes two, which cannot be moved when the array grows.
    const auto begin = reinterpret_cast<std::uintptr_t>(data) / kPage * kPage;
    const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes + kPage - 1) / kPage * kPage;
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}
