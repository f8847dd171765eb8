// Columns as the engine sees them, one entry a row. What addresses memory is a copy that was checked (`Buffer`): another
// thread of Python may write to an array while it is in use. Of borrowed numbers (pointers) any value is safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "../pages.h"

namespace fasteval {

constexpr std::size_t kMostAreas = 16;  // bits of a mask of area ranges
constexpr std::size_t kMostThresholds = 1000;
constexpr std::size_t kMostLimits = 254;  // of detections: a level is a byte
// Tables that are made at these sizes take a gigabyte and 64 megabytes.
constexpr std::size_t kMostImages = std::size_t(1) << 27, kMostClasses = std::size_t(1) << 24;
constexpr std::size_t kMostExponents = std::size_t(1) << 26;  // of keypoints of pairs that are compared: 512 MiB
constexpr std::size_t kMostCells = std::size_t(1) << 29;  // of an array of curves: 4 GiB

// An array that is not cleared when it is made.
template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    Buffer() = default;
    explicit Buffer(std::size_t size) : size_(size) {
        if (size > PTRDIFF_MAX / sizeof(T)) throw std::bad_alloc();
        data_.reset(static_cast<T*>(std::malloc(size ? size * sizeof(T) : 1)));
        if (!data_) throw std::bad_alloc();
        use_large_pages(data_.get(), size * sizeof(T));
    }
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    T& operator[](std::size_t i) { return data_.get()[i]; }
    const T& operator[](std::size_t i) const { return data_.get()[i]; }
    std::size_t size() const { return size_; }
    T* release() { return data_.release(); }  // to be given to std::free

  private:
    struct Free {
        void operator()(T* data) const { std::free(data); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0;
};

struct Detections {
    std::size_t count = 0;
    Buffer<std::uint32_t> images, classes;
    const double* scores = nullptr;
    const double* areas = nullptr;
    // 1 where a detection that matches nothing counts neither way (LVIS); may be null.
    const std::uint8_t* lenient = nullptr;
};

struct Truth {
    std::size_t count = 0;
    Buffer<std::uint32_t> images, classes;
    const double* areas = nullptr;
    const std::uint8_t* crowd = nullptr;    // may match any number of detections
    const std::uint8_t* ignored = nullptr;  // a match counts neither way
    // Row whose matches pycocotools takes for no match, because its annotation id is 0; -1 for none.
    std::int64_t unseen = -1;
};

struct Limits {
    std::size_t images = 0;
    std::size_t classes = 0;
    std::vector<double> thresholds;   // T
    std::vector<double> area_ranges;  // A pairs, both ends included
    std::size_t max_detections = 100;

    std::size_t areas() const { return area_ranges.size() / 2; }
    std::size_t bits() const { return areas() * thresholds.size(); }
    std::size_t words() const { return (bits() + 63) / 64; }

    // Bit a is set where an area is outside range a.
    std::uint16_t outside(double area) const {
        std::uint16_t mask = 0;
        for (std::size_t a = 0; a < areas(); ++a)
            mask |= std::uint16_t(unsigned((area < area_ranges[2 * a]) | (area > area_ranges[2 * a + 1])) << a);
        return mask;
    }
};

}  // namespace fasteval
