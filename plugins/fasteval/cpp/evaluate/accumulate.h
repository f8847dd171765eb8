// Precision and recall from matches. The arithmetic is that of COCOeval.accumulate of pycocotools.
//
// Precision changes at every detection, but the interpolated curve is only ever read where recall grows: it is
// computed at true positives alone, from running counts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "columns.h"
#include "match.h"
#include "threads.h"

namespace fasteval {

// Matches of all images, by image; borrowed.
struct MatchColumns {
    std::size_t count = 0;
    Buffer<std::uint32_t> classes;
    const std::int32_t* ranks = nullptr;
    const double* scores = nullptr;
    const std::uint16_t* outside = nullptr;
    std::size_t matched_count = 0;
    Buffer<std::uint32_t> matched;
    const Word* hits = nullptr;     // (matched_count, words)
    const Word* ignored = nullptr;  // (matched_count, words)
};

struct Curves {
    std::size_t classes, areas, thresholds;
    std::vector<double> recall_thresholds;
    std::vector<std::int64_t> max_detections;  // ascending
    const std::int64_t* positives;             // (classes, areas) annotations that count
    double* precision;                         // (T, R, C, A, M)
    double* recall;                            // (T, C, A, M)
    double* scores;                            // (T, R, C, A, M)
};

class Accumulator {
  public:
    Accumulator(const MatchColumns& matches, const Curves& curves)
        : matches_(matches), curves_(curves), A_(curves.areas), T_(curves.thresholds),
          R_(curves.recall_thresholds.size()), M_(curves.max_detections.size()),
          words_((A_ * T_ + 63) / 64), all_(words_, 0), range_of_(A_ * T_) {
        for (std::size_t bit = 0; bit < range_of_.size(); ++bit) {
            range_of_[bit] = bit / T_;
            all_[bit / 64] |= Word(1) << bit % 64;
        }
    }

    void run(std::size_t workers) {
        bucket_by_class(workers);
        for_each_item(curves_.classes, workers, [&] {
            return [this, scratch = Scratch(A_ * T_, R_ * A_ * M_ * T_, A_ * M_ * T_, A_ * R_)](std::size_t c) mutable {
                accumulate(c, scratch);
            };
        });
    }

  private:
    struct Record {
        std::uint64_t key;      // ascending in it is descending in score
        std::uint32_t match;    // 1 + position in `matched`; 0 for none
        std::uint16_t outside;  // area ranges that the detection is outside of
        std::uint8_t level;     // first of max_detections that counts it
    };
    struct Scratch {
        Scratch(std::size_t bits, std::size_t curve, std::size_t recall, std::size_t needed)
            : precision(bits), scores(bits), hits(bits), shift(bits), needed(needed), curve(curve),
              curve_scores(curve), recall(recall) {}
        std::vector<Record> spare;
        std::vector<std::uint32_t> digits;
        std::vector<std::vector<double>> precision, scores;  // at each true positive, by bit
        std::vector<std::int64_t> hits, shift;
        std::vector<std::int64_t> needed;  // hits that each recall threshold takes, by area range
        std::vector<double> curve, curve_scores, recall;
    };
    static constexpr std::size_t kDigit = 11, kDigits = std::size_t(1) << kDigit, kPasses = 3;
    static constexpr std::size_t kLower = 64 - kPasses * kDigit;

    static std::uint64_t upper(const Record& record) { return record.key >> kLower; }
    static std::size_t digit(const Record& record, std::size_t pass) {
        return std::size_t(upper(record) >> pass * kDigit) & (kDigits - 1);
    }

    // Scores sort as integers: all bits of negative ones turned, only the sign of others; then descending.
    static std::uint64_t key_of(double score) {
        score += 0.0;  // -0 becomes 0
        std::uint64_t bits;
        std::memcpy(&bits, &score, sizeof bits);
        return ~(bits >> 63 ? ~bits : bits | std::uint64_t(1) << 63);
    }
    static double score_of(std::uint64_t key) {
        key = ~key;
        const std::uint64_t bits = key >> 63 ? key & ~(std::uint64_t(1) << 63) : ~key;
        double score;
        std::memcpy(&score, &bits, sizeof score);
        return score;
    }

