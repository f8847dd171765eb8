#include "predictions.h"

namespace scan {
namespace {

enum Field {
  IMAGE, IMAGE_SIZE, DETECTIONS, CLASSIFICATION, SEMANTIC_MASK, INTRINSICS, PREPROCESS, EXTRA, IMAGE_ID, CATEGORY_ID
};

Texts* free_field(Entries& entries, size_t key) {
  Texts* fields[] = {&entries.classification, &entries.semantic_mask, &entries.intrinsics, &entries.preprocess,
                     &entries.extra};
  return fields[key - CLASSIFICATION];
}

}  // namespace

void Entries::append(Entries&& other, int64_t place_shift) {
  const auto shift = static_cast<int64_t>(places.size());
  images.append(std::move(other.images), shift);
  places.append_shifted(std::move(other.places), place_shift);
  counts.append(std::move(other.counts));
  sizes_wh.append(std::move(other.sizes_wh));
  classification.append(std::move(other.classification), shift);
  semantic_mask.append(std::move(other.semantic_mask), shift);
  intrinsics.append(std::move(other.intrinsics), shift);
  preprocess.append(std::move(other.preprocess), shift);
  extra.append(std::move(other.extra), shift);
  detections.append(std::move(other.detections));
}

void EntryRows::begin() {
  rows_ = entries.places.size();
  first_detection_ = entries.detections.size();
  in_detections_ = false;
  keys_.start();
}

void EntryRows::discard() {
  entries.images.truncate(rows_);
  entries.places.truncate(rows_);
  entries.counts.truncate(rows_);
  entries.sizes_wh.truncate(2 * rows_);
  for (size_t key = CLASSIFICATION; key <= EXTRA; ++key) {
    Texts& field = *free_field(entries, key);
    size_t kept = field.rows.size();
    while (kept && field.rows[kept - 1] >= static_cast<int64_t>(rows_)) --kept;
    field.truncate(kept);
  }
  entries.detections.truncate(first_detection_);
}

void EntryRows::where(Refusal& refusal) const {
  const Texts& images = entries.images;
  if (images.ends.size() > rows_) {
    const auto begin = static_cast<size_t>(rows_ ? images.ends[rows_ - 1] : 0);
    refusal.image.assign(images.values.data() + begin, static_cast<size_t>(images.ends[rows_]) - begin);
  }
  refusal.field = in_detections_ ? reader_.current() : keys_.current();
}

void EntryRows::read_entry(Cursor& c, int64_t place) {
  int64_t size[2] = {-1, -1};
  const auto row = static_cast<int64_t>(entries.places.size());
  keys_.start();
  object(c, [&] {
    const char* begin = c.p;
    const size_t key = known_key(c, keys_);
    switch (key) {
      case IMAGE: {
        const char* value = c.p;
        text(c, &entries.images.values);
        if (static_cast<int64_t>(entries.images.values.size()) == entries.images.end()) refuse(value, "an empty text");
        entries.images.commit(row);
        break;
      }
      case IMAGE_SIZE:
        size_keys_.start();
        object(c, [&] {
          const size_t side = known_key(c, size_keys_);
          size[side] = between(c, 1, INT_MAX_32);
        });
        need(c, size_keys_, {0, 1});
        break;
      case DETECTIONS:
        in_detections_ = true;
        reader_.read_list(c, entries.detections);
        in_detections_ = false;
        break;
      case IMAGE_ID:
      case CATEGORY_ID:
        if (row == 0 && place == 0) refuse(begin, COCO_RESULTS);
        refuse(begin, "an unknown key");
      default:
        Texts& field = *free_field(entries, key);
        read_object_as_text(c, field.values);
        field.commit(row);
    }
  });
  need(c, keys_, {IMAGE, DETECTIONS});
  entries.places.push(place);
  entries.sizes_wh.append(size);
  entries.counts.push(static_cast<int64_t>(entries.detections.size() - first_detection_));
}

void EntryRows::read_map_entry(Cursor& c, int64_t place) {
  static constexpr int64_t unknown[2] = {-1, -1};
  const char* key = c.p;
  keys_.start();
  text(c, &entries.images.values);
  const auto begin = static_cast<size_t>(entries.images.end());
  const std::string_view image(entries.images.values.data() + begin, entries.images.values.size() - begin);
  if (image.empty() || image == "predictions" || image == "schema_version") hand_over(key, "not a map of images");
  entries.images.commit(static_cast<int64_t>(entries.places.size()));
  c.space();
  c.expect(':', "':' belongs here");
  c.space();
  in_detections_ = true;
  reader_.read_list(c, entries.detections);
  entries.places.push(place);
  entries.sizes_wh.append(unknown);
  entries.counts.push(static_cast<int64_t>(entries.detections.size() - first_detection_));
}

}  // namespace scan
