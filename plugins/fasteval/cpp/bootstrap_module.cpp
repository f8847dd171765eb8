// Python's view of resampling: the rows of one class and the draws in, averages of curves out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <vector>

#include "evaluate/resample.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace fasteval;

template <class T, std::size_t dimensions>
using In = nb::ndarray<const T, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

auto give(std::vector<double>&& values, std::initializer_list<std::size_t> shape) {
    auto* kept = new std::vector<double>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<double>*>(p); });
    return nb::ndarray<nb::numpy, double>(kept->data(), shape, owner);
}

void require(bool fits) {
    if (!fits) throw std::invalid_argument("columns of different length, or an index outside its table");
}

template <class T>
bool all_below(const In<T, 1>& values, std::size_t limit) {
    bool fits = true;
    for (std::size_t i = 0; i < values.size(); ++i) fits &= std::size_t(values.data()[i]) < limit;
    return fits;
}

nb::tuple resample_class(In<std::int32_t, 1> images, In<std::int32_t, 1> ranks, In<std::uint16_t, 1> outside,
                         In<std::uint32_t, 1> matched, In<std::uint64_t, 2> hits, In<std::uint64_t, 2> ignored,
                         In<std::int32_t, 1> positive_images, In<std::uint16_t, 1> positive_outside,
                         In<std::int32_t, 2> weights, std::size_t areas, std::size_t thresholds,
                         std::vector<std::int64_t> limits, std::vector<double> recall_thresholds) {
    const std::size_t words = (areas * thresholds + 63) / 64, draws = weights.shape(0);
    require(areas <= 16 && images.size() == ranks.size() && images.size() == outside.size());
    require(hits.shape(0) == matched.size() && hits.shape(1) == words);
    require(ignored.shape(0) == matched.size() && ignored.shape(1) == words);
    require(positive_images.size() == positive_outside.size());
    require(all_below(images, weights.shape(1)) && all_below(positive_images, weights.shape(1)));
    require(all_below(matched, images.size()) && all_below(outside, std::size_t(1) << areas));
    for (std::size_t i = 1; i < matched.size(); ++i) require(matched.data()[i - 1] < matched.data()[i]);
    const ClassRows rows{images.size(),   matched.size(),         positive_images.size(), images.data(),
                         ranks.data(),    outside.data(),         matched.data(),         hits.data(),
                         ignored.data(),  positive_images.data(), positive_outside.data()};
    const Counted counted{areas, thresholds, std::move(limits), std::move(recall_thresholds)};
    const std::size_t size = areas * thresholds, most = counted.limits.size();
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
