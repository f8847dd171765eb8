// Python's view of the engine: arrays in, arrays out. The work runs without the interpreter lock.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <vector>

#include "arrays.h"
#include "evaluate/accumulate.h"
#include "evaluate/boxes.h"
#include "evaluate/columns.h"
#include "evaluate/keypoints.h"
#include "evaluate/masks.h"
#include "evaluate/match.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace fasteval;

using arrays::In;
template <class T>
using Column = In<T, nb::ndim<1>>;
using Boxes = In<double, nb::shape<-1, 4>>;
using Pairs = In<std::int64_t, nb::shape<-1, 2>>;
using Words = In<std::uint64_t, nb::ndim<2>>;
using Areas = In<double, nb::shape<-1, 2>>;

void require(bool good, const char* problem) {
    if (!good) throw std::invalid_argument(problem);
}
void require_fit(bool fits) { require(fits, "columns of different length"); }

// A copy, for what is checked and then used as an address.
template <class T, class... Options>
Buffer<T> copied(const In<T, Options...>& values) {
    Buffer<T> copy(values.size());
    std::copy_n(values.data(), values.size(), copy.data());
    return copy;
}

// A copy of ids that are all below `count`, which is less than 2^32.
template <class T>
Buffer<std::uint32_t> ids_below(const Column<T>& ids, std::size_t count) {
    Buffer<std::uint32_t> checked(ids.size());
    bool fits = true;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const T id = ids.data()[i];
        fits &= std::uint64_t(id) < count;
        checked[i] = std::uint32_t(id);
    }
    require(fits, "an image or class id outside its table");
    return checked;
}

bool has_nan(const double* values, std::size_t count) {
    bool found = false;
    for (std::size_t i = 0; i < count; ++i) found |= std::isnan(values[i]);
    return found;
}

// Of numbers that say how large an array becomes.
std::size_t cells(std::initializer_list<std::size_t> factors) {
    std::size_t product = 1;
    for (const std::size_t factor : factors) {
        require(!factor || product <= kMostCells / factor, "curves of more than 2^29 numbers");
        product *= factor;
    }
    return product;
}

// Threads that are worth to be started; the result is that of one.
std::size_t threads_for(std::size_t workers, std::size_t rows) {
    constexpr std::size_t kMost = 1024;
    require(workers > 0, "workers: 0 is not an integer of at least 1");
    return std::min({workers, kMost, std::max<std::size_t>(rows, 1)});
}

// Hands memory over to numpy.
template <class T>
auto give(T* data, std::initializer_list<std::size_t> shape) {
    nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
    return nb::ndarray<nb::numpy, T>(data, shape, owner);
}
template <class T>
auto give(Buffer<T>& buffer, std::size_t size) {
    return give(buffer.release(), {size});
}
template <class T>
auto give(const std::vector<T>& values, std::initializer_list<std::size_t> shape) {
    Buffer<T> copy(values.size());
    std::copy(values.begin(), values.end(), copy.data());
    return give(copy.release(), shape);
}

// Columns that keep the arrays alive they point into.
struct DetectionArrays {
    Column<std::int64_t> images, classes;
    Column<double> scores, areas;
    std::optional<Column<std::uint8_t>> lenient;

    Detections view(const Limits& limits) const {
        const std::size_t count = images.size();
        require_fit(classes.size() == count && scores.size() == count && areas.size() == count &&
                    (!lenient || lenient->size() == count));
        require(count < UINT32_MAX, "more than 2^32 detections at once");
        require(!has_nan(scores.data(), count), "a score that is not a number");
        return {count,         ids_below(images, limits.images), ids_below(classes, limits.classes),
                scores.data(), areas.data(),                     lenient ? lenient->data() : nullptr};
    }
};

struct TruthArrays {
    Column<std::int64_t> images, classes;
    Column<double> areas;
    Column<std::uint8_t> crowd, ignored;
    std::int64_t unseen;

    Truth view(const Limits& limits) const {
        const std::size_t count = images.size();
        require_fit(classes.size() == count && areas.size() == count && crowd.size() == count &&
                    ignored.size() == count);
        require(count < UINT32_MAX, "more than 2^32 annotations at once");
        return {count,        ids_below(images, limits.images), ids_below(classes, limits.classes),
                areas.data(), crowd.data(),                     ignored.data(),
                unseen};
    }
};

