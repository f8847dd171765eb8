// What libFuzzer and the driver call: an input must be read without a fault, and to the same columns whatever the
// size of the window and the number of threads.
#include "harness.h"

#include <cstdio>
#include <cstdlib>

#include "../cpp/scan/coco_results.h"
#include "../cpp/scan/coco_truth.h"
#include "../cpp/scan/predictions.h"

namespace fuzz {
namespace {

class Bytes {
 public:
  template <class T>
  void add(const scan::Column<T>& column) {
    const size_t count = column.size();
    text.append(reinterpret_cast<const char*>(&count), sizeof count);
    text.append(reinterpret_cast<const char*>(column.data()), count * sizeof(T));
  }
  template <class T>
  void add(const scan::Sparse<T>& field) {
    add(field.rows);
    add(field.values);
  }
  template <class T>
  void add(const scan::Ragged<T>& field) {
    add(field.rows);
    add(field.ends);
    add(field.values);
  }
  void add(const scan::Masks& masks) {
    add(masks.counts);
    add(masks.sizes_hw);
  }
  template <class... Fields>
  void all(const Fields&... fields) {
    (add(fields), ...);
  }

  std::string text;
};

std::string columns_of(const scan::CocoResults& r) {
  Bytes bytes;
  bytes.all(r.image_ids, r.category_ids, r.scores, r.boxes, r.masks, r.keypoints);
  return bytes.text;
}

std::string columns_of(const scan::CocoTruth& t) {
  Bytes bytes;
  const scan::Annotations& a = t.annotations;
  bytes.all(t.images.ids, t.images.sizes_wh, t.images.keys, t.images.negative, t.images.not_exhaustive);
  bytes.all(t.categories.ids, t.categories.names, t.categories.frequencies);
  bytes.all(a.ids, a.image_ids, a.category_ids, a.boxes, a.areas, a.crowd, a.states, a.keypoints, a.masks);
  bytes.all(a.outlines.rings, a.outlines.points);
  return bytes.text;
}

std::string columns_of(const scan::Predictions& p) {
  Bytes bytes;
  const scan::Entries& e = p.entries;
  const scan::Detections& d = e.detections;
  bytes.all(e.images, e.places, e.counts, e.sizes_wh);
  bytes.all(e.classification, e.semantic_mask, e.intrinsics, e.preprocess, e.extra);
  bytes.all(d.class_ids, d.scores, d.boxes, d.states, d.state_scores, d.keypoints, d.masks, d.extra);
  bytes.all(d.log_z, d.rot6d, d.rotations, d.translations, d.offsets, d.k_delta, d.log_sigma_z, d.log_sigma_rot);
  return bytes.text + p.meta;
}

// A made-up size, and a code of whatever bytes there are.
std::string masks(const char* data, size_t size) {
  if (size < 4) return {};
  uint16_t sides[2];
  std::memcpy(sides, data, 4);
  const scan::Runs runs = scan::read_runs({data + 4, size - 4}, sides[0] + 1, sides[1] + 1);
  return std::to_string(runs.whole) + std::to_string(runs.area);
}

}  // namespace

Outcome scan(Kind kind, const char* data, size_t size, unsigned threads, size_t block) {
  const scan::MemoryInput input(data, size);
  const scan::Options options{threads, block, 16};
  try {
    if (kind == RESULTS) {
      scan::CocoResults found;
      scan_coco_results(input, options, found);
      return {true, columns_of(found)};
    }
    if (kind == TRUTH) {
      scan::CocoTruth found;
      scan_coco_truth(input, options, found);
      return {true, columns_of(found)};
    }
    if (kind == MASKS) return {true, masks(data, size)};
    scan::Predictions found;
    scan_predictions(input, kind == LINES, options, found);
    return {true, columns_of(found)};
  } catch (const scan::Refusal& refusal) {
    return {false, std::to_string(refusal.offset) + " " + refusal.reason + " " + refusal.field + " " + refusal.image};
  }
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto kind = static_cast<fuzz::Kind>(data[0] % fuzz::KINDS);
  const char* text = reinterpret_cast<const char*>(data + 2);
  const fuzz::Outcome whole = fuzz::scan(kind, text, size - 2, 1, 1 << 16);
  const fuzz::Outcome pieces = fuzz::scan(kind, text, size - 2, data[1] % 8 ? 1 : 3, data[1] % 61 + 1u);
  if (whole.accepted != pieces.accepted || whole.bytes != pieces.bytes) {
    std::fprintf(stderr, "kind %d, window %d: %s\nbut whole: %s\n", kind, data[1] % 61 + 1, pieces.bytes.c_str(),
                 whole.bytes.c_str());
    std::abort();
  }
  return 0;
}
