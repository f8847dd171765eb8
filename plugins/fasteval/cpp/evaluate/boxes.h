// IoU of boxes x, y, width, height. Source of the arithmetic: bbIou in pycocotools' maskApi.c.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fasteval {

class BoxOverlap {
  public:
    BoxOverlap(const double* detections, const double* areas, const double* truth, const std::uint8_t* crowd)
        : detections_(detections), areas_(areas), truth_(truth), crowd_(crowd) {}

    void enter(const std::vector<std::uint32_t>&, const std::vector<std::uint32_t>&) const {}
    double area(std::uint32_t detection) const { return areas_[detection]; }

    double operator()(std::uint32_t detection, std::uint32_t annotation) const {
        const double* d = detections_ + 4 * std::size_t(detection);
        const double* g = truth_ + 4 * std::size_t(annotation);
        const double width = std::min(d[2] + d[0], g[2] + g[0]) - std::max(d[0], g[0]);
        const double height = std::min(d[3] + d[1], g[3] + g[1]) - std::max(d[1], g[1]);
        // One branch: two of them, each taken about every other time, take longer than the second difference.
        if ((width <= 0) | (height <= 0)) return 0;
        const double shared = width * height, area = d[2] * d[3];
        return shared / (crowd_[annotation] ? area : area + g[2] * g[3] - shared);
    }

  private:
    const double* detections_;
    const double* areas_;
    const double* truth_;
    const std::uint8_t* crowd_;
};

}  // namespace fasteval