struct SegmentationArrays {
    Pairs sizes_hw;
    Column<std::int64_t> starts, ends;
    Column<std::uint8_t> text;
    std::optional<Column<std::int64_t>> ring_starts, ring_ends, ring_offsets;
    std::optional<Column<double>> points;
    std::optional<Pairs> image_sizes_hw;

    Segmentations view(std::size_t count) const {
        require_fit(sizes_hw.shape(0) == count && starts.size() == count && ends.size() == count);
        Segmentations rows;
        rows.count = count;
        rows.sizes_hw = copied(sizes_hw);
        rows.text_starts = copied(starts);
        rows.text_ends = copied(ends);
        rows.text = reinterpret_cast<const char*>(text.data());
        for (std::size_t i = 0; i < count; ++i)
            require(rows.sizes_hw[2 * i] < 0 || within(rows.text_starts, rows.text_ends, i, text.size()),
                    "counts of a mask outside the text");
        if (ring_starts) add_rings(rows);
        return rows;
    }
    void add_rings(Segmentations& rows) const {
        require_fit(ring_ends && ring_offsets && points && image_sizes_hw && ring_starts->size() == rows.count &&
                    ring_ends->size() == rows.count && image_sizes_hw->shape(0) == rows.count &&
                    ring_offsets->size() > 0);
        rows.outlined = true;
        rows.ring_starts = copied(*ring_starts);
        rows.ring_ends = copied(*ring_ends);
        rows.ring_offsets = copied(*ring_offsets);
        rows.points = points->data();
        rows.image_sizes_hw = copied(*image_sizes_hw);
        const std::size_t rings = rows.ring_offsets.size() - 1;
        for (std::size_t i = 0; i < rows.count; ++i)
            require(within(rows.ring_starts, rows.ring_ends, i, rings), "rings of a row outside the table of rings");
        for (std::size_t r = 0; r < rings; ++r) {
            const std::int64_t begin = rows.ring_offsets[r], end = rows.ring_offsets[r + 1];
            require(0 <= begin && begin <= end && std::uint64_t(end) <= points->size(), "a ring outside the points");
            require(end - begin >= 6 && (end - begin) % 2 == 0, "a polygon needs x and y of at least 3 points");
        }
    }
    static bool within(const Buffer<std::int64_t>& from, const Buffer<std::int64_t>& to, std::size_t i,
                       std::size_t size) {
        return 0 <= from[i] && from[i] <= to[i] && std::uint64_t(to[i]) <= size;
    }
};

nb::dict give(Matches& matches, std::size_t words) {
    nb::dict out;
    out["image_index"] = give(matches.images, matches.count);
    out["class_ids"] = give(matches.classes, matches.count);
    out["ranks"] = give(matches.ranks, matches.count);
    out["rows"] = give(matches.rows, matches.count);
    out["scores"] = give(matches.scores, matches.count);
    out["outside"] = give(matches.outside, matches.count);
    out["matched"] = give(matches.matched, {matches.matched.size()});
    out["hits"] = give(matches.hits, {matches.matched.size(), words});
    out["ignored"] = give(matches.ignored, {matches.matched.size(), words});
    return out;
}

Limits make_limits(std::size_t images, std::size_t classes, std::vector<double> thresholds, const Areas& area_ranges,
                   std::size_t max_detections) {
    require(images <= kMostImages, "more than 2^27 images at once");
    require(classes <= kMostClasses, "more than 2^24 classes");
    require(!thresholds.empty() && thresholds.size() <= kMostThresholds && area_ranges.shape(0) >= 1 &&
                area_ranges.shape(0) <= kMostAreas,
            "one to 1000 thresholds and one to 16 area ranges are needed");
    for (const double threshold : thresholds) require(threshold >= 0, "a threshold that is not a number from 0");
    require(!has_nan(area_ranges.data(), area_ranges.size()), "an area range that is not of numbers");
    return {images, classes, std::move(thresholds),
            std::vector<double>(area_ranges.data(), area_ranges.data() + area_ranges.size()), max_detections};
}

