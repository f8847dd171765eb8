// Threads over disjoint ranges; results never depend on how many there are.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace fasteval {

// Calls work(worker) once for each worker; rethrows the first exception. Where no further thread can be had, this one
// does the rest.
template <class Work>
void run_workers(std::size_t workers, Work&& work) {
    std::exception_ptr failure;
    std::mutex guard;
    auto safely = [&](std::size_t worker) {
        try {
            work(worker);
        } catch (...) {
            std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(workers);
    std::size_t worker = 1;
    try {
        for (; worker < workers; ++worker) others.emplace_back(safely, worker);
    } catch (const std::exception&) {
    }
    safely(0);
    for (; worker < workers; ++worker) safely(worker);
    for (auto& other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

// Calls make() once a thread and the function it gives for each of `count` items, in any order.
template <class Make>
void for_each_item(std::size_t count, std::size_t workers, Make&& make) {
    std::atomic<std::size_t> next{0};
    run_workers(std::max<std::size_t>(1, std::min(workers, count)), [&](std::size_t) {
        auto work = make();
        for (std::size_t item = next++; item < count; item = next++) work(item);
    });
}

}  // namespace fasteval
