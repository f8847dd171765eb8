// Masks as sorted intervals of pixels in column-major order, and their IoU.
//
// Sources: polygons become pixels as in rleFrPoly, and IoU is that of rleIou, both in pycocotools' maskApi.c.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "../run_lengths.h"
#include "columns.h"

namespace fasteval {

struct Interval {
    std::uint32_t begin, end;  // pixels begin, ..., end - 1; pixel = x * height + y
};

// Adds one behind those from `first` on, or lengthens the last one where they touch. Fields are written one by
// one: a whole interval copied from two registers through the stack would wait for both to arrive there.
inline void append(std::vector<Interval>& intervals, std::size_t first, std::uint32_t begin, std::uint32_t end) {
    if (intervals.size() > first && intervals.back().end == begin) {
        intervals.back().end = end;
        return;
    }
    intervals.emplace_back();
    intervals.back().begin = begin;
    intervals.back().end = end;
}

// A mask: its intervals, sorted and disjoint, which it does not own.
struct Mask {
    Mask() = default;
    Mask(const rle::Extent& extent) : area(extent.area()) {
        if (!area) return;
        left = extent.left(), right = extent.right();
        top = extent.top(), bottom = extent.bottom();
    }

    const Interval* begin = nullptr;
    const Interval* end = nullptr;
    std::uint64_t area = 0;
    std::uint32_t left = 0, right = 0;  // first and last column
    std::uint32_t top = 0, bottom = 0;  // first and last line of the box around it
};

// Appends the intervals of a compressed code and gives their extent; `limit` is height * width.
inline rle::Extent decode_rle(const char* text, std::size_t size, std::int64_t limit, std::uint32_t height,
                              std::vector<Interval>& out) {
    constexpr int kMostGroups = 7;
    const std::size_t first = out.size();
    rle::Extent extent(height);
    const auto verdict = rle::decode<kMostGroups>(text, size, limit, [&](std::uint32_t begin, std::uint32_t end) {
                             append(out, first, begin, end);
                             extent.add(begin, end);
                         }).verdict;
    if (verdict == rle::Decoded::broken) throw std::invalid_argument("a mask's counts cannot be decoded");
    if (verdict == rle::Decoded::misfit) throw std::invalid_argument("a mask's counts do not fit its size");
    return extent;
}

// Pixels of one ring x1, y1, x2, y2, ...
//
// The source walks the whole boundary in steps of a fifth of a pixel and keeps the points where it crosses the
// center line of a column of pixels. Here those points alone are computed, edge by edge, by the same arithmetic.
class Rasterizer {
  public:
    // Intervals of the ring's pixels, sorted and disjoint.
    const std::vector<Interval>& fill(const double* points, std::size_t count, std::uint32_t height,
                                      std::uint32_t width) {
        height_ = int(height);
        width_ = int(width);
        find_corners(points, count / 2);
        crossings_.clear();
        for (std::size_t i = 0; i + 1 < corners_.size(); ++i) {
            cross(corners_[i], corners_[i + 1]);
            if (crossings_.size() > kMostCrossings)
                throw std::invalid_argument("a polygon that crosses more than 2^26 columns of pixels");
        }
        sort_crossings();
        intervals_.clear();
        // Between an odd crossing and the next one are pixels; a pair at one place cancels out.
        for (std::size_t i = 0; i < sorted_.size(); i += 2) {
            const std::uint32_t end = i + 1 < sorted_.size() ? sorted_[i + 1] : height * width;
            if (sorted_[i] != end) append(intervals_, 0, sorted_[i], end);
        }
        return intervals_;
    }

  private:
    static constexpr int kScale = 5, kCenter = 2;  // steps to a pixel; the one before its center line
    static constexpr double kFar = 1e6;
    // A million points that go to and fro between the sides of an image would fill any memory.
    static constexpr std::size_t kMostCrossings = std::size_t(1) << 26;
    static constexpr std::uint32_t kFew = 32;  // crossings of a column that are sorted by insertion
    struct Point {
        int x, y;
    };

    void find_corners(const double* points, std::size_t count) {
        corners_.clear();
        for (std::size_t i = 0; i < count; ++i)
            corners_.push_back({step_of(points[2 * i]), step_of(points[2 * i + 1])});
        corners_.push_back(corners_.front());
    }

    static int step_of(double at) {
        if (!(std::abs(at) < kFar)) throw std::invalid_argument("a polygon reaches far out of its image");
        return int(kScale * at + .5);
    }