template <class MakeOverlap>
nb::dict match(const Detections& detections, const Truth& truth, const Limits& limits, std::size_t workers,
               MakeOverlap&& make_overlap) {
    Matches matches;
    {
        nb::gil_scoped_release unlocked;
        matches = Matcher(detections, truth, limits).run(threads_for(workers, detections.count), make_overlap);
    }
    return give(matches, limits.words());
}

nb::dict match_boxes(const DetectionArrays& detections, Boxes boxes, const TruthArrays& truth, Boxes truth_boxes,
                     const Limits& limits, std::size_t workers) {
    const Detections d = detections.view(limits);
    const Truth g = truth.view(limits);
    require_fit(boxes.shape(0) == d.count && truth_boxes.shape(0) == g.count);
    return match(d, g, limits, workers, [&] { return BoxOverlap(boxes.data(), d.areas, truth_boxes.data(), g.crowd); });
}

// Areas of detections are those of their masks where they are to be measured. With a dilation ratio, boundaries have to overlap as well.
nb::dict match_masks(const DetectionArrays& detections, const SegmentationArrays& masks, const TruthArrays& truth,
                     const SegmentationArrays& truth_masks, const Limits& limits,
                     std::optional<double> dilation_ratio, bool measure_areas, std::size_t workers) {
    const Detections d = detections.view(limits);
    const Truth g = truth.view(limits);
    const Segmentations found = masks.view(d.count), labeled = truth_masks.view(g.count);
    const double least = *std::min_element(limits.thresholds.begin(), limits.thresholds.end()) - 1e-6;
    require(!dilation_ratio || (0 <= *dilation_ratio && *dilation_ratio <= 1), "a dilation ratio that is not from 0 to 1");
    Buffer<std::uint32_t> d_slots(d.count), g_slots(g.count);
    return match(d, g, limits, workers, [&] {
        return MaskOverlap(ImageMasks(found, d_slots.data()), ImageMasks(labeled, g_slots.data()), g.crowd,
                           measure_areas ? nullptr : d.areas, least, dilation_ratio.value_or(0));
    });
}

nb::dict match_known(const DetectionArrays& detections, const TruthArrays& truth, const Limits& limits,
                     Column<std::int64_t> starts, Column<std::uint32_t> annotations, Column<double> overlaps,
                     std::size_t workers) {
    const Detections d = detections.view(limits);
    const Truth g = truth.view(limits);
    require_fit(starts.size() == d.count + 1 && annotations.size() == overlaps.size());
    const Buffer<std::int64_t> borders = copied(starts);
    require_fit(borders[0] >= 0 && borders[d.count] == std::int64_t(overlaps.size()));
    for (std::size_t i = 0; i < d.count; ++i) require(borders[i] <= borders[i + 1], "starts that do not ascend");
    return match(d, g, limits, workers,
                 [&] { return KnownOverlap(d.areas, borders.data(), annotations.data(), overlaps.data()); });
}

// The same column of all parts, one after the other.
template <class T>
nb::object joined(const std::vector<KeypointPairs>& parts, std::vector<T> KeypointPairs::*column) {
    std::size_t size = 0;
    for (const KeypointPairs& part : parts) size += (part.*column).size();
    Buffer<T> all(size);
    T* to = all.data();
    for (const KeypointPairs& part : parts) to = std::copy((part.*column).begin(), (part.*column).end(), to);
    return nb::cast(give(all, size));
}

