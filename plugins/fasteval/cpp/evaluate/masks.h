// Masks as sorted intervals of pixels in column-major order, and their IoU.
//
// Sources: the compressed code is that of rleFrString, polygons become pixels as in rleFrPoly, and IoU is that
// of rleIou, all in pycocotools' maskApi.c.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "threads.h"

namespace fasteval {

struct Interval {
    std::uint32_t begin, end;  // pixels begin, ..., end - 1; pixel = x * height + y
};

// Masks of many rows: intervals of row i are intervals[starts[i]] to intervals[starts[i + 1]].
struct Mask {
    const Interval* begin = nullptr;
    const Interval* end = nullptr;
    std::uint64_t area = 0;
    std::uint32_t left = 0, right = 0;  // first and last column
    std::uint32_t top = 0, bottom = 0;  // first and last line of the box around it
};

// Appends the intervals of a compressed code; `limit` is height * width.
inline void decode_rle(const char* text, std::size_t size, std::uint64_t limit, std::vector<Interval>& out) {
    std::int64_t previous[2] = {0, 0}, position = 0;
    std::size_t place = 0, run = 0;
    while (place < size) {
        std::int64_t value = 0;
        int shift = 0;
        bool more = true;
        while (more) {
            if (place == size || shift > 35) throw std::invalid_argument("a mask's counts cannot be decoded");
            const std::int64_t group = std::int64_t(text[place++]) - 48;
            value |= (group & 0x1F) * (std::int64_t(1) << shift);
            more = (group & 0x20) != 0;
            shift += 5;
            if (!more && (group & 0x10)) value -= std::int64_t(1) << shift;
        }
        if (run > 2) value += previous[run % 2];
        previous[run % 2] = value;
        if (value < 0 || position + value > std::int64_t(limit))
            throw std::invalid_argument("a mask's counts do not fit its size");
        if (run % 2 && value) {
            const auto begin = std::uint32_t(position), end = std::uint32_t(position + value);
            if (!out.empty() && out.back().end == begin) out.back().end = end;
            else out.push_back({begin, end});
        }
        position += value;
        ++run;
    }
}

// Pixels of one ring x1, y1, x2, y2, ...
class Rasterizer {
  public:
    // Intervals of the ring's pixels, sorted and disjoint.
    const std::vector<Interval>& fill(const double* points, std::size_t count, std::uint32_t height,
                                      std::uint32_t width) {
        trace(points, count / 2);
        cross(height, width);
        std::sort(crossings_.begin(), crossings_.end());
        intervals_.clear();
        // Between an odd crossing and the next one lie pixels; a pair at one place cancels out.
        for (std::size_t i = 0; i + 1 < crossings_.size(); i += 2) {
            const Interval next{crossings_[i], crossings_[i + 1]};
            if (next.begin == next.end) continue;
            if (!intervals_.empty() && intervals_.back().end == next.begin) intervals_.back().end = next.end;
            else intervals_.push_back(next);
        }
        return intervals_;
    }

  private:
    static constexpr double kScale = 5, kFar = 1e6;
    struct Point {
        int x, y;
    };

    // Points along the boundary, five to a pixel.
    void trace(const double* points, std::size_t count) {
        corners_.clear();
        for (std::size_t i = 0; i < 2 * count; ++i)
            if (!(std::abs(points[i]) < kFar)) throw std::invalid_argument("a polygon reaches far out of its image");
        for (std::size_t i = 0; i < count; ++i)
            corners_.push_back({int(kScale * points[2 * i] + .5), int(kScale * points[2 * i + 1] + .5)});
        corners_.push_back(corners_.front());
        boundary_.clear();
        for (std::size_t i = 0; i < count; ++i) trace_edge(corners_[i], corners_[i + 1]);
    }

    void trace_edge(Point from, Point to) {
        const int dx = std::abs(to.x - from.x), dy = std::abs(to.y - from.y);
        const bool flat = dx >= dy, flip = flat ? from.x > to.x : from.y > to.y;
        const Point low = flip ? to : from, high = flip ? from : to;
        const int steps = flat ? dx : dy;
        if (steps == 0) {
            boundary_.push_back(from);
            return;
        }
        const double slope = flat ? double(high.y - low.y) / dx : double(high.x - low.x) / dy;
        for (int step = 0; step <= steps; ++step) {
            const int t = flip ? steps - step : step;
            if (flat) boundary_.push_back({t + low.x, int(low.y + slope * t + .5)});
            else boundary_.push_back({int(low.x + slope * t + .5), t + low.y});
        }
    }

