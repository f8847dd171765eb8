// Greedy matching of detections to ground truth, image by image and class by class.
//
// The rules are those of COCOeval.evaluateImg of pycocotools: detections in descending score take, at each IoU
// threshold and area range, the annotation they overlap most among those still free; annotations that count
// come before ignored ones; of equal overlaps the later annotation wins; a crowd is never used up.
//
// What overlaps is an object with `enter(detections, annotations)`, called with the rows of an image before any
// of them is needed, `area(detection)`, and `operator()(detection, annotation)`.
//
// All (area range, threshold) pairs are matched at once: bit a * T + t of a word stands for range a and
// threshold t, and every step of the loop over candidates is a few operations on words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "columns.h"
#include "grouping.h"
#include "threads.h"

namespace fasteval {

using Word = std::uint64_t;

inline unsigned lowest_bit(Word word) {
#if defined(__GNUC__)
    return unsigned(__builtin_ctzll(word));
#else
    unsigned place = 0;
    while (!(word >> place & 1)) ++place;
    return place;
#endif
}

// What came of the detections within max_detections, by image; and of those that matched something.
struct Matches {
    Buffer<std::int32_t> images, classes, ranks;  // rank 0 is the best of its image and class
    Buffer<std::uint32_t> rows;
    Buffer<double> scores;
    Buffer<std::uint16_t> outside;
    std::vector<std::uint32_t> matched;  // places in the arrays above
    std::vector<Word> hits, ignored;     // `words` for each of them
    std::size_t count = 0;
};

class Matcher {
  public:
    Matcher(const Detections& detections, const Truth& truth, const Limits& limits)
        : detections_(detections), truth_(truth), limits_(limits), words_(limits.words()),
          all_(words_, 0), sorted_(limits.thresholds) {
        // As in the source, a threshold of 1 requires a little less.
        for (double& threshold : sorted_) threshold = std::min(threshold, 1 - 1e-10);
        const std::vector<double> effective = sorted_;
        std::sort(sorted_.begin(), sorted_.end());
        const std::size_t T = effective.size();
        reached_.assign((T + 1) * words_, 0);
        for (std::size_t level = 0; level <= T; ++level)
            for (std::size_t bit = 0; bit < limits.bits(); ++bit)
                if (level && effective[bit % T] <= sorted_[level - 1])
                    reached_[level * words_ + bit / 64] |= Word(1) << bit % 64;
        for (std::size_t bit = 0; bit < limits.bits(); ++bit) all_[bit / 64] |= Word(1) << bit % 64;
    }

    template <class MakeOverlap>
    Matches run(std::size_t workers, MakeOverlap&& make_overlap) const {
        const RowsByImage found(detections_.images, detections_.count, limits_.images);
        const RowsByImage truth(truth_.images, truth_.count, limits_.images);
        Matches out = allocate();
        const auto borders = found.split(workers);
        std::vector<Chunk> chunks(workers);
        run_workers(workers, [&](std::size_t worker) {
            auto overlap = make_overlap();
            Chunk& chunk = chunks[worker];
            chunk.begin = chunk.end = found.begin(borders[worker]);
            Scratch scratch(limits_.classes);
            for (std::size_t image = borders[worker]; image < borders[worker + 1]; ++image)
                match_image(image, found, truth, overlap, scratch, out, chunk);
        });
        join(out, chunks);
        return out;
    }

  private:
    struct Chunk {
        std::size_t begin = 0, end = 0;  // places that this worker filled
        std::vector<std::uint32_t> matched;
        std::vector<Word> hits, ignored;
    };
    struct Candidate {
        double overlap;
        std::uint32_t place;  // in the group of annotations
    };
    struct Scratch {
        explicit Scratch(std::size_t classes) : counts(classes, 0) {}
        std::vector<std::uint32_t> counts, touched, starts, bucket, annotations;
        std::vector<std::pair<double, std::uint32_t>> ranked;
        std::vector<Candidate> candidates;
        std::vector<Word> taken, ignored, need, hit, miss;
    };

    Matches allocate() const {
        const std::size_t n = detections_.count;
        Matches out;
        out.images = Buffer<std::int32_t>(n);
        out.classes = Buffer<std::int32_t>(n);
        out.ranks = Buffer<std::int32_t>(n);
        out.rows = Buffer<std::uint32_t>(n);
        out.scores = Buffer<double>(n);
        out.outside = Buffer<std::uint16_t>(n);
        return out;
    }

