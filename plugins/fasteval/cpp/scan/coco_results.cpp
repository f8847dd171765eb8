#include "coco_results.h"

#include "document.h"

namespace scan {

bool CocoResults::scan(Cursor& c) {
  enum { IMAGE_ID, CATEGORY_ID, BBOX, SCORE, SEGMENTATION, KEYPOINTS, DETECTIONS };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  double score = 0, box[4] = {nan, nan, nan, nan};
  int64_t category_id = 0, size_hw[2];
  image_id_.reset();
  keys_.start();
  object(c, [&] {
    switch (keys_.next(c)) {
      case IMAGE_ID:
        image_id_ = integer(c);
        break;
      case CATEGORY_ID:
        category_id = integer(c);
        break;
      case BBOX:
        numbers(c, 4, box);
        break;
      case SCORE:
        score = number(c);
        break;
      case SEGMENTATION:
        mask_.read(c, masks.counts.values, size_hw);
        break;
      case KEYPOINTS: {
        const char* begin = c.p;
        const size_t before = keypoints.values.size();
        list(c, [&] { keypoints.values.push(number(c)); });
        const size_t count = keypoints.values.size() - before;
        if (count == 0 || count % 3) refuse(begin, "x, y and score of each keypoint belong here");
        break;
      }
      case DETECTIONS:
        hand_over(c.p, "detections in a result");
      default:
        skip_value(c);
    }
  });
  need(c, keys_, {IMAGE_ID, CATEGORY_ID, SCORE});
  if (!keys_.has(BBOX) && !keys_.has(SEGMENTATION) && !keys_.has(KEYPOINTS))
    refuse(c.p, "no bbox, segmentation or keypoints");
  const bool further = next_element(c, ']');
  const auto row = static_cast<int64_t>(scores.size());
  image_ids.push(*image_id_);
  category_ids.push(category_id);
  scores.push(score);
  boxes.append(box);
  if (keys_.has(SEGMENTATION)) masks.commit(row, size_hw);
  if (keys_.has(KEYPOINTS)) keypoints.commit(row);
  return further;
}

void CocoResults::discard() {
  masks.counts.discard();
  keypoints.discard();
}

void CocoResults::where(Refusal& refusal) const {
  if (image_id_) refusal.image = std::to_string(*image_id_);
  refusal.field = keys_.current();
}

void CocoResults::append(CocoResults&& other) {
  const auto shift = static_cast<int64_t>(scores.size());
  image_ids.append(std::move(other.image_ids));
  category_ids.append(std::move(other.category_ids));
  scores.append(std::move(other.scores));
  boxes.append(std::move(other.boxes));
  masks.append(std::move(other.masks), shift);
  keypoints.append(std::move(other.keypoints), shift);
}

void scan_coco_results(const Input& input, const Options& options, CocoResults& results) {
  Window window(input, 0, options.block);
  if (open_list(window)) scan_sequence(window, results, first_key(window), options);
  expect_end(window);
}

}  // namespace scan