// Exponents of the pairs of one class and image that may reach the lowest threshold, for numpy to exponentiate.
nb::dict keypoint_exponents(const DetectionArrays& detections, In<double, nb::shape<-1, -1, 3>> keypoints,
                            const TruthArrays& truth, In<double, nb::shape<-1, -1, 3>> truth_keypoints,
                            Boxes truth_boxes, In<double, nb::ndim<2>> variances, const Limits& limits,
                            std::size_t workers) {
    const Detections d = detections.view(limits);
    const Truth g = truth.view(limits);
    const std::size_t K = variances.shape(1);
    require_fit(keypoints.shape(0) == d.count && truth_keypoints.shape(0) == g.count &&
                truth_boxes.shape(0) == g.count && keypoints.shape(1) == K && truth_keypoints.shape(1) == K &&
                variances.shape(0) == limits.classes);
    require(K > 0 && K < 65536, "1 to 65535 keypoints are needed");
    workers = threads_for(workers, d.count);
    const Keypoints points{K, keypoints.data(), truth_keypoints.data(), truth_boxes.data(), variances.data()};
    std::vector<KeypointPairs> parts(workers);
    std::atomic<std::size_t> total{0};
    {
        nb::gil_scoped_release unlocked;
        const RowsByImage by_image(g.images, g.count, limits.images);
        const double least = *std::min_element(limits.thresholds.begin(), limits.thresholds.end());
        run_workers(workers, [&](std::size_t worker) {
            KeypointComparison comparison(points, g, least);
            const std::size_t first = d.count * worker / workers, end = d.count * (worker + 1) / workers;
            for (std::size_t row = first; row < end && total <= kMostExponents; ++row) {
                if (row == first || d.images[row] != d.images[row - 1])
                    comparison.enter(by_image, std::size_t(d.images[row]));
                const std::size_t before = parts[worker].exponents.size();
                comparison.compare(row, d.classes[row], parts[worker]);
                total += parts[worker].exponents.size() - before;
            }
        });
    }
    require(total <= kMostExponents, "more than 2^26 keypoints of pairs at once");
    nb::dict out;
    out["counts"] = joined(parts, &KeypointPairs::counts);
    out["annotations"] = joined(parts, &KeypointPairs::annotations);
    out["sizes"] = joined(parts, &KeypointPairs::sizes);
    out["exponents"] = joined(parts, &KeypointPairs::exponents);
    return out;
}

nb::object keypoint_means(Column<double> values, Column<std::uint16_t> sizes) {
    Buffer<double> means(sizes.size());
    std::size_t place = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
        const std::size_t size = sizes.data()[i];
        require_fit(place + size <= values.size());
        means[i] = numpy_sum(values.data() + place, size) / double(size);
        place += size;
    }
    return nb::cast(give(means, sizes.size()));
}

// Whether the last words have no bit beyond the first `bits`.
bool no_spare_bits(const Words& words, std::size_t bits) {
    const std::size_t width = words.shape(1);
    bool clear = true;
    for (std::size_t i = width - 1; bits % 64 && i < words.size(); i += width) clear &= !(words.data()[i] >> bits % 64);
    return clear;
}

nb::tuple accumulate(Column<std::int32_t> images, Column<std::int32_t> classes, Column<std::int32_t> ranks,
                     Column<double> scores, Column<std::uint16_t> outside, Column<std::uint32_t> matched,
                     Words hits, Words ignored, In<std::int64_t, nb::ndim<2>> positives, std::size_t thresholds,
                     std::vector<double> recall_thresholds, std::vector<std::int64_t> max_detections,
                     std::size_t workers) {
    const std::size_t n = images.size(), C = positives.shape(0), A = positives.shape(1), T = thresholds;
    const std::size_t R = recall_thresholds.size(), M = max_detections.size(), words = (A * T + 63) / 64;
    require(1 <= A && A <= kMostAreas && 1 <= T && T <= kMostThresholds,
            "one to 1000 thresholds and one to 16 area ranges are needed");
    require(1 <= M && M <= kMostLimits && max_detections.front() >= 0 &&
                std::is_sorted(max_detections.begin(), max_detections.end()),
            "one to 254 ascending limits of detections are needed");
    require(R > 0 && !has_nan(recall_thresholds.data(), R), "at least one recall threshold is needed, and no NaN");
    require_fit(classes.size() == n && ranks.size() == n && scores.size() == n && outside.size() == n &&
                hits.shape(0) == matched.size() && ignored.shape(0) == matched.size());
    require(hits.shape(1) == words && ignored.shape(1) == words && no_spare_bits(hits, A * T) &&
                no_spare_bits(ignored, A * T),
            "words of hits that are not one bit a threshold and area range");
    require(n < UINT32_MAX && C <= kMostClasses, "more than 2^32 detections or 2^24 classes at once");
    require(!has_nan(scores.data(), n), "a score that is not a number");
    MatchColumns columns{n,           ids_below(classes, C), ranks.data(), scores.data(), outside.data(), matched.size(),
                         ids_below(matched, n), hits.data(),  ignored.data()};
    for (std::size_t i = 1; i < matched.size(); ++i)
        require(columns.matched[i - 1] < columns.matched[i], "matched detections that do not ascend");
    const std::size_t size = cells({T, R, std::max<std::size_t>(C, 1), A, M}) / std::max<std::size_t>(C, 1) * C;
    Buffer<double> precision(size), recall(T * C * A * M), at(size);
    const Curves curves{C, A, T, std::move(recall_thresholds), std::move(max_detections), positives.data(),
                        precision.data(), recall.data(), at.data()};
    {
        nb::gil_scoped_release unlocked;
        Accumulator(columns, curves).run(threads_for(workers, n));
    }
    return nb::make_tuple(give(precision.release(), {T, R, C, A, M}), give(recall.release(), {T, C, A, M}),
                          give(at.release(), {T, R, C, A, M}));
}

}  // namespace

