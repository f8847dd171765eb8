#include <limits>

#include "predictions.h"

namespace scan {
namespace {

enum Field {
  CLASS_ID, SCORE, BBOX, STATE, STATE_SCORES, MASK, KEYPOINTS, LOG_Z, ROT6D, ROTATION, TRANSLATION, OFFSETS, K_DELTA,
  LOG_SIGMA_Z, LOG_SIGMA_ROT, EXTRA
};

constexpr double NONE = std::numeric_limits<double>::quiet_NaN();

// Calls `f(sparse, numbers a row)` on every pose field.
template <class F>
void each_pose(Detections& rows, F f) {
  f(rows.log_z, 1u);
  f(rows.rot6d, 6u);
  f(rows.rotations, 9u);
  f(rows.translations, 3u);
  f(rows.offsets, 2u);
  f(rows.k_delta, 4u);
  f(rows.log_sigma_z, 1u);
  f(rows.log_sigma_rot, 1u);
}

// How many of these rows, which ascend, are below a row.
size_t below(const Integers& rows, size_t row) {
  const int64_t* begin = rows.data();
  return static_cast<size_t>(std::lower_bound(begin, begin + rows.size(), static_cast<int64_t>(row)) - begin);
}

}  // namespace

void Detections::truncate(size_t rows) {
  class_ids.truncate(rows);
  scores.truncate(rows);
  boxes.truncate(4 * rows);
  states.rows.truncate(below(states.rows, rows));
  states.values.truncate(states.rows.size());
  state_scores.truncate(below(state_scores.rows, rows));
  keypoints.truncate(below(keypoints.rows, rows));
  masks.truncate(below(masks.counts.rows, rows));
  extra.truncate(below(extra.rows, rows));
  each_pose(*this, [&](Sparse<double>& field, size_t width) {
    field.rows.truncate(below(field.rows, rows));
    field.values.truncate(width * field.rows.size());
  });
}

void Detections::append(Detections&& other) {
  const auto shift = static_cast<int64_t>(size());
  class_ids.append(std::move(other.class_ids));
  scores.append(std::move(other.scores));
  boxes.append(std::move(other.boxes));
  states.append(std::move(other.states), shift);
  state_scores.append(std::move(other.state_scores), shift);
  keypoints.append(std::move(other.keypoints), shift);
  masks.append(std::move(other.masks), shift);
  extra.append(std::move(other.extra), shift);
  Sparse<double>* theirs[8];
  size_t i = 0;
  each_pose(other, [&](Sparse<double>& field, size_t) { theirs[i++] = &field; });
  i = 0;
  each_pose(*this, [&](Sparse<double>& field, size_t) { field.append(std::move(*theirs[i++]), shift); });
}

DetectionReader::DetectionReader()
    : keys_({"class_id", "score", "bbox", "state", "state_scores", "mask", "keypoints", "log_z", "rot6d", "R", "t",
             "offsets", "k_delta", "log_sigma_z", "log_sigma_rot", "extra"}) {}

void DetectionReader::read_list(Cursor& c, Detections& rows) {
  keys_.start();
  list(c, [&] { read(c, rows); });
}

void DetectionReader::read(Cursor& c, Detections& rows) {
  const auto row = static_cast<int64_t>(rows.size());
  const auto numbers_of = [&](Sparse<double>& field, int count) {
    double values[6];
    numbers(c, count, values);
    field.rows.push(row);
    field.values.append(values, static_cast<size_t>(count));
  };
  const auto number_of = [&](Sparse<double>& field) {
    field.values.push(number(c));
    field.rows.push(row);
  };
  int64_t class_id = 0, size_hw[2];
  double score = 0, box[4];
  keys_.start();
  object(c, [&] {
    switch (known_key(c, keys_)) {
      case CLASS_ID:
        class_id = between(c, 0, INT_MAX_32);
        break;
      case SCORE:
        score = unit(c);
        break;
      case BBOX:
        read_box(c, box);
        break;
      case STATE:
        rows.states.values.push(between(c, 0, INT_MAX_32));
        rows.states.rows.push(row);
        break;
      case STATE_SCORES:
        list(c, [&] { rows.state_scores.values.push(unit(c)); });
        rows.state_scores.commit(row);
        break;
      case MASK:
        mask_.read(c, rows.masks.counts.values, size_hw);
        rows.masks.commit(row, size_hw);
        break;
      case KEYPOINTS:
        read_keypoints(c, rows.keypoints);
        rows.keypoints.commit(row);
        break;
      case LOG_Z:
        return number_of(rows.log_z);
      case ROT6D:
        return numbers_of(rows.rot6d, 6);
      case ROTATION: {
        double values[9];
        list_of(c, 3, [&](int i) { numbers(c, 3, values + 3 * i); });
        rows.rotations.rows.push(row);
        rows.rotations.values.append(values);
        break;
      }
      case TRANSLATION:
        return numbers_of(rows.translations, 3);
      case OFFSETS:
        return numbers_of(rows.offsets, 2);
      case K_DELTA:
        return numbers_of(rows.k_delta, 4);
      case LOG_SIGMA_Z:
        return number_of(rows.log_sigma_z);
      case LOG_SIGMA_ROT:
        return number_of(rows.log_sigma_rot);
      case EXTRA:
        read_object_as_text(c, rows.extra.values);
        rows.extra.commit(row);
    }
  });
  need(c, keys_, {CLASS_ID, SCORE, BBOX});
  rows.class_ids.push(class_id);
  rows.scores.push(score);
  rows.boxes.append(box);
}

void DetectionReader::read_box(Cursor& c, double (&box)[4]) {
  const auto side = [&](size_t i) { box[i] = i < 2 ? number(c) : non_negative(c); };
  if (*c.p == '[') return list_of(c, 4, [&](int i) { side(static_cast<size_t>(i)); });
  box_keys_.start();
  object(c, [&] { side(known_key(c, box_keys_)); });
  need(c, box_keys_, {0, 1, 2, 3});
}

void DetectionReader::read_keypoints(Cursor& c, Ragged<double>& keypoints) {
  list(c, [&] {
    double point[4] = {0, 0, NONE, -1};
    keypoint_keys_.start();
    object(c, [&] {
      const size_t key = known_key(c, keypoint_keys_);
      point[key] = key < 2 ? number(c) : key == 2 ? unit(c) : static_cast<double>(between(c, 0, 2));
    });
    need(c, keypoint_keys_, {0, 1});
    keypoints.values.append(point);
  });
}

}  // namespace scan
