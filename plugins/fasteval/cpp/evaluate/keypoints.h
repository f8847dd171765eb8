// Object keypoint similarity, in two steps so that numpy computes the exponentials.
//
// Source: COCOeval.computeOks of pycocotools. Its last bits are those of numpy's exp and of numpy's order of
// summation; the first is called for, the second is followed here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "columns.h"
#include "grouping.h"

namespace fasteval {

struct Keypoints {
    std::size_t count = 0;                  // K keypoints each
    const double* detections = nullptr;     // (N, K, 3)
    const double* truth = nullptr;          // (G, K, 3), the last is visibility
    const double* truth_boxes = nullptr;    // (G, 4) x, y, width, height
    const double* variances = nullptr;      // (C, K) (2 sigma)^2 of each class
};

// Pairs of one class on one image, by detection: `annotations` and `sizes` of row d are those from starts[d].
struct KeypointPairs {
    std::vector<std::int64_t> starts;  // (N + 1,)
    std::vector<std::uint32_t> annotations;
    std::vector<std::uint16_t> sizes;  // exponents of each pair
    std::vector<double> exponents;     // what exp is to be taken of
};

inline void append_exponents(const Keypoints& k, const Truth& truth, std::size_t d, std::size_t g,
                             KeypointPairs& out) {
    const double* found = k.detections + d * k.count * 3;
    const double* labeled = k.truth + g * k.count * 3;
    const double* box = k.truth_boxes + 4 * g;
    std::size_t visible = 0;
    for (std::size_t i = 0; i < k.count; ++i) visible += labeled[3 * i + 2] > 0;
    const double left = box[0] - box[2], right = box[0] + box[2] * 2;
    const double top = box[1] - box[3], bottom = box[1] + box[3] * 2;
    const double* variances = k.variances + std::size_t(truth.classes[g]) * k.count;
    const double area = truth.areas[g] + std::numeric_limits<double>::epsilon();
    for (std::size_t i = 0; i < k.count; ++i) {
        double dx, dy;
        if (visible) {
            if (!(labeled[3 * i + 2] > 0)) continue;
            dx = found[3 * i] - labeled[3 * i];
            dy = found[3 * i + 1] - labeled[3 * i + 1];
        } else {
            dx = std::max(0.0, left - found[3 * i]) + std::max(0.0, found[3 * i] - right);
            dy = std::max(0.0, top - found[3 * i + 1]) + std::max(0.0, found[3 * i + 1] - bottom);
        }
        out.exponents.push_back(-((dx * dx + dy * dy) / variances[i] / area / 2));
    }
    out.annotations.push_back(std::uint32_t(g));
    out.sizes.push_back(std::uint16_t(visible ? visible : k.count));
}

// Sum of a row of up to 128 numbers, added as numpy adds them: eight running sums, then their sum.
inline double numpy_sum(const double* values, std::size_t count) {
    double total = 0;
    std::size_t i = 0;
    if (count > 128) {
        std::size_t half = count / 2;
        half -= half % 8;
        return numpy_sum(values, half) + numpy_sum(values + half, count - half);
    }
    if (count >= 8) {
        double sums[8];
        std::copy_n(values, 8, sums);
        for (i = 8; i + 8 <= count; i += 8)
            for (std::size_t j = 0; j < 8; ++j) sums[j] += values[i + j];
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
    for (; i < count; ++i) total += values[i];
    return total;
}

// Overlaps known before; those of detection d are at starts[d] to starts[d + 1].
class KnownOverlap {
  public:
    KnownOverlap(const double* areas, const std::int64_t* starts, const std::uint32_t* annotations,
                 const double* overlaps)
        : areas_(areas), starts_(starts), annotations_(annotations), overlaps_(overlaps) {}

    void enter(const std::vector<std::uint32_t>&, const std::vector<std::uint32_t>&) const {}
    double area(std::uint32_t detection) const { return areas_[detection]; }

    double operator()(std::uint32_t detection, std::uint32_t annotation) const {
        const auto begin = annotations_ + starts_[detection], end = annotations_ + starts_[detection + 1];
        const auto found = std::find(begin, end, annotation);
        return found == end ? -1 : overlaps_[found - annotations_];
    }

  private:
    const double* areas_;
    const std::int64_t* starts_;
    const std::uint32_t* annotations_;
    const double* overlaps_;
};

}  // namespace fasteval