    template <class Overlap>
    void match_image(std::size_t image, const RowsByImage& found, const RowsByImage& truth, Overlap& overlap,
                     Scratch& s, Matches& out, Chunk& chunk) const {
        bucket_by_class(image, found, s);
        if (s.touched.empty()) return;
        s.annotations.clear();
        for (std::size_t place = truth.begin(image); place < truth.end(image); ++place)
            s.annotations.push_back(truth.row(place));
        std::stable_sort(s.annotations.begin(), s.annotations.end(),
                         [&](auto a, auto b) { return truth_.classes[a] < truth_.classes[b]; });
        overlap.enter(s.bucket, s.annotations);
        for (std::size_t group = 0; group < s.touched.size(); ++group) {
            const std::uint32_t class_id = s.touched[group];
            const std::size_t first = chunk.end;
            const std::size_t count = rank(image, class_id, overlap, s, group, out, chunk);
            const auto by_class = [&](std::uint32_t row, std::uint32_t id) { return truth_.classes[row] < id; };
            const auto begin = std::lower_bound(s.annotations.begin(), s.annotations.end(), class_id, by_class);
            const auto end = std::lower_bound(begin, s.annotations.end(), class_id + 1, by_class);
            if (begin != end) match_group(first, count, &*begin, std::size_t(end - begin), overlap, s, out, chunk);
            s.counts[class_id] = 0;
        }
    }

    void bucket_by_class(std::size_t image, const RowsByImage& found, Scratch& s) const {
        const std::size_t begin = found.begin(image), end = found.end(image);
        s.touched.clear();
        for (std::size_t place = begin; place < end; ++place) {
            const std::uint32_t class_id = detections_.classes[found.row(place)];
            if (s.counts[class_id]++ == 0) s.touched.push_back(class_id);
        }
        s.starts.assign(1, 0);
        for (const std::uint32_t class_id : s.touched) {
            s.starts.push_back(s.starts.back() + s.counts[class_id]);
            s.counts[class_id] = s.starts[s.starts.size() - 2];
        }
        s.bucket.resize(end - begin);
        for (std::size_t place = begin; place < end; ++place) {
            const std::uint32_t row = found.row(place);
            s.bucket[s.counts[detections_.classes[row]]++] = row;
        }
    }

    // Writes the best detections of a class on an image, in descending score; of equals, the first row leads.
    template <class Overlap>
    std::size_t rank(std::size_t image, std::uint32_t class_id, Overlap& overlap, Scratch& s,
                     std::size_t group, Matches& out, Chunk& chunk) const {
        s.ranked.clear();
        for (std::size_t place = s.starts[group]; place < s.starts[group + 1]; ++place)
            s.ranked.emplace_back(detections_.scores[s.bucket[place]], s.bucket[place]);
        sort_down(s.ranked);
        const std::size_t count = std::min(s.ranked.size(), limits_.max_detections);
        for (std::size_t i = 0; i < count; ++i) {
            const auto [score, row] = s.ranked[i];
            const std::size_t place = chunk.end++;
            const bool lenient = detections_.lenient && detections_.lenient[row];
            out.images[place] = std::int32_t(image);
            out.classes[place] = std::int32_t(class_id);
            out.ranks[place] = std::int32_t(i);
            out.rows[place] = row;
            out.scores[place] = score;
            out.outside[place] = lenient ? std::uint16_t(0xFFFF) : limits_.outside(overlap.area(row));
        }
        return count;
    }

    // Stable; by insertion where that is faster.
    static void sort_down(std::vector<std::pair<double, std::uint32_t>>& ranked) {
        if (ranked.size() > 24) {
            std::stable_sort(ranked.begin(), ranked.end(),
                             [](const auto& a, const auto& b) { return a.first > b.first; });
            return;
        }
        for (std::size_t i = 1; i < ranked.size(); ++i) {
            const auto next = ranked[i];
            std::size_t place = i;
            for (; place && ranked[place - 1].first < next.first; --place) ranked[place] = ranked[place - 1];
            ranked[place] = next;
        }
    }

