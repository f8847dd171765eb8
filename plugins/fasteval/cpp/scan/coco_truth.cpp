#include "coco_truth.h"

#include "document.h"

namespace scan {

bool Images::scan(Cursor& c) {
  enum { ID, FILE_NAME, WIDTH, HEIGHT, NEGATIVE, NOT_EXHAUSTIVE };
  const char* begin = c.p;
  int64_t id = 0, size[2] = {0, 0};
  bool stated[2] = {false, false}, lists[2] = {false, false};
  names_.start();
  object(c, [&] {
    const size_t key = names_.next(c);
    switch (key) {
      case ID:
        id = integer(c);
        break;
      case FILE_NAME:
        text(c, &keys.values);
        break;
      case WIDTH:
      case HEIGHT:
        if (take_null(c)) break;
        size[key - WIDTH] = integer(c);
        stated[key - WIDTH] = true;
        break;
      case NEGATIVE:
        lists[0] = !take_null(c);
        if (lists[0]) list(c, [&] { negative.values.push(integer(c)); });
        break;
      case NOT_EXHAUSTIVE:
        lists[1] = !take_null(c);
        if (lists[1]) list(c, [&] { not_exhaustive.values.push(integer(c)); });
        break;
      default:
        skip_value(c);
    }
  });
  need(c, names_, {ID, FILE_NAME});
  if (stated[0] != stated[1] || (stated[0] && (size[0] <= 0 || size[1] <= 0))) refuse(begin, "a size that is no size");
  const auto from = static_cast<size_t>(keys.end());
  if (keys.values.size() == from) refuse(begin, "an empty file_name");
  const bool further = next_element(c, ']');
  std::replace(keys.values.data() + from, keys.values.data() + keys.values.size(), '\\', '/');
  const auto row = static_cast<int64_t>(ids.size());
  if (!stated[0]) size[0] = size[1] = -1;
  ids.push(id);
  sizes_wh.append(size);
  keys.commit(row);
  if (lists[0]) negative.commit(row);
  if (lists[1]) not_exhaustive.commit(row);
  return further;
}

void Images::discard() {
  keys.discard();
  negative.discard();
  not_exhaustive.discard();
}

void Images::where(Refusal& refusal) const { refusal.field = names_.current(); }

void Images::append(Images&& other) {
  const auto shift = static_cast<int64_t>(ids.size());
  ids.append(std::move(other.ids));
  sizes_wh.append(std::move(other.sizes_wh));
  keys.append(std::move(other.keys), shift);
  negative.append(std::move(other.negative), shift);
  not_exhaustive.append(std::move(other.not_exhaustive), shift);
}

bool Categories::scan(Cursor& c) {
  enum { ID, NAME, FREQUENCY };
  int64_t id = 0;
  bool has_frequency = false;
  keys_.start();
  object(c, [&] {
    switch (keys_.next(c)) {
      case ID:
        id = integer(c);
        break;
      case NAME:
        text(c, &names.values);
        break;
      case FREQUENCY:
        has_frequency = !take_null(c);
        if (has_frequency) text(c, &frequencies.values);
        break;
      default:
        skip_value(c);
    }
  });
  need(c, keys_, {ID, NAME});
  const bool further = next_element(c, ']');
  const auto row = static_cast<int64_t>(ids.size());
  ids.push(id);
  names.commit(row);
  if (has_frequency) frequencies.commit(row);
  return further;
}

void Categories::discard() {
  names.discard();
  frequencies.discard();
}

void Categories::where(Refusal& refusal) const { refusal.field = keys_.current(); }

void Categories::append(Categories&& other) {
  const auto shift = static_cast<int64_t>(ids.size());
  ids.append(std::move(other.ids));
  names.append(std::move(other.names), shift);
  frequencies.append(std::move(other.frequencies), shift);
}

namespace {

template <class Rows>
void scan_member(Window& window, Rows& rows, bool& seen, const Options& options) {
  if (seen) window.unit([](Cursor& c) { hand_over(c.p, "a key that is there twice"); });
  seen = true;
  if (open_member_list(window)) scan_sequence(window, rows, first_key(window), options);
}

}  // namespace

void scan_coco_truth(const Input& input, const Options& options, CocoTruth& truth) {
  Window window(input, 0, options.block);
  const Options alone{1, options.block, options.smallest_share};
  bool images = false, annotations = false, categories = false;
  Members members(window);
  std::string key;
  while (members.next(key)) {
    if (key == "images") scan_member(window, truth.images, images, alone);
    else if (key == "annotations") scan_member(window, truth.annotations, annotations, options);
    else if (key == "categories") scan_member(window, truth.categories, categories, alone);
    else skip_member(window);
  }
  if (!images) window.unit([](Cursor& c) { refuse(c.p, "no images: not a COCO annotations file"); });
  expect_end(window);
}

}  // namespace scan
