// Rows of each image, in the order in which they stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "columns.h"

namespace fasteval {

class RowsByImage {
  public:
    RowsByImage(const Buffer<std::uint32_t>& images, std::size_t count, std::size_t image_count)
        : starts_(image_count + 1, 0) {
        bool sorted = true;
        for (std::size_t row = 0; row < count; ++row) {
            ++starts_[std::size_t(images[row]) + 1];
            sorted &= row == 0 || images[row] >= images[row - 1];
        }
        for (std::size_t image = 0; image < image_count; ++image) starts_[image + 1] += starts_[image];
        if (sorted) return;
        rows_ = Buffer<std::uint32_t>(count);
        std::vector<std::size_t> next(starts_.begin(), starts_.end() - 1);
        for (std::size_t row = 0; row < count; ++row)
            rows_[next[images[row]]++] = std::uint32_t(row);
    }

    std::size_t begin(std::size_t image) const { return starts_[image]; }
    std::size_t end(std::size_t image) const { return starts_[image + 1]; }
    std::size_t images() const { return starts_.size() - 1; }
    std::uint32_t row(std::size_t place) const {
        return rows_.size() ? rows_[place] : std::uint32_t(place);
    }

    // First images of `count` ranges with about as many rows each; count + 1 numbers.
    std::vector<std::size_t> split(std::size_t count) const {
        std::vector<std::size_t> borders(1, 0);
        for (std::size_t k = 1; k < count; ++k) {
            const std::size_t target = starts_.back() * k / count;
            std::size_t image = borders.back();
            while (image < images() && starts_[image] < target) ++image;
            borders.push_back(image);
        }
        borders.push_back(images());
        return borders;
    }

  private:
    std::vector<std::size_t> starts_;
    Buffer<std::uint32_t> rows_;  // empty where rows stand by image already
};

}  // namespace fasteval