    template <class Overlap>
    void match_group(std::size_t first, std::size_t count, const std::uint32_t* annotations,
                     std::size_t annotation_count, Overlap& overlap, Scratch& s, const Matches& out,
                     Chunk& chunk) const {
        s.taken.assign(annotation_count * words_, 0);
        s.ignored.assign(annotation_count * words_, 0);
        for (std::size_t g = 0; g < annotation_count; ++g) set_ignored(annotations[g], &s.ignored[g * words_]);
        for (std::size_t place = first; place < first + count; ++place) {
            s.candidates.clear();
            for (std::size_t g = 0; g < annotation_count; ++g) {
                const double value = overlap(out.rows[place], annotations[g]);
                if (value >= sorted_.front()) s.candidates.push_back({value, std::uint32_t(g)});
            }
            if (s.candidates.empty()) continue;
            std::sort(s.candidates.begin(), s.candidates.end(), [](const Candidate& a, const Candidate& b) {
                return a.overlap > b.overlap || (a.overlap == b.overlap && a.place > b.place);
            });
            assign(annotations, s);
            if (!any(s.hit) && !any(s.miss)) continue;
            chunk.matched.push_back(std::uint32_t(place));
            chunk.hits.insert(chunk.hits.end(), s.hit.begin(), s.hit.end());
            chunk.ignored.insert(chunk.ignored.end(), s.miss.begin(), s.miss.end());
        }
    }

    // The words in which an annotation is ignored: all of them, or the area ranges it is outside of.
    void set_ignored(std::uint32_t annotation, Word* words) const {
        const std::size_t T = limits_.thresholds.size();
        const std::uint16_t outside =
            truth_.ignored[annotation] ? std::uint16_t(0xFFFF) : limits_.outside(truth_.areas[annotation]);
        for (std::size_t bit = 0; bit < limits_.bits(); ++bit)
            if (outside >> (bit / T) & 1) words[bit / 64] |= Word(1) << bit % 64;
    }

    // One detection takes what it can: annotations that count first, then ignored ones.
    void assign(const std::uint32_t* annotations, Scratch& s) const {
        s.need = all_;
        s.hit.assign(words_, 0);
        s.miss.assign(words_, 0);
        for (const bool ignored : {false, true}) {
            for (const Candidate& candidate : s.candidates) {
                const std::uint32_t annotation = annotations[candidate.place];
                const Word* reached = &reached_[level(candidate.overlap) * words_];
                Word* taken = &s.taken[candidate.place * words_];
                const Word* counted_out = &s.ignored[candidate.place * words_];
                for (std::size_t w = 0; w < words_; ++w) {
                    Word now = reached[w] & s.need[w] & (ignored ? counted_out[w] : ~counted_out[w]);
                    if (!truth_.crowd[annotation]) now &= ~taken[w];
                    taken[w] |= now;
                    s.need[w] &= ~now;
                    if (ignored) s.miss[w] |= now;
                    else if (annotation != truth_.unseen) s.hit[w] |= now;
                }
            }
            if (!any(s.need)) return;
        }
    }

    std::size_t level(double overlap) const {
        return std::size_t(std::upper_bound(sorted_.begin(), sorted_.end(), overlap) - sorted_.begin());
    }

    static bool any(const std::vector<Word>& words) {
        return std::any_of(words.begin(), words.end(), [](Word word) { return word != 0; });
    }

    // Close the gaps that detections beyond max_detections left behind each worker's places.
    void join(Matches& out, std::vector<Chunk>& chunks) const {
        for (const Chunk& chunk : chunks) {
            const std::size_t shift = chunk.begin - out.count, size = chunk.end - chunk.begin;
            if (shift) {
                move_down(out.images, chunk.begin, size, shift);
                move_down(out.classes, chunk.begin, size, shift);
                move_down(out.ranks, chunk.begin, size, shift);
                move_down(out.rows, chunk.begin, size, shift);
                move_down(out.scores, chunk.begin, size, shift);
                move_down(out.outside, chunk.begin, size, shift);
            }
            for (const std::uint32_t place : chunk.matched)
                out.matched.push_back(std::uint32_t(place - shift));
            out.hits.insert(out.hits.end(), chunk.hits.begin(), chunk.hits.end());
            out.ignored.insert(out.ignored.end(), chunk.ignored.begin(), chunk.ignored.end());
            out.count += size;
        }
    }

    template <class T>
    static void move_down(Buffer<T>& buffer, std::size_t begin, std::size_t size, std::size_t shift) {
        std::copy(buffer.data() + begin, buffer.data() + begin + size, buffer.data() + begin - shift);
    }

    const Detections& detections_;
    const Truth& truth_;
    const Limits& limits_;
    std::size_t words_;
    std::vector<Word> all_;
    std::vector<double> sorted_;   // effective thresholds, ascending
    std::vector<Word> reached_;    // words of the bits that an overlap of each level satisfies
};

}  // namespace fasteval
