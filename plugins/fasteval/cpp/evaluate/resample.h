// Curves of one class on resampled images, equal in every bit to anydet.evaluation.analysis.resampling.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "columns.h"

namespace fasteval {

struct ClassRows {
    std::size_t detections, matched, annotations;
    Buffer<std::int32_t> images;
    const std::int32_t* ranks;
    Buffer<std::uint16_t> outside;
    Buffer<std::uint32_t> positions;               // of the matched detections
    const std::uint64_t *hits, *ignored;           // words a matched detection
    Buffer<std::int32_t> positive_images;
    const std::uint16_t* positive_outside;
};

struct Counted {
    std::size_t areas, thresholds;
    std::vector<std::int64_t> limits;              // most detections of an image, ascending
    std::vector<double> recall_thresholds;         // ascending
};

// Averages the curves for one draw of images at a time; keeps memory between draws.
class ClassResampler {
  public:
    ClassResampler(const ClassRows& rows, const Counted& counted)
        : rows_(rows), counted_(counted), words_((counted.areas * counted.thresholds + 63) / 64) {
        list_runs();
        list_hits();
        needed_.resize(counted.areas * counted.recall_thresholds.size());
    }

    // weights: how often each image was drawn. precision: (A, T). recall: (A, M, T). -1 without annotations.
    void run(const std::int32_t* weights, double* precision, double* recall) {
        count_positives(weights);
        count_detections(weights);
        for (std::size_t a = 0; a < counted_.areas; ++a)
            for (std::size_t t = 0; t < counted_.thresholds; ++t) {
                const std::size_t bit = a * counted_.thresholds + t;
                if (positives_[a] > 0) {
                    precision[bit] = average(bit, a, weights);
                    measure_recall(bit, a, recall);
                } else {
                    precision[bit] = -1;
                    for (std::size_t m = 0; m < counted_.limits.size(); ++m)
                        recall[(a * counted_.limits.size() + m) * counted_.thresholds + t] = -1;
                }
            }
    }

  private:
    static constexpr std::size_t kLanes = 16;  // most area ranges

    struct Hit {
        std::uint32_t place;  // among the matched detections
        std::int32_t image;
        std::uint32_t level;  // first limit that counts it
    };
    struct Shift {
        std::uint32_t after;  // from this hit on
        std::int32_t image, change;
    };

    // Where the last counted detection stands: those behind the last match move nothing.
    void list_runs() {
        last_ = rows_.matched ? rows_.positions[rows_.matched - 1] + 1 : 0;
        for (std::size_t outside = 0; outside < 1u << std::min<std::size_t>(counted_.areas, 16); ++outside)
            for (std::size_t a = 0; a < kLanes; ++a)
                lanes_.push_back(a < counted_.areas && !(outside >> a & 1) ? -1 : 0);
        before_.resize(rows_.matched * kLanes);
        positives_.resize(kLanes);
    }

    void list_hits() {
        const std::size_t bits = counted_.areas * counted_.thresholds;
        hits_.resize(bits);
        shifts_.resize(bits);
        for (std::size_t p = 0; p < rows_.matched; ++p) {
            const std::uint32_t row = rows_.positions[p];
            const auto level = std::uint32_t(
                std::upper_bound(counted_.limits.begin(), counted_.limits.end(), std::int64_t(rows_.ranks[row])) -
                counted_.limits.begin());
            for (std::size_t bit = 0; bit < bits; ++bit) {
                const bool hit = rows_.hits[p * words_ + bit / 64] >> (bit % 64) & 1;
                const bool ignored = rows_.ignored[p * words_ + bit / 64] >> (bit % 64) & 1;
                const bool inside = !(rows_.outside[row] >> (bit / counted_.thresholds) & 1);
                const int change = int(hit || (inside && !ignored)) - int(inside);
                if (change)
                    shifts_[bit].push_back({std::uint32_t(hits_[bit].size()), rows_.images[row], change});
                if (hit) hits_[bit].push_back({std::uint32_t(p), rows_.images[row], level});
            }
        }
        std::size_t most = 0;
        for (const auto& hits : hits_) most = std::max(most, hits.size());
        curve_.resize(most);
        steps_.resize(most);
        found_.resize(counted_.limits.size() + 1);
    }