    void bucket_by_class(std::size_t workers) {
        const std::size_t n = matches_.count, C = curves_.classes;
        std::vector<std::size_t> borders(workers + 1), match_borders(workers + 1);
        for (std::size_t w = 0; w <= workers; ++w) {
            borders[w] = n * w / workers;
            match_borders[w] = std::size_t(
                std::lower_bound(matches_.matched.data(), matches_.matched.data() + matches_.matched_count, borders[w]) -
                matches_.matched.data());
        }
        std::vector<std::vector<std::size_t>> next(workers, std::vector<std::size_t>(C, 0));
        run_workers(workers, [&](std::size_t w) {
            for (std::size_t i = borders[w]; i < borders[w + 1]; ++i) ++next[w][matches_.classes[i]];
        });
        starts_.assign(C + 1, 0);
        for (std::size_t c = 0, total = 0; c < C; ++c) {
            for (std::size_t w = 0; w < workers; ++w) {
                const std::size_t size = next[w][c];
                next[w][c] = total;
                total += size;
            }
            starts_[c + 1] = total;
        }
        records_ = Buffer<Record>(n);
        run_workers(workers, [&](std::size_t w) {
            std::size_t match = match_borders[w];
            for (std::size_t i = borders[w]; i < borders[w + 1]; ++i) {
                Record record{key_of(matches_.scores[i]), 0, matches_.outside[i], level(matches_.ranks[i])};
                if (match < matches_.matched_count && matches_.matched[match] == i)
                    record.match = std::uint32_t(++match);
                records_[next[w][matches_.classes[i]]++] = record;
            }
        });
    }

    std::uint8_t level(std::int32_t rank) const {
        std::size_t level = 0;
        while (level < M_ && rank >= curves_.max_detections[level]) ++level;
        return std::uint8_t(level);
    }

    // Stable, by the upper 33 bits, least significant digit first; digits that all have in common are skipped. Scores
    // that agree in these (22 bits of their mantissa) are few, and put right afterwards.
    static void sort(Record* records, std::size_t count, Scratch& s) {
        if (count < 512) return stable_sort(records, records + count);
        if (s.spare.size() < count) s.spare.resize(count);
        s.digits.assign(kPasses * kDigits, 0);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t pass = 0; pass < kPasses; ++pass) ++s.digits[pass * kDigits + digit(records[i], pass)];
        Record *from = records, *to = s.spare.data();
        for (std::size_t pass = 0; pass < kPasses; ++pass) {
            std::uint32_t* next = &s.digits[pass * kDigits];
            if (next[digit(from[0], pass)] == count) continue;
            std::uint32_t total = 0;
            for (std::size_t i = 0; i < kDigits; ++i) {
                const std::uint32_t size = next[i];
                next[i] = total;
                total += size;
            }
            for (std::size_t i = 0; i < count; ++i) to[next[digit(from[i], pass)]++] = from[i];
            std::swap(from, to);
        }
        if (from != records) std::copy(from, from + count, records);
        sort_rest(records, count);
    }

    // Sorts within runs of records with the same upper bits.
    static void sort_rest(Record* records, std::size_t count) {
        for (std::size_t i = 1; i < count; ++i) {
            if (records[i - 1].key <= records[i].key) continue;
            std::size_t begin = i - 1, end = i + 1;
            while (begin && upper(records[begin - 1]) == upper(records[i])) --begin;
            while (end < count && upper(records[end]) == upper(records[i])) ++end;
            stable_sort(records + begin, records + end);
            i = end - 1;
        }
    }

    static void stable_sort(Record* begin, Record* end) {
        std::stable_sort(begin, end, [](const Record& a, const Record& b) { return a.key < b.key; });
    }

    void accumulate(std::size_t c, Scratch& s) {
        Record* records = records_.data() + starts_[c];
        const std::size_t count = starts_[c + 1] - starts_[c];
        sort(records, count, s);
        for (std::size_t a = 0; a < A_; ++a) count_needed(curves_.positives[c * A_ + a], count, &s.needed[a * R_]);
        for (std::size_t m = 0; m < M_; ++m) {
            sweep(records, count, m, s);
            sample(c, m, first_score(records, count, m), s);
        }
        store(c, s);
    }

    // Walks down the scores; notes precision and score at each true positive of each bit.
    void sweep(const Record* records, std::size_t count, std::size_t m, Scratch& s) const {
        for (auto& values : s.precision) values.clear();
        for (auto& values : s.scores) values.clear();
        std::fill(s.hits.begin(), s.hits.end(), 0);
        std::fill(s.shift.begin(), s.shift.end(), 0);
        std::int64_t inside[kMostAreas] = {};  // detections in each area range
        for (const Record* r = records; r != records + count; ++r) {
            if (r->level > m) continue;
            for (std::size_t a = 0; a < A_; ++a) inside[a] += ~r->outside >> a & 1;
            if (r->match) count_match(*r, inside, s);
        }
    }