NB_MODULE(_engine, m) {
    // An error that ends the process keeps the objects of its frames to the end, which is no leak.
    nb::set_leak_warnings(false);
    m.attr("version") = FASTEVAL_VERSION;
    m.doc() = "Matching of detections to ground truth, and precision and recall from it.";
    nb::class_<Limits>(m, "Limits").def(
        "__init__",
        [](Limits* self, std::size_t images, std::size_t classes, std::vector<double> thresholds,
           const Areas& area_ranges, std::size_t max_detections) {
            new (self) Limits(make_limits(images, classes, std::move(thresholds), area_ranges, max_detections));
        },
        "images"_a, "classes"_a, "thresholds"_a, "area_ranges"_a, "max_detections"_a)
        .def_prop_ro("classes", [](const Limits& self) { return self.classes; });
    nb::class_<DetectionArrays>(m, "Detections")
        .def(nb::init<Column<std::int64_t>, Column<std::int64_t>, Column<double>, Column<double>,
                      std::optional<Column<std::uint8_t>>>(),
             "images"_a, "classes"_a, "scores"_a, "areas"_a, "lenient"_a = nb::none());
    nb::class_<TruthArrays>(m, "Truth")
        .def(nb::init<Column<std::int64_t>, Column<std::int64_t>, Column<double>, Column<std::uint8_t>,
                      Column<std::uint8_t>, std::int64_t>(),
             "images"_a, "classes"_a, "areas"_a, "crowd"_a, "ignored"_a, "unseen"_a = -1);
    nb::class_<SegmentationArrays>(m, "Segmentations")
        .def(nb::init<Pairs, Column<std::int64_t>, Column<std::int64_t>, Column<std::uint8_t>,
                      std::optional<Column<std::int64_t>>, std::optional<Column<std::int64_t>>,
                      std::optional<Column<std::int64_t>>, std::optional<Column<double>>, std::optional<Pairs>>(),
             "sizes_hw"_a, "starts"_a, "ends"_a, "text"_a, "ring_starts"_a = nb::none(),
             "ring_ends"_a = nb::none(), "ring_offsets"_a = nb::none(), "points"_a = nb::none(),
             "image_sizes_hw"_a = nb::none());
    m.def("match_boxes", &match_boxes, "detections"_a, "boxes"_a, "truth"_a, "truth_boxes"_a, "limits"_a,
          "workers"_a);
    m.def("match_masks", &match_masks, "detections"_a, "masks"_a, "truth"_a, "truth_masks"_a, "limits"_a,
          "dilation_ratio"_a, "measure_areas"_a, "workers"_a);
    m.def("match_known", &match_known, "detections"_a, "truth"_a, "limits"_a, "starts"_a, "annotations"_a,
          "overlaps"_a, "workers"_a);
    m.def("keypoint_exponents", &keypoint_exponents, "detections"_a, "keypoints"_a, "truth"_a,
          "truth_keypoints"_a, "truth_boxes"_a, "variances"_a, "limits"_a, "workers"_a);
    m.def("keypoint_means", &keypoint_means, "values"_a, "sizes"_a);
    m.def("accumulate", &accumulate, "images"_a, "classes"_a, "ranks"_a, "scores"_a, "outside"_a, "matched"_a,
          "hits"_a, "ignored"_a, "positives"_a, "thresholds"_a, "recall_thresholds"_a, "max_detections"_a,
          "workers"_a);
}