    // Each step from x = 5 c + 2 to 5 c + 3, or back, crosses the center line of column c.
    void cross(Point from, Point to) {
        const int dx = std::abs(to.x - from.x), dy = std::abs(to.y - from.y);
        if (dx == 0) return;
        const bool flat = dx >= dy, flip = flat ? from.x > to.x : from.y > to.y;
        const Point low = flip ? to : from, high = flip ? from : to;
        const double slope = flat ? double(high.y - low.y) / dx : double(high.x - low.x) / dy;
        const int left = std::min(low.x, high.x), right = std::max(low.x, high.x);
        int column = left <= kCenter ? 0 : (left - kCenter + kScale - 1) / kScale;
        for (; column < width_ && kScale * column + kCenter < right; ++column) {
            const int x = kScale * column + kCenter;
            keep(column, flat ? line_of_flat(low, slope, x) : line_of_steep(low, slope, x, dy));
        }
    }

    static int line_of_flat(Point low, double slope, int x) {
        const int t = x - low.x;
        return std::min(int(low.y + slope * t + .5), int(low.y + slope * (t + 1) + .5));
    }

    static int line_of_steep(Point low, double slope, int x, int steps) {
        const auto beyond = [&](int t) { return (int(low.x + slope * t + .5) > x) == (slope > 0); };
        int t = std::min(std::max(int((x + .5 - low.x) / slope), 0), steps);
        while (t > 0 && beyond(t - 1)) --t;
        while (t < steps && !beyond(t)) ++t;
        return t - 1 + low.y;
    }

    void keep(int column, int line) {
        // The source's ceil((line + .5) / 5 - .5), which is exact where it comes to a whole number.
        const int y = line <= kCenter ? 0 : (line - kCenter + kScale - 1) / kScale;
        crossings_.emplace_back();
        crossings_.back().x = column;
        crossings_.back().y = std::min(y, height_);
    }

    // By column, then by line: most columns have few.
    void sort_crossings() {
        sorted_.resize(crossings_.size());
        if (crossings_.empty()) return;
        const auto by_column = [](Point a, Point b) { return a.x < b.x; };
        const auto ends = std::minmax_element(crossings_.begin(), crossings_.end(), by_column);
        const int first = ends.first->x;
        starts_.assign(std::size_t(ends.second->x - first) + 2, 0);
        for (const Point& point : crossings_) ++starts_[std::size_t(point.x - first) + 1];
        for (std::size_t c = 1; c < starts_.size(); ++c) starts_[c] += starts_[c - 1];
        next_ = starts_;
        bool many = false;
        for (const Point& point : crossings_) {
            const auto column = std::size_t(point.x - first);
            const auto pixel = std::uint32_t(point.x) * std::uint32_t(height_) + std::uint32_t(point.y);
            std::uint32_t place = next_[column]++;
            if (place - starts_[column] >= kFew) {
                sorted_[place] = pixel;
                many = true;
                continue;
            }
            for (; place > starts_[column] && sorted_[place - 1] > pixel; --place) sorted_[place] = sorted_[place - 1];
            sorted_[place] = pixel;
        }
        for (std::size_t c = 0; many && c + 1 < starts_.size(); ++c)
            if (starts_[c + 1] - starts_[c] > kFew)
                std::sort(sorted_.begin() + starts_[c], sorted_.begin() + starts_[c + 1]);
    }

    int height_ = 0, width_ = 0;
    std::vector<Point> corners_, crossings_;
    std::vector<std::uint32_t> starts_, next_, sorted_;
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

// The extent of sorted intervals.
inline rle::Extent measure(const std::vector<Interval>& intervals, std::size_t first, std::uint32_t height) {
    rle::Extent extent(height);
    for (std::size_t i = first; i < intervals.size(); ++i) extent.add(intervals[i].begin, intervals[i].end);
    return extent;
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
    Buffer<std::int64_t> sizes_hw;  // (count, 2) of RLEs, -1 for other rows
    Buffer<std::int64_t> text_starts, text_ends;
    const char* text = nullptr;
    bool outlined = false;  // whether there are rings, and what follows
    Buffer<std::int64_t> ring_starts, ring_ends, ring_offsets;
    const double* points = nullptr;
    Buffer<std::int64_t> image_sizes_hw;  // (count, 2), for rings
};

// Decodes rows; not to be shared between threads.
class MaskReader {
  public:
    explicit MaskReader(const Segmentations& rows) : rows_(rows) {}

