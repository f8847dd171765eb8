// Python's view of resampling: the rows of one class and the draws in, averages of curves out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "arrays.h"
#include "evaluate/resample.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace fasteval;

template <class T, std::size_t dimensions>
using In = arrays::In<T, nb::ndim<dimensions>>;

auto give(std::vector<double>&& values, std::initializer_list<std::size_t> shape) {
    auto* kept = new std::vector<double>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<double>*>(p); });
    return nb::ndarray<nb::numpy, double>(kept->data(), shape, owner);
}

void require(bool fits, const char* problem = "columns of different length, or an index outside its table") {
    if (!fits) throw std::invalid_argument(problem);
}

// A copy that was checked: another thread of Python may write to the array while it is in use.
template <class T>
Buffer<T> all_below(const In<T, 1>& values, std::size_t limit) {
    Buffer<T> checked(values.size());
    bool fits = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
        checked[i] = values.data()[i];
        fits &= std::size_t(checked[i]) < limit;
    }
    require(fits);
    return checked;
}

// Bits of the area ranges there are; lenient detections have all others set as well.
Buffer<std::uint16_t> low_bits(const In<std::uint16_t, 1>& outside, std::size_t areas) {
    Buffer<std::uint16_t> low(outside.size());
    for (std::size_t i = 0; i < outside.size(); ++i)
        low[i] = std::uint16_t(outside.data()[i] & ((std::uint32_t(1) << areas) - 1));
    return low;
}

nb::tuple resample_class(In<std::int32_t, 1> images, In<std::int32_t, 1> ranks, In<std::uint16_t, 1> outside,
                         In<std::uint32_t, 1> matched, In<std::uint64_t, 2> hits, In<std::uint64_t, 2> ignored,
                         In<std::int32_t, 1> positive_images, In<std::uint16_t, 1> positive_outside,
                         In<std::int32_t, 2> weights, std::size_t areas, std::size_t thresholds,
                         std::vector<std::int64_t> limits, std::vector<double> recall_thresholds) {
    const std::size_t draws = weights.shape(0), recalls = recall_thresholds.size(), most = limits.size();
    require(1 <= areas && areas <= kMostAreas && 1 <= thresholds && thresholds <= kMostThresholds,
            "one to 1000 thresholds and one to 16 area ranges are needed");
    require(1 <= most && most <= kMostLimits && std::is_sorted(limits.begin(), limits.end()),
            "one to 254 ascending limits of detections are needed");
    bool fractions = recalls > 0;
    for (const double recall : recall_thresholds) fractions &= 0 <= recall && recall <= 1;
    require(fractions && std::is_sorted(recall_thresholds.begin(), recall_thresholds.end()),
            "ascending recall thresholds from 0 to 1 are needed");
    const std::size_t size = areas * thresholds, words = (size + 63) / 64;
    require(draws <= kMostCells / (size * most), "curves of more than 2^29 numbers");
    require(images.size() == ranks.size() && images.size() == outside.size() && images.size() < UINT32_MAX);
    require(hits.shape(0) == matched.size() && hits.shape(1) == words);
    require(ignored.shape(0) == matched.size() && ignored.shape(1) == words);
    require(positive_images.size() == positive_outside.size());
    const ClassRows rows{images.size(),
                         matched.size(),
                         positive_images.size(),
                         all_below(images, weights.shape(1)),
                         ranks.data(),
                         low_bits(outside, areas),
                         all_below(matched, images.size()),
                         hits.data(),
                         ignored.data(),
                         all_below(positive_images, weights.shape(1)),
                         positive_outside.data()};
    for (std::size_t i = 1; i < matched.size(); ++i) require(rows.positions[i - 1] < rows.positions[i]);
    const Counted counted{areas, thresholds, std::move(limits), std::move(recall_thresholds)};
    std::vector<double> precision(draws * size), recall(draws * size * most);
    {
        nb::gil_scoped_release unlocked;
        ClassResampler resampler(rows, counted);
        for (std::size_t b = 0; b < draws; ++b)
            resampler.run(weights.data() + b * weights.shape(1), &precision[b * size], &recall[b * size * most]);
    }
    return nb::make_tuple(give(std::move(precision), {draws, areas, thresholds}),
                          give(std::move(recall), {draws, areas, most, thresholds}));
}

}  // namespace

NB_MODULE(_bootstrap, module) {
    module.def("resample_class", &resample_class, "images"_a, "ranks"_a, "outside"_a, "matched"_a, "hits"_a,
               "ignored"_a, "positive_images"_a, "positive_outside"_a, "weights"_a, "areas"_a, "thresholds"_a,
               "limits"_a, "recall_thresholds"_a);
}