    void count_positives(const std::int32_t* weights) {
        std::fill(positives_.begin(), positives_.end(), 0);
        for (std::size_t g = 0; g < rows_.annotations; ++g)
            for (std::size_t a = 0; a < counted_.areas; ++a)
                if (!(rows_.positive_outside[g] >> a & 1)) positives_[a] += weights[rows_.positive_images[g]];
        const std::size_t count = counted_.recall_thresholds.size();
        for (std::size_t a = 0; a < counted_.areas; ++a)
            for (std::size_t r = 0; r < count && positives_[a] > 0; ++r)
                needed_[a * count + r] = least_found(counted_.recall_thresholds[r], positives_[a]);
    }

    // The smallest number found whose fraction of all reaches a recall, as the division rounds it.
    static std::int64_t least_found(double recall, std::int64_t of) {
        auto found = std::int64_t(recall * double(of));
        while (found > 0 && double(found - 1) / double(of) >= recall) --found;
        while (double(found) / double(of) < recall) ++found;
        return found;
    }

    // Detections up to each matched one, by area range, as if nothing matched. Sums wrap at 32 bits, as numpy's do.
    void count_detections(const std::int32_t* weights) {
        std::uint32_t sums[kLanes] = {};
        std::size_t next = 0;
        if (counted_.areas <= 4)
            for (std::size_t row = 0; row < last_; ++row) add<4>(row, weights, sums, next);
        else
            for (std::size_t row = 0; row < last_; ++row) add<kLanes>(row, weights, sums, next);
    }

    template <std::size_t width>
    void add(std::size_t row, const std::int32_t* weights, std::uint32_t* sums, std::size_t& next) {
        const std::int32_t weight = weights[rows_.images[row]];
        const std::int32_t* lanes = &lanes_[rows_.outside[row] * kLanes];
        for (std::size_t a = 0; a < width; ++a) sums[a] += std::uint32_t(weight & lanes[a]);
        if (rows_.positions[next] != row) return;
        for (std::size_t a = 0; a < width; ++a) before_[next * kLanes + a] = std::int32_t(sums[a]);
        ++next;
    }

    double average(std::size_t bit, std::size_t a, const std::int32_t* weights) {
        const auto& hits = hits_[bit];
        const auto& shifts = shifts_[bit];
        const std::size_t recalls = counted_.recall_thresholds.size();
        const std::int64_t* needed = &needed_[a * recalls];
        std::fill(found_.begin(), found_.end(), 0);
        std::int64_t found = 0, shift = 0;
        std::size_t reached = 0, next = 0;
        for (std::size_t h = 0; h < hits.size(); ++h) {
            while (next < shifts.size() && shifts[next].after <= h) {
                shift += std::int64_t(weights[shifts[next].image]) * shifts[next].change;
                ++next;
            }
            const std::int32_t weight = weights[hits[h].image];
            found += weight;
            found_[hits[h].level] += weight;
            const std::int64_t total = before_[hits[h].place * kLanes + a] + shift;
            curve_[h] = double(found) / (double(total) + std::numeric_limits<double>::epsilon());
            const std::size_t old = reached;
            while (reached < recalls && needed[reached] <= found) ++reached;
            steps_[h] = std::uint32_t(reached - old);
        }
        double best = 0, sum = 0;
        for (std::size_t h = hits.size(); h-- > 0;) {
            best = std::max(best, curve_[h]);
            sum += best * double(steps_[h]);
        }
        return sum / double(recalls);
    }

    void measure_recall(std::size_t bit, std::size_t a, double* recall) {
        const std::size_t t = bit % counted_.thresholds;
        std::int64_t found = 0;
        for (std::size_t m = 0; m < counted_.limits.size(); ++m) {
            found += found_[m];
            recall[(a * counted_.limits.size() + m) * counted_.thresholds + t] =
                double(found) / double(positives_[a]);
        }
    }

    const ClassRows& rows_;
    const Counted& counted_;
    std::size_t words_, last_ = 0;
    std::vector<std::int32_t> lanes_;   // all bits set where a detection counts, by its `outside`
    std::vector<std::int32_t> before_;  // kLanes a matched detection
    std::vector<std::int64_t> positives_, needed_, found_;
    std::vector<std::vector<Hit>> hits_;
    std::vector<std::vector<Shift>> shifts_;
    std::vector<double> curve_;
    std::vector<std::uint32_t> steps_;
};

}  // namespace fasteval
