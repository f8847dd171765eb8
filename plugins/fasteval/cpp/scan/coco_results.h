// COCO results: a list of {"image_id", "category_id", "score", "bbox" | "segmentation" | "keypoints"}.
#pragma once

#include "fields.h"
#include "sequence.h"

namespace scan {

struct CocoResults {
  Integers image_ids, category_ids;
  Numbers scores, boxes;  // boxes: four a row, NaN where there is none
  Masks masks;
  Ragged<double> keypoints;

  bool scan(Cursor& c);
  void discard();
  void where(Refusal& refusal) const;
  void append(CocoResults&& other);

 private:
  Keys<7> keys_{{"image_id", "category_id", "bbox", "score", "segmentation", "keypoints", "detections"}};
  MaskReader mask_;
  std::optional<int64_t> image_id_;
};

void scan_coco_results(const Input& input, const Options& options, CocoResults& results);

}  // namespace scan
