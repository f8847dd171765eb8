// Python's view of the engine: arrays in, arrays out. The work runs without the interpreter lock.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <vector>

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

template <class T, class... Options>
using In = nb::ndarray<const T, Options..., nb::c_contig, nb::device::cpu>;
template <class T>
using Column = In<T, nb::ndim<1>>;
using Boxes = In<double, nb::shape<-1, 4>>;
using Pairs = In<std::int64_t, nb::shape<-1, 2>>;

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
        require(images.size() == classes.size() && images.size() == scores.size() &&
                images.size() == areas.size() && (!lenient || lenient->size() == images.size()));
        check_ids(images, limits.images);
        check_ids(classes, limits.classes);
        if (images.size() > UINT32_MAX - 1) throw std::invalid_argument("more than 2^32 detections at once");
        return {images.size(), images.data(), classes.data(), scores.data(), areas.data(),
                lenient ? lenient->data() : nullptr};
    }
    static void require(bool fits) {
        if (!fits) throw std::invalid_argument("columns of different length");
    }
    static void check_ids(const Column<std::int64_t>& ids, std::size_t count) {
        bool fits = true;
        for (std::size_t i = 0; i < ids.size(); ++i) fits &= std::uint64_t(ids.data()[i]) < count;
        if (!fits) throw std::invalid_argument("an image or class id outside its table");
    }
};

struct TruthArrays {
    Column<std::int64_t> images, classes;
    Column<double> areas;
    Column<std::uint8_t> crowd, ignored;
    std::int64_t unseen;

