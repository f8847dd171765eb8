// A COCO annotations file: its images, annotations and categories; what else it has is passed over.
#pragma once

#include "fields.h"
#include "sequence.h"

namespace scan {

struct Images {
  Integers ids, sizes_wh;  // sizes: two a row, -1 where unknown
  Texts keys;              // file_name with unix slashes
  Ragged<int64_t> negative, not_exhaustive;  // LVIS: neg_category_ids, not_exhaustive_category_ids

  bool scan(Cursor& c);
  void discard();
  void where(Refusal& refusal) const;
  void append(Images&& other);

 private:
  Keys<6> names_{{"id", "file_name", "width", "height", "neg_category_ids", "not_exhaustive_category_ids"}};
};

struct Categories {
  Integers ids;
  Texts names, frequencies;  // frequency: LVIS's r, c or f

  bool scan(Cursor& c);
  void discard();
  void where(Refusal& refusal) const;
  void append(Categories&& other);

 private:
  Keys<3> keys_{{"id", "name", "frequency"}};
};

// Rings of the rows that have polygons: `rings` holds where each ring ends in `points`.
struct Outlines {
  Ragged<int64_t> rings;
  Numbers points;

  void append(Outlines&& other, int64_t shift);
  void discard();
};

class Annotations {
 public:
  Integers ids, image_ids, category_ids;  // ids: -1 where there is none
  Numbers boxes, areas;                   // boxes: four a row
  Column<uint8_t> crowd;
  Sparse<int64_t> states;
  Ragged<double> keypoints;  // x, y, visibility of each
  Masks masks;
  Outlines outlines;
  bool any_ids = false;

  bool scan(Cursor& c);
  void discard();
  void where(Refusal& refusal) const;
  void append(Annotations&& other);

 private:
  enum class Kind { none, mask, outline };
  Kind read_segmentation(Cursor& c, int64_t (&size_hw)[2]);
  void read_mask(Cursor& c, int64_t (&size_hw)[2]);
  void read_outline(Cursor& c);
  bool read_keypoints(Cursor& c);
  bool visible_keypoints() const;

  Keys<10> keys_{{"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation", "keypoints", "state",
                  "num_keypoints"}};
  Keys<2> mask_keys_{{"size", "counts"}};
  Integers runs_;
  std::optional<int64_t> image_id_;
};

struct CocoTruth {
  Images images;
  Annotations annotations;
  Categories categories;
};

void scan_coco_truth(const Input& input, const Options& options, CocoTruth& truth);

}  // namespace scan