    // Appends the row's intervals; gives their extent.
    rle::Extent append_row(std::size_t row, std::vector<Interval>& out) {
        const std::int64_t height = height_of(row), width = width_of(row);
        if (height < 0 || width < 0) throw std::invalid_argument("a mask without a size");
        if (std::max(height, width) > INT32_MAX || (height && width > std::int64_t(UINT32_MAX) / height))
            throw std::invalid_argument("a mask of more than 2^32 pixels");
        if (rows_.sizes_hw[2 * row] >= 0)
            return decode_rle(rows_.text + rows_.text_starts[row],
                              std::size_t(rows_.text_ends[row] - rows_.text_starts[row]), height * width,
                              std::uint32_t(height), out);
        const std::size_t first = out.size();
        if (rows_.outlined) append_rings(row, std::uint32_t(height), std::uint32_t(width), out);
        return measure(out, first, std::uint32_t(height));
    }

    std::int64_t height_of(std::size_t row) const { return size_of(row)[0]; }
    std::int64_t width_of(std::size_t row) const { return size_of(row)[1]; }

  private:
    const std::int64_t* size_of(std::size_t row) const {
        const bool coded = rows_.sizes_hw[2 * row] >= 0 || !rows_.outlined;
        return (coded ? rows_.sizes_hw : rows_.image_sizes_hw).data() + 2 * row;
    }

    void append_rings(std::size_t row, std::uint32_t height, std::uint32_t width, std::vector<Interval>& out) {
        united_.clear();
        for (auto ring = rows_.ring_starts[row]; ring < rows_.ring_ends[row]; ++ring) {
            const auto begin = rows_.ring_offsets[ring], end = rows_.ring_offsets[ring + 1];
            const auto& filled = rasterizer_.fill(rows_.points + begin, std::size_t(end - begin), height, width);
            if (united_.empty()) united_ = filled;
            else unite(united_, filled, spare_);
        }
        out.insert(out.end(), united_.begin(), united_.end());
    }

    const Segmentations& rows_;
    Rasterizer rasterizer_;
    std::vector<Interval> united_, spare_;
};

// Takes the pixels far from a mask's edge, and from the image's, away; the rule is that of `masks.boundary`.
class Eroder {
  public:
    // Appends the boundary of a mask that is not empty.
    void append_boundary(const Mask& mask, std::uint32_t height, std::uint32_t distance, std::vector<Interval>& out) {
        const std::uint32_t lines = mask.bottom - mask.top + 1, columns = mask.right - mask.left + 1;
        // No pixel is far from both ends of so short a line or column.
        if (std::min(lines, columns) <= 2 * std::uint64_t(distance)) {
            out.insert(out.end(), mask.begin, mask.end);
            return;
        }
        if (std::uint64_t(lines) * columns > kMostPixels)
            throw std::invalid_argument("the boundary of a mask whose box has more than 2^30 pixels");
        inside_.assign(std::size_t(lines) * columns, 0);
        streak_.assign(lines, 0);
        for (const Interval* i = mask.begin; i != mask.end; ++i)
            for (std::uint32_t pixel = i->begin; pixel < i->end;) {
                const std::uint32_t column = pixel / height, end = std::min(i->end, (column + 1) * height);
                fill(column - mask.left, pixel % height - mask.top, end - pixel, lines, distance);
                pixel = end;
            }
        const std::size_t first = out.size();
        // Column x is known to be inner or not when column x + distance has been seen.
        for (std::uint32_t x = 0; x < columns + distance; ++x)
            for (std::uint32_t y = 0; y < lines; ++y) {
                const bool core = x < columns && inside_[std::size_t(x) * lines + y] == kCore;
                streak_[y] = core ? streak_[y] + 1 : 0;
                if (x < distance) continue;
                const std::size_t place = std::size_t(x - distance) * lines + y;
                if (!inside_[place] || streak_[y] > 2 * distance) continue;
                const std::uint32_t pixel = (mask.left + x - distance) * height + mask.top + y;
                append(out, first, pixel, pixel + 1);
            }
    }

  private:
    // One run of a column: its pixels are in the mask, those far from both ends are its core.
    void fill(std::uint32_t column, std::uint32_t line, std::uint32_t length, std::uint32_t lines,
              std::uint32_t distance) {
        std::uint8_t* run = &inside_[std::size_t(column) * lines + line];
        std::fill_n(run, length, kEdge);
        if (length > 2 * distance) std::fill_n(run + distance, length - 2 * distance, kCore);
    }