    Truth view(const Limits& limits) const {
        DetectionArrays::require(images.size() == classes.size() && images.size() == areas.size() &&
                                 images.size() == crowd.size() && images.size() == ignored.size());
        DetectionArrays::check_ids(images, limits.images);
        DetectionArrays::check_ids(classes, limits.classes);
        return {images.size(), images.data(), classes.data(), areas.data(), crowd.data(), ignored.data(), unseen};
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
        DetectionArrays::require(sizes_hw.shape(0) == count && starts.size() == count && ends.size() == count);
        for (std::size_t i = 0; i < count; ++i)
            DetectionArrays::require(sizes_hw.data()[2 * i] < 0 || within(starts, ends, i, text.size()));
        Segmentations rows{count, sizes_hw.data(), starts.data(), ends.data(),
                           reinterpret_cast<const char*>(text.data())};
        if (!ring_starts) return rows;
        DetectionArrays::require(ring_ends && ring_offsets && points && image_sizes_hw &&
                                 ring_starts->size() == count && ring_ends->size() == count &&
                                 image_sizes_hw->shape(0) == count && ring_offsets->size() > 0);
        for (std::size_t i = 0; i < count; ++i)
            DetectionArrays::require(within(*ring_starts, *ring_ends, i, ring_offsets->size() - 1));
        for (std::size_t r = 0; r + 1 < ring_offsets->size(); ++r) {
            const auto begin = ring_offsets->data()[r], end = ring_offsets->data()[r + 1];
            DetectionArrays::require(0 <= begin && begin < end && std::size_t(end) <= points->size());
        }
        rows.ring_starts = ring_starts->data();
        rows.ring_ends = ring_ends->data();
        rows.ring_offsets = ring_offsets->data();
        rows.points = points->data();
        rows.image_sizes_hw = image_sizes_hw->data();
        return rows;
    }
    static bool within(const Column<std::int64_t>& from, const Column<std::int64_t>& to, std::size_t i,
                       std::size_t size) {
        return 0 <= from.data()[i] && from.data()[i] <= to.data()[i] && std::size_t(to.data()[i]) <= size;
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

Limits make_limits(std::size_t images, std::size_t classes, std::vector<double> thresholds,
                   In<double, nb::shape<-1, 2>> area_ranges, std::size_t max_detections) {
    if (thresholds.empty() || area_ranges.shape(0) < 1 || area_ranges.shape(0) > kMostAreas)
        throw std::invalid_argument("at least one threshold and one to 16 area ranges");
    return {images, classes, std::move(thresholds),
            std::vector<double>(area_ranges.data(), area_ranges.data() + area_ranges.size()), max_detections};
}

template <class MakeOverlap>
nb::dict match(const Detections& detections, const Truth& truth, const Limits& limits, std::size_t workers,
               MakeOverlap&& make_overlap) {
    Matches matches;
    {
        nb::gil_scoped_release unlocked;
        matches = Matcher(detections, truth, limits).run(workers, make_overlap);
    }
    return give(matches, limits.words());
}

nb::dict match_boxes(const DetectionArrays& detections, Boxes boxes, const TruthArrays& truth, Boxes truth_boxes,
                     const Limits& limits, std::size_t workers) {
    const Detections d = detections.view(limits);
    const Truth g = truth.view(limits);
    DetectionArrays::require(boxes.shape(0) == d.count && truth_boxes.shape(0) == g.count);
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
    DetectionArrays::require(starts.size() == d.count + 1 && annotations.size() == overlaps.size() &&
                             starts.data()[d.count] == std::int64_t(overlaps.size()));
    for (std::size_t i = 0; i < d.count; ++i)
        DetectionArrays::require(0 <= starts.data()[i] && starts.data()[i] <= starts.data()[i + 1]);
    return match(d, g, limits, workers,
                 [&] { return KnownOverlap(d.areas, starts.data(), annotations.data(), overlaps.data()); });
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
    DetectionArrays::require(keypoints.shape(0) == d.count && truth_keypoints.shape(0) == g.count &&
                             truth_boxes.shape(0) == g.count && keypoints.shape(1) == K &&
                             truth_keypoints.shape(1) == K && variances.shape(0) == limits.classes && K > 0 && K < 65536);
    const Keypoints points{K, keypoints.data(), truth_keypoints.data(), truth_boxes.data(), variances.data()};
    std::vector<KeypointPairs> parts(workers);
    {
        nb::gil_scoped_release unlocked;
        const RowsByImage by_image(g.images, g.count, limits.images);
        const double least = *std::min_element(limits.thresholds.begin(), limits.thresholds.end());
        run_workers(workers, [&](std::size_t worker) {
            KeypointComparison comparison(points, g, least);
            const std::size_t first = d.count * worker / workers, end = d.count * (worker + 1) / workers;
            for (std::size_t row = first; row < end; ++row) {
                if (row == first || d.images[row] != d.images[row - 1])
                    comparison.enter(by_image, std::size_t(d.images[row]));
                comparison.compare(row, d.classes[row], parts[worker]);
            }
        });
    }
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
        DetectionArrays::require(place + size <= values.size());
        means[i] = numpy_sum(values.data() + place, size) / double(size);
        place += size;
    }
    return nb::cast(give(means, sizes.size()));
}

nb::tuple accumulate(Column<std::int32_t> images, Column<std::int32_t> classes, Column<std::int32_t> ranks,
                     Column<double> scores, Column<std::uint16_t> outside, Column<std::uint32_t> matched,
                     In<std::uint64_t, nb::ndim<2>> hits, In<std::uint64_t, nb::ndim<2>> ignored,
                     In<std::int64_t, nb::ndim<2>> positives, std::size_t thresholds,
                     std::vector<double> recall_thresholds, std::vector<std::int64_t> max_detections,
                     std::size_t workers) {
    const std::size_t n = images.size(), C = positives.shape(0), A = positives.shape(1), T = thresholds;
    const std::size_t R = recall_thresholds.size(), M = max_detections.size();
    DetectionArrays::require(classes.size() == n && ranks.size() == n && scores.size() == n &&
                             outside.size() == n && hits.shape(0) == matched.size() &&
                             ignored.shape(0) == matched.size() && hits.shape(1) == (A * T + 63) / 64 &&
                             ignored.shape(1) == (A * T + 63) / 64 && A <= kMostAreas && M < 255 && n < UINT32_MAX);
    for (std::size_t i = 0; i < n; ++i) DetectionArrays::require(std::uint32_t(classes.data()[i]) < C);
    for (std::size_t i = 0; i < matched.size(); ++i)
        DetectionArrays::require(matched.data()[i] < n && (!i || matched.data()[i - 1] < matched.data()[i]));
    Buffer<double> precision(T * R * C * A * M), recall(T * C * A * M), at(T * R * C * A * M);
    const MatchColumns columns{n, images.data(), classes.data(), ranks.data(), scores.data(), outside.data(),
                               matched.size(), matched.data(), hits.data(), ignored.data()};
    const Curves curves{C, A, T, std::move(recall_thresholds), std::move(max_detections), positives.data(),
                        precision.data(), recall.data(), at.data()};
    {
        nb::gil_scoped_release unlocked;
        Accumulator(columns, curves).run(workers);
    }
    return nb::make_tuple(give(precision.release(), {T, R, C, A, M}), give(recall.release(), {T, C, A, M}),
                          give(at.release(), {T, R, C, A, M}));
}

}  // namespace

NB_MODULE(_engine, m) {
    m.attr("version") = FASTEVAL_VERSION;
    m.doc() = "Matching of detections to ground truth, and precision and recall from it.";
    nb::class_<Limits>(m, "Limits").def(
        "__init__",
        [](Limits* self, std::size_t images, std::size_t classes, std::vector<double> thresholds,
           In<double, nb::shape<-1, 2>> area_ranges, std::size_t max_detections) {
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
