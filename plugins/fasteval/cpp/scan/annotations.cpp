#include <cmath>
#include <limits>

#include "coco_truth.h"

namespace scan {
namespace {

enum Field { ID, IMAGE_ID, CATEGORY_ID, BBOX, AREA, ISCROWD, SEGMENTATION, KEYPOINTS, STATE, NUM_KEYPOINTS };

constexpr int LONGEST_NUMBER = 7;  // groups of five bits; geometry/masks.py: is_whole

}  // namespace

void Outlines::append(Outlines&& other, int64_t shift) {
  const auto points_before = static_cast<int64_t>(points.size());
  for (size_t i = 0; i < other.rings.values.size(); ++i) other.rings.values[i] += points_before;
  rings.append(std::move(other.rings), shift);
  points.append(std::move(other.points));
}

void Outlines::discard() {
  rings.discard();
  const size_t kept = rings.values.size();
  points.truncate(kept ? static_cast<size_t>(rings.values[kept - 1]) : 0);
}

bool Annotations::scan(Cursor& c) {
  double box[4] = {0, 0, 0, 0}, area = 0;
  int64_t id = -1, category_id = 0, state = -1, size_hw[2] = {0, 0};
  bool is_crowd = false, has_id = false, has_box = false, has_area = false, has_state = false, has_points = false;
  bool counts_none = false;
  Kind kind = Kind::none;
  const char* begin = c.p;
  image_id_.reset();
  keys_.start();
  object(c, [&] {
    const size_t key = keys_.next(c);
    // A null iscrowd is left to the slower reader, which counts it.
    if (key != IMAGE_ID && key != CATEGORY_ID && key != ISCROWD && take_null(c)) return;
    switch (key) {
      case ID:
        id = integer(c);
        has_id = true;
        break;
      case IMAGE_ID:
        image_id_ = integer(c);
        break;
      case CATEGORY_ID:
        category_id = integer(c);
        break;
      case BBOX:
        list_of(c, 4, [&](int i) { box[i] = i < 2 ? number(c) : non_negative(c); });
        has_box = true;
        break;
      case AREA:
        area = non_negative(c);
        has_area = true;
        break;
      case ISCROWD:
        is_crowd = take_word(c, "true") || (!take_word(c, "false") && between(c, 0, 1) != 0);
        break;
      case SEGMENTATION:
        kind = read_segmentation(c, size_hw);
        break;
      case KEYPOINTS:
        has_points = read_keypoints(c);
        break;
      case STATE:
        state = integer(c);
        has_state = true;
        break;
      case NUM_KEYPOINTS:
        counts_none = *c.p == 'f';  // to Python false is 0
        if (*c.p == '0' || (*c.p == '-' && c.p[1] == '0')) counts_none = number(c) == 0;
        else skip_value(c);
        break;
      default:
        skip_value(c);
    }
  });
  need(c, keys_, {IMAGE_ID, CATEGORY_ID});
  if (!has_box) refuse(begin, "no bbox");
  // pycocotools goes by the count, we by the points; whoever reads more slowly says where they contradict each other.
  if (counts_none && has_points && visible_keypoints()) hand_over(begin, "visible keypoints that are not counted");
  if (!has_area) {
    if (!std::isfinite(box[2] * box[3])) refuse(begin, "a box that is too large");
    area = std::numeric_limits<double>::quiet_NaN();  // whoever reads the column sees that the file has none
  }
  const bool further = next_element(c, ']');
  const auto row = static_cast<int64_t>(areas.size());
  any_ids |= has_id;
  ids.push(id);
  image_ids.push(*image_id_);
  category_ids.push(category_id);
  boxes.append(box);
  areas.push(area);
  crowd.push(is_crowd);
  if (kind == Kind::mask) masks.commit(row, size_hw);
  if (kind == Kind::outline) outlines.rings.commit(row);
  if (has_points) keypoints.commit(row);
  if (has_state) {
    states.rows.push(row);
    states.values.push(state);
  }
  return further;
}

Annotations::Kind Annotations::read_segmentation(Cursor& c, int64_t (&size_hw)[2]) {
  if (*c.p == '[') {
    const size_t rings = outlines.rings.values.size();
    read_outline(c);
    return outlines.rings.values.size() > rings ? Kind::outline : Kind::none;
  }
  read_mask(c, size_hw);
  return Kind::mask;
}

void Annotations::read_outline(Cursor& c) {
  Numbers& points = outlines.points;
  list(c, [&] {
    const char* begin = c.p;
    const size_t before = points.size();
    list(c, [&] { points.push(number(c)); });
    const size_t count = points.size() - before;
    if (count == 0) return;
    if (count < 6 || count % 2) refuse(begin, "a polygon needs x and y of at least 3 points");
    outlines.rings.values.push(static_cast<int64_t>(points.size()));
  });
}

void Annotations::read_mask(Cursor& c, int64_t (&size_hw)[2]) {
  Column<char>& counts = masks.counts.values;
  const char* begin = c.p;
  const size_t before = counts.size();
  bool compressed = true;
  mask_keys_.start();
  object(c, [&] {
    switch (mask_keys_.next(c)) {
      case 0:
        return list_of(c, 2, [&](int i) { size_hw[i] = between(c, 1, INT_MAX_32); });
      case 1:
        compressed = *c.p != '[';
        if (compressed) return text(c, &counts);
        runs_.truncate(0);
        return list(c, [&] { runs_.push(between(c, 0, MOST_PIXELS)); });
      default:
        skip_value(c);
    }
  });
  need(c, mask_keys_, {0, 1});
  if (!compressed) {
    RunWriter writer(counts);
    for (size_t i = 0; i < runs_.size(); ++i) writer.write(runs_[i]);
  }
  for (size_t i = before; i < counts.size(); ++i)
    if (counts[i] < '0' || counts[i] > 'o') refuse(begin, "not a run-length code");
  const Runs runs = read_runs({counts.data() + before, counts.size() - before}, size_hw[0], size_hw[1]);
  if (!runs.whole) refuse(begin, "runs that do not add up to the mask's size");
  if (compressed && runs.longest > LONGEST_NUMBER) hand_over(begin, "a run of more than 32 bits");
}

// Whether there are any.
bool Annotations::read_keypoints(Cursor& c) {
  const char* begin = c.p;
  const size_t before = keypoints.values.size();
  list(c, [&] { keypoints.values.push(number(c)); });
  const size_t count = keypoints.values.size() - before;
  bool good = count % 3 == 0;
  for (size_t i = before + 2; good && i < keypoints.values.size(); i += 3) {
    const double visibility = keypoints.values[i];
    good = visibility == 0 || visibility == 1 || visibility == 2;
  }
  if (!good) refuse(begin, "x, y and visibility (0, 1 or 2) of each keypoint belong here");
  return count > 0;
}

// Whether a keypoint that was read since the last row is visible.
bool Annotations::visible_keypoints() const {
  for (size_t i = static_cast<size_t>(keypoints.end()) + 2; i < keypoints.values.size(); i += 3)
    if (keypoints.values[i] > 0) return true;
  return false;
}

void Annotations::discard() {
  masks.counts.discard();
  outlines.discard();
  keypoints.discard();
}

void Annotations::where(Refusal& refusal) const {
  if (image_id_) refusal.image = std::to_string(*image_id_);
  refusal.field = keys_.current();
}

void Annotations::append(Annotations&& other) {
  const auto shift = static_cast<int64_t>(areas.size());
  ids.append(std::move(other.ids));
  image_ids.append(std::move(other.image_ids));
  category_ids.append(std::move(other.category_ids));
  boxes.append(std::move(other.boxes));
  areas.append(std::move(other.areas));
  crowd.append(std::move(other.crowd));
  states.append(std::move(other.states), shift);
  keypoints.append(std::move(other.keypoints), shift);
  masks.append(std::move(other.masks), shift);
  outlines.append(std::move(other.outlines), shift);
  any_ids |= other.any_ids;
}

}  // namespace scan