    static constexpr std::uint8_t kEdge = 1, kCore = 2;
    static constexpr std::uint64_t kMostPixels = std::uint64_t(1) << 30;  // a byte each
    std::vector<std::uint8_t> inside_;
    std::vector<std::uint32_t> streak_;
};

// The masks of one image's rows at a time, each decoded when it is first needed: about half of the detections have no
// annotation of their class beside them. Their memory is used again for the next image.
class ImageMasks {
  public:
    // `slots` has an entry a row; threads write to it together, as no two of them see one image.
    ImageMasks(const Segmentations& rows, std::uint32_t* slots) : reader_(rows), slots_(slots) {}

    void enter(const std::vector<std::uint32_t>& rows) {
        for (std::size_t i = 0; i < rows.size(); ++i) slots_[rows[i]] = std::uint32_t(i);
        intervals_.clear();
        known_.assign(rows.size(), 0);
        edges_known_.assign(rows.size(), 0);
        if (places_.size() < rows.size()) places_.resize(rows.size());
        if (edges_.size() < rows.size()) edges_.resize(rows.size());
    }

    // Valid until another mask is asked for.
    Mask operator[](std::uint32_t row) {
        const std::uint32_t slot = slots_[row];
        Place& place = places_[slot];
        if (!known_[slot]) {
            known_[slot] = 1;
            place.begin = intervals_.size();
            place.mask = reader_.append_row(row, intervals_);
            place.end = intervals_.size();
        }
        Mask mask = place.mask;
        mask.begin = intervals_.data() + place.begin;
        mask.end = intervals_.data() + place.end;
        return mask;
    }

    // The boundary of a row's mask, computed on first use.
    Mask boundary(std::uint32_t row, double dilation_ratio) {
        const std::uint32_t slot = slots_[row];
        const auto height = std::uint32_t(reader_.height_of(row));
        std::vector<Interval>& edge = edges_[slot];
        if (!edges_known_[slot]) {
            edges_known_[slot] = 1;
            edge.clear();
            const auto h = double(height), w = double(reader_.width_of(row));
            const double distance = std::max(1.0, std::nearbyint(dilation_ratio * std::sqrt(h * h + w * w)));
            const Mask mask = (*this)[row];
            if (mask.area) eroder_.append_boundary(mask, height, std::uint32_t(distance), edge);
        }
        Mask mask = measure(edge, 0, height);
        mask.begin = edge.data();
        mask.end = edge.data() + edge.size();
        return mask;
    }

  private:
    struct Place {
        std::size_t begin = 0, end = 0;  // in `intervals_`, which moves when it grows
        Mask mask;
    };

    MaskReader reader_;
    Eroder eroder_;
    std::uint32_t* slots_;
    std::vector<Interval> intervals_;
    std::vector<Place> places_;
    std::vector<std::vector<Interval>> edges_;
    std::vector<std::uint8_t> known_, edges_known_;
};

// IoU of masks; with a dilation ratio above 0, or of their boundaries where that is smaller.
class MaskOverlap {
  public:
    // Areas are those of the masks where `areas` is null.
    MaskOverlap(ImageMasks detections, ImageMasks truth, const std::uint8_t* crowd, const double* areas, double least,
                double dilation_ratio)
        : detections_(std::move(detections)), truth_(std::move(truth)), crowd_(crowd), areas_(areas), least_(least),
          dilation_ratio_(dilation_ratio) {}

    void enter(const std::vector<std::uint32_t>& detections, const std::vector<std::uint32_t>& annotations) {
        detections_.enter(detections);
        truth_.enter(annotations);
    }

    double area(std::uint32_t detection) {
        return areas_ ? areas_[detection] : double(detections_[detection].area);
    }

    double operator()(std::uint32_t d, std::uint32_t g) {
        const bool crowd = crowd_[g] != 0;
        const double whole = mask_overlap(detections_[d], truth_[g], crowd, least_);
        if (dilation_ratio_ <= 0 || whole < least_) return whole;
        return std::min(whole, mask_overlap(detections_.boundary(d, dilation_ratio_),
                                            truth_.boundary(g, dilation_ratio_), crowd, least_));
    }

  private:
    ImageMasks detections_, truth_;
    const std::uint8_t* crowd_;
    const double* areas_;
    double least_, dilation_ratio_;
};

}  // namespace fasteval
