// Object keypoint similarity, in two steps so that numpy computes the exponentials.
//
// Source: COCOeval.computeOks of pycocotools. Its last bits are those of numpy's exp and of numpy's order of
// summation; the first is called for, the second is followed here. Most pairs are far from the lowest threshold: a
// bound that needs no exponential leaves them out.
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

// Pairs of one class on one image, by detection.
struct KeypointPairs {
    std::vector<std::int64_t> counts;        // of each detection
    std::vector<std::uint32_t> annotations;
    std::vector<std::uint16_t> sizes;        // exponents of each pair
    std::vector<double> exponents;           // what exp is to be taken of
};

// Compares detections with the annotations of their image, which are prepared once for all detections there.
class KeypointComparison {
  public:
    KeypointComparison(const Keypoints& keypoints, const Truth& truth, double least)
        : k_(keypoints), truth_(truth), least_(least) {}

    void enter(const RowsByImage& annotations, std::size_t image) {
        labeled_.clear();
        points_.clear();
        for (std::size_t place = annotations.begin(image); place < annotations.end(image); ++place)
            prepare(annotations.row(place));
    }

    // Appends the exponents of the pairs whose similarity may be `least` or more.
    void compare(std::size_t d, std::int64_t class_id, KeypointPairs& out) const {
        const double* found = k_.detections + d * k_.count * 3;
        const std::size_t before = out.annotations.size();
        for (const Labeled& labeled : labeled_) {
            if (truth_.classes[labeled.row] != class_id || (labeled.bounded && below_least(labeled, found))) continue;
            if (labeled.begin == labeled.end) append_distances_to_box(labeled, found, out);
            else append_distances(labeled, found, out);
            out.annotations.push_back(labeled.row);
        }
        out.counts.push_back(std::int64_t(out.annotations.size() - before));
    }

  private:
    struct Point {
        std::size_t at;  // three times the keypoint
        double x, y, variance;
        double scale;    // about 1 / (2 variance area): what is compared with it needs no last bit
    };
    struct Labeled {
        std::uint32_t row;
        std::size_t begin, end;  // visible keypoints, in `points_`
        double area, spare;      // by how much all terms together may stay below 1
        bool bounded;            // whether terms are between 0 and 1
    };
    static constexpr double kRounding = 1e-6;

    void prepare(std::uint32_t row) {
        const double* truth = k_.truth + row * k_.count * 3;
        const double* variances = variances_of(row);
        const double area = truth_.areas[row] + std::numeric_limits<double>::epsilon();
        const std::size_t begin = points_.size();
        bool bounded = area > 0;
        for (std::size_t i = 0; i < k_.count; ++i) {
            if (!(truth[3 * i + 2] > 0)) continue;
            points_.push_back({3 * i, truth[3 * i], truth[3 * i + 1], variances[i], 0.5 / variances[i] / area});
            bounded &= variances[i] > 0;
        }
        const auto visible = double(points_.size() - begin);
        labeled_.push_back({row, begin, points_.size(), area, visible - (least_ - kRounding) * visible,
                            bounded && visible > 0});
    }

    const double* variances_of(std::uint32_t row) const {
        return k_.variances + std::size_t(truth_.classes[row]) * k_.count;
    }

    // Whether the similarity is certainly below `least`. exp(-x) is convex: up to 2 it is below its chord, from there on
    // below its value at 2. Once the best that is left does not suffice, the rest is not looked at.
    bool below_least(const Labeled& labeled, const double* found) const {
        constexpr double kAtTwo = 0.1353352832366128, kSlope = (1 - kAtTwo) / 2;
        double spare = labeled.spare;
        for (std::size_t i = labeled.begin; i < labeled.end; ++i) {
            const Point& point = points_[i];
            const double dx = found[point.at] - point.x, dy = found[point.at + 1] - point.y;
            spare -= std::min(kSlope * ((dx * dx + dy * dy) * point.scale), 1 - kAtTwo);
            if (spare < 0) return true;
        }
        return false;
    }

    void append_distances(const Labeled& labeled, const double* found, KeypointPairs& out) const {
        for (std::size_t i = labeled.begin; i < labeled.end; ++i) {
            const Point& point = points_[i];
            const double dx = found[point.at] - point.x, dy = found[point.at + 1] - point.y;
            out.exponents.push_back(-((dx * dx + dy * dy) / point.variance / labeled.area / 2));
        }
        out.sizes.push_back(std::uint16_t(labeled.end - labeled.begin));
    }

    // Without a visible keypoint, distances are those to a box of three times the size.
    void append_distances_to_box(const Labeled& labeled, const double* found, KeypointPairs& out) const {
        const double *box = k_.truth_boxes + 4 * labeled.row, *variances = variances_of(labeled.row);
        const double left = box[0] - box[2], right = box[0] + box[2] * 2;
        const double top = box[1] - box[3], bottom = box[1] + box[3] * 2;
        for (std::size_t i = 0; i < k_.count; ++i) {
            const double dx = std::max(0.0, left - found[3 * i]) + std::max(0.0, found[3 * i] - right);
            const double dy = std::max(0.0, top - found[3 * i + 1]) + std::max(0.0, found[3 * i + 1] - bottom);
            out.exponents.push_back(-((dx * dx + dy * dy) / variances[i] / labeled.area / 2));
        }
        out.sizes.push_back(std::uint16_t(k_.count));
    }

    const Keypoints& k_;
    const Truth& truth_;
    double least_;
    std::vector<Labeled> labeled_;
    std::vector<Point> points_;
};

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