    // A matched detection counts as a hit in every range, or as nothing, whatever its own area is.
    void count_match(const Record& record, const std::int64_t* inside, Scratch& s) const {
        const Word* hits = matches_.hits + (record.match - 1) * words_;
        const Word* ignored = matches_.ignored + (record.match - 1) * words_;
        for (std::size_t w = 0; w < words_; ++w) {
            for (Word left = (hits[w] | ignored[w]) & all_[w]; left; left &= left - 1) {
                const unsigned place = lowest_bit(left);
                const std::size_t bit = w * 64 + place, a = range_of_[bit];
                const bool hit = hits[w] >> place & 1;
                s.shift[bit] += int(hit) - int(!(record.outside >> a & 1));
                if (!hit) continue;
                const double found = double(++s.hits[bit]);
                const double false_ones = double(inside[a] + s.shift[bit]) - found;
                s.precision[bit].push_back(found / (false_ones + found + std::numeric_limits<double>::epsilon()));
                s.scores[bit].push_back(score_of(record.key));
            }
        }
    }

    double first_score(const Record* records, std::size_t count, std::size_t m) const {
        for (const Record* r = records; r != records + count; ++r)
            if (r->level <= m) return score_of(r->key);
        return 0;
    }

    // How many hits reach each recall threshold; more than there are records where none do.
    void count_needed(std::int64_t positives, std::size_t count, std::int64_t* to) const {
        std::int64_t needed = 0;
        for (std::size_t r = 0; positives && r < R_; ++r) {
            if (r && curves_.recall_thresholds[r] < curves_.recall_thresholds[r - 1]) needed = 0;
            while (needed <= std::int64_t(count) &&
                   double(needed) / double(positives) < curves_.recall_thresholds[r])
                ++needed;
            to[r] = needed;
        }
    }

    // Reads the interpolated curves at the recall thresholds.
    void sample(std::size_t c, std::size_t m, double first, Scratch& s) const {
        for (std::size_t bit = 0; bit < A_ * T_; ++bit) {
            const std::size_t a = bit / T_, t = bit % T_;
            const std::int64_t positives = curves_.positives[c * A_ + a];
            auto& precision = s.precision[bit];
            for (std::size_t i = precision.size(); i-- > 1;)
                precision[i - 1] = std::max(precision[i - 1], precision[i]);
            const auto found = std::int64_t(precision.size());
            s.recall[(t * A_ + a) * M_ + m] = positives ? double(found) / double(positives) : -1;
            for (std::size_t r = 0; r < R_; ++r) {
                double value = -1, score = -1;
                if (positives) {
                    const std::int64_t needed = s.needed[a * R_ + r];
                    const auto place = std::size_t(std::max<std::int64_t>(needed, 1) - 1);
                    value = place < precision.size() ? precision[place] : 0;
                    score = needed > found ? 0 : needed ? s.scores[bit][std::size_t(needed - 1)] : first;
                }
                s.curve[((t * R_ + r) * A_ + a) * M_ + m] = value;
                s.curve_scores[((t * R_ + r) * A_ + a) * M_ + m] = score;
            }
        }
    }

    void store(std::size_t c, const Scratch& s) {
        const std::size_t width = A_ * M_;
        for (std::size_t row = 0; row < T_ * R_; ++row) {
            const std::size_t place = (row * curves_.classes + c) * width;
            std::copy_n(&s.curve[row * width], width, curves_.precision + place);
            std::copy_n(&s.curve_scores[row * width], width, curves_.scores + place);
        }
        for (std::size_t t = 0; t < T_; ++t)
            std::copy_n(&s.recall[t * width], width, curves_.recall + (t * curves_.classes + c) * width);
    }

    const MatchColumns& matches_;
    const Curves& curves_;
    std::size_t A_, T_, R_, M_, words_;
    std::vector<Word> all_;              // the bits that stand for something
    std::vector<std::size_t> range_of_;  // area range of each bit
    std::vector<std::size_t> starts_;
    Buffer<Record> records_;
};

}  // namespace fasteval