    // Where the boundary crosses the centre line of a column: the pixel there, counted through the image.
    void cross(std::uint32_t height, std::uint32_t width) {
        crossings_.clear();
        for (std::size_t i = 1; i < boundary_.size(); ++i) {
            const Point a = boundary_[i - 1], b = boundary_[i];
            if (a.x == b.x) continue;
            const double x = (double(b.x < a.x ? b.x : b.x - 1) + .5) / kScale - .5;
            if (std::floor(x) != x || x < 0 || x > double(width) - 1) continue;
            double y = (double(b.y < a.y ? b.y : a.y) + .5) / kScale - .5;
            y = std::ceil(std::min(std::max(y, 0.0), double(height)));
            crossings_.push_back(std::uint32_t(int(x) * int(height) + int(y)));
        }
        crossings_.push_back(height * width);
        if (crossings_.size() % 2) crossings_.push_back(height * width);
    }

    std::vector<Point> corners_, boundary_;
    std::vector<std::uint32_t> crossings_;
    std::vector<Interval> intervals_;
};

// Adds `more` to `mask`, both sorted and disjoint.
inline void unite(std::vector<Interval>& mask, const std::vector<Interval>& more, std::vector<Interval>& spare) {
    spare.clear();
    std::merge(mask.begin(), mask.end(), more.begin(), more.end(), std::back_inserter(spare),
               [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
    mask.clear();
    for (const Interval& next : spare) {
        if (!mask.empty() && next.begin <= mask.back().end) mask.back().end = std::max(mask.back().end, next.end);
        else mask.push_back(next);
    }
}

// Area and surrounding box of sorted intervals; they must outlive the mask.
inline Mask measure(const Interval* begin, const Interval* end, std::uint32_t height) {
    Mask mask{begin, end};
    if (begin == end || height == 0) return mask;
    mask.left = begin->begin / height;
    mask.right = (end[-1].end - 1) / height;
    mask.top = height - 1;
    for (const Interval* i = begin; i != end; ++i) {
        mask.area += i->end - i->begin;
        const std::uint32_t first = i->begin / height, last = (i->end - 1) / height;
        if (first != last) {
            mask.top = 0;
            mask.bottom = height - 1;
        } else {
            mask.top = std::min(mask.top, i->begin - first * height);
            mask.bottom = std::max(mask.bottom, i->end - 1 - last * height);
        }
    }
    return mask;
}

inline std::uint64_t shared_pixels(const Mask& a, const Mask& b) {
    const Interval *i = a.begin, *j = b.begin;
    std::uint64_t shared = 0;
    while (i != a.end && j != b.end) {
        const std::uint32_t begin = std::max(i->begin, j->begin), end = std::min(i->end, j->end);
        if (begin < end) shared += end - begin;
        const bool first = i->end < j->end;
        i += first;
        j += !first;
    }
    return shared;
}

// IoU, or less than `least` where that is certain without counting pixels.
inline double mask_overlap(const Mask& d, const Mask& g, bool crowd, double least) {
    const auto span = [](std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t e) {
        const std::uint32_t low = std::max(a, c), high = std::min(b, e);
        return high < low ? std::uint64_t(0) : std::uint64_t(high - low + 1);
    };
    if (!d.area || !g.area) return 0;
    const std::uint64_t box = span(d.left, d.right, g.left, g.right) * span(d.top, d.bottom, g.top, g.bottom);
    const auto ratio = [&](std::uint64_t shared) {
        return double(shared) / double(crowd ? d.area : d.area + g.area - shared);
    };
    const std::uint64_t most = std::min({box, d.area, g.area});
    if (!most) return 0;
    if (ratio(most) < least) return ratio(most);
    return ratio(shared_pixels(d, g));
}

// Segmentations as core's columns give them: an RLE, rings, or nothing a row.
struct Segmentations {
    std::size_t count = 0;
    const std::int64_t* sizes_hw = nullptr;  // (count, 2) of RLEs, -1 for other rows
    const std::int64_t* text_starts = nullptr;
    const std::int64_t* text_ends = nullptr;
    const char* text = nullptr;
    const std::int64_t* ring_starts = nullptr;  // null where no row has rings
    const std::int64_t* ring_ends = nullptr;
    const std::int64_t* ring_offsets = nullptr;
    const double* points = nullptr;
    const std::int64_t* image_sizes_hw = nullptr;  // (count, 2), for rings
};

// Decodes single rows; not to be shared between threads.
class MaskReader {
  public:
    explicit MaskReader(const Segmentations& rows) : rows_(rows) {}

    // The row's mask, valid until the next call.
    Mask read(std::size_t row) {
        std::uint32_t height = 0;
        intervals_.clear();
        if (rows_.sizes_hw[2 * row] >= 0) {
            height = std::uint32_t(rows_.sizes_hw[2 * row]);
            const auto limit = std::uint64_t(height) * std::uint64_t(rows_.sizes_hw[2 * row + 1]);
            if (limit > UINT32_MAX) throw std::invalid_argument("a mask of more than 2^32 pixels");
            decode_rle(rows_.text + rows_.text_starts[row],
                       std::size_t(rows_.text_ends[row] - rows_.text_starts[row]), limit, intervals_);
        } else if (rows_.ring_starts) {
            height = std::uint32_t(rows_.image_sizes_hw[2 * row]);
            const auto width = std::uint32_t(rows_.image_sizes_hw[2 * row + 1]);
            for (auto ring = rows_.ring_starts[row]; ring < rows_.ring_ends[row]; ++ring) {
                const auto begin = rows_.ring_offsets[ring], end = rows_.ring_offsets[ring + 1];
                const auto& filled = rasterizer_.fill(rows_.points + begin, std::size_t(end - begin), height, width);
                if (intervals_.empty()) intervals_ = filled;
                else unite(intervals_, filled, spare_);
            }
        }
        if (!intervals_.empty() && height == 0) throw std::invalid_argument("a mask of an image without height");
        return measure(intervals_.data(), intervals_.data() + intervals_.size(), height);
    }

    const std::vector<Interval>& intervals() const { return intervals_; }

  private:
    const Segmentations& rows_;
    Rasterizer rasterizer_;
    std::vector<Interval> intervals_, spare_;
};

// Pixels of a mask near its edge or the image's; the rule is that of `geometry.masks.boundary`.
class BoundaryReader {
  public:
    BoundaryReader(const Segmentations& rows, double dilation_ratio)
        : rows_(rows), reader_(rows), dilation_ratio_(dilation_ratio) {}

    // The boundary of the row's mask, valid until the next call.
    Mask read(std::size_t row) {
        const Mask mask = reader_.read(row);
        const std::int64_t* size = rows_.sizes_hw[2 * row] >= 0 ? rows_.sizes_hw : rows_.image_sizes_hw;
        intervals_.clear();
        if (!mask.area) return mask;
        const auto height = std::uint32_t(size[2 * row]), width = std::uint32_t(size[2 * row + 1]);
        const double diagonal = std::sqrt(double(height) * height + double(width) * width);
        subtract_inner(mask, height, std::uint32_t(std::max(1.0, std::nearbyint(dilation_ratio_ * diagonal))));
        return measure(intervals_.data(), intervals_.data() + intervals_.size(), height);
    }

    const std::vector<Interval>& intervals() const { return intervals_; }

  private:
    // Columns leave in order: column x is known to be inner or not when column x + distance has been seen.
    void subtract_inner(const Mask& mask, std::uint32_t height, std::uint32_t distance) {
        const std::uint32_t lines = mask.bottom - mask.top + 1, columns = mask.right - mask.left + 1;
        inside_.assign(std::size_t(lines) * columns, 0);
        streak_.assign(lines, 0);
        for (const Interval* i = mask.begin; i != mask.end; ++i)
            for (std::uint32_t pixel = i->begin; pixel < i->end;) {
                const std::uint32_t column = pixel / height, end = std::min(i->end, (column + 1) * height);
                fill(column - mask.left, pixel % height - mask.top, end - pixel, lines, distance);
                pixel = end;
            }
        for (std::uint32_t x = 0; x < columns + distance; ++x)
            for (std::uint32_t y = 0; y < lines; ++y) {
                const bool core = x < columns && inside_[std::size_t(x) * lines + y] == kCore;
                streak_[y] = core ? streak_[y] + 1 : 0;
                if (x < distance) continue;
                const std::size_t place = std::size_t(x - distance) * lines + y;
                if (!inside_[place] || streak_[y] > 2 * distance) continue;
                const std::uint32_t pixel = (mask.left + x - distance) * height + mask.top + y;
                if (!intervals_.empty() && intervals_.back().end == pixel) ++intervals_.back().end;
                else intervals_.push_back({pixel, pixel + 1});
            }
    }

    // One run of a column: its pixels are in the mask, those far from both ends are its core.
    void fill(std::uint32_t column, std::uint32_t line, std::uint32_t length, std::uint32_t lines,
              std::uint32_t distance) {
        std::uint8_t* run = &inside_[std::size_t(column) * lines + line];
        std::fill_n(run, length, kEdge);
        if (length > 2 * distance) std::fill_n(run + distance, length - 2 * distance, kCore);
    }

    static constexpr std::uint8_t kEdge = 1, kCore = 2;
    const Segmentations& rows_;
    MaskReader reader_;
    double dilation_ratio_;
    std::vector<std::uint8_t> inside_;
    std::vector<std::uint32_t> streak_;
    std::vector<Interval> intervals_;
};

// All masks of one side, decoded.
class MaskStore {
  public:
    template <class MakeReader>
    MaskStore(std::size_t count, std::size_t workers, MakeReader&& make_reader) : masks_(count), chunks_(workers) {
        run_workers(workers, [&](std::size_t worker) {
            auto reader = make_reader();
            auto& chunk = chunks_[worker];
            const std::size_t begin = count * worker / workers, end = count * (worker + 1) / workers;
            std::vector<std::size_t> starts;
            for (std::size_t row = begin; row < end; ++row) {
                masks_[row] = reader.read(row);
                starts.push_back(chunk.size());
                chunk.insert(chunk.end(), reader.intervals().begin(), reader.intervals().end());
            }
            starts.push_back(chunk.size());
            for (std::size_t row = begin; row < end; ++row) {
                masks_[row].begin = chunk.data() + starts[row - begin];
                masks_[row].end = chunk.data() + starts[row - begin + 1];
            }
        });
    }
    const Mask& operator[](std::size_t row) const { return masks_[row]; }

  private:
    std::vector<Mask> masks_;
    std::vector<std::vector<Interval>> chunks_;
};

// Decodes a detection when it is first asked for; annotations are decoded before.
template <class Reader>
class MaskOverlap {
  public:
    MaskOverlap(Reader reader, const MaskStore& truth, const std::uint8_t* crowd, double least)
        : reader_(std::move(reader)), truth_(truth), crowd_(crowd), least_(least) {}

    double operator()(std::uint32_t detection, std::uint32_t annotation) {
        if (detection != current_) {
            mask_ = reader_.read(detection);
            current_ = detection;
        }
        return mask_overlap(mask_, truth_[annotation], crowd_[annotation] != 0, least_);
    }

  private:
    Reader reader_;
    const MaskStore& truth_;
    const std::uint8_t* crowd_;
    double least_;
    std::uint32_t current_ = UINT32_MAX;
    Mask mask_;
};

// The smaller one of the IoUs of masks and of their boundaries.
class BoundaryOverlap {
  public:
    BoundaryOverlap(MaskOverlap<MaskReader> masks, MaskOverlap<BoundaryReader> boundaries, double least)
        : masks_(std::move(masks)), boundaries_(std::move(boundaries)), least_(least) {}

    double operator()(std::uint32_t detection, std::uint32_t annotation) {
        const double whole = masks_(detection, annotation);
        return whole < least_ ? whole : std::min(whole, boundaries_(detection, annotation));
    }

  private:
    MaskOverlap<MaskReader> masks_;
    MaskOverlap<BoundaryReader> boundaries_;
    double least_;
};

}  // namespace fasteval
