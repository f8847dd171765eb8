#include "predictions.h"

#include "document.h"

namespace scan {
namespace {

enum Field { IMAGE, IMAGE_SIZE, DETECTIONS, CLASSIFICATION, SEMANTIC_MASK, INTRINSICS, PREPROCESS, EXTRA, IMAGE_ID, CATEGORY_ID };

Texts* free_field(Entries& entries, size_t key) {
  Texts* fields[] = {&entries.classification, &entries.semantic_mask, &entries.intrinsics, &entries.preprocess,
                     &entries.extra};
  return fields[key - CLASSIFICATION];
}

void append_rows(EntryRows& rows, EntryRows& other) {
  rows.entries.append(std::move(other.entries), static_cast<int64_t>(rows.entries.places.size()));
}

// The rest of a line: whether the file goes on behind it.
bool end_line(Cursor& c) {
  while (*c.p == ' ' || *c.p == '\t' || *c.p == '\r') ++c.p;
  if (c.take('\n')) return true;
  if (!c.at_file_end()) refuse(c.p, "the line should end here");
  return false;
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
  const int64_t begin = entries.images.end();
  const std::string_view image(entries.images.values.data() + begin, entries.images.values.size() - static_cast<size_t>(begin));
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

bool ListRows::scan(Cursor& c) {
  begin();
  read_entry(c, static_cast<int64_t>(entries.places.size()));
  return next_element(c, ']');
}

void ListRows::append(ListRows&& other) { append_rows(*this, other); }

bool MapRows::scan(Cursor& c) {
  begin();
  read_map_entry(c, static_cast<int64_t>(entries.places.size()));
  return next_element(c, '}');
}

void MapRows::append(MapRows&& other) { append_rows(*this, other); }

// One line; behind the one with meta, all that is left of the file, which must be blank.
bool LineRows::scan(Cursor& c) {
  begin();
  const bool was_started = started;
  const int64_t line = lines;
  try {
    const bool further = scan_line(c);
    c.settle();
    return further;
  } catch (const Stop&) {
    started = was_started;
    lines = line;
    meta.clear();
    throw;
  }
}

bool LineRows::scan_line(Cursor& c) {
  ++lines;
  while (*c.p == ' ' || *c.p == '\t' || *c.p == '\r') ++c.p;
  if (*c.p == '\n') {
    ++c.p;
    return true;
  }
  if (c.at_file_end()) return false;
  const char* start = c.p;
  if (!read_special(c)) read_entry(c, lines);
  if (std::memchr(start, '\n', static_cast<size_t>(c.p - start))) refuse(start, "a value that goes over several lines");
  started = true;
  if (!end_line(c)) return false;
  if (meta.empty()) return true;
  while (is_space(*c.p)) ++c.p;
  if (!c.at_file_end()) refuse(c.p, "nothing may follow the line with meta");
  return false;
}

// The header or the footer, if the line is one of them.
bool LineRows::read_special(Cursor& c) {
  const char* start = c.p;
  c.expect('{', "an object belongs here");
  c.space();
  const bool header = take_word(c, "\"schema_version\""), footer = !header && take_word(c, "\"meta\"");
  if (!header && !footer) return c.p = start, false;
  c.space();
  c.expect(':', "':' belongs here");
  c.space();
  if (header) {
    if (started || !first_part) refuse(start, "schema_version belongs on line 1");
    if (integer(c) != 1) refuse(c.p, "not a version that this program knows");
  } else {
    Column<char> raw;
    read_object_as_text(c, raw);
    meta.assign(raw.data(), raw.size());
  }
  c.space();
  c.expect('}', "'}' belongs here");
  return true;
}

void LineRows::append(LineRows&& other) {
  entries.append(std::move(other.entries), lines);
  lines += other.lines;
  started |= other.started;
  meta += other.meta;
}

namespace {

void scan_list(Window& window, const Options& options, Entries& entries) {
  ListRows rows;
  if (open_member_list(window)) scan_sequence(window, rows, first_key(window), options);
  entries = std::move(rows.entries);
}

void scan_version(Cursor& c) {
  const char* begin = c.p;
  if (integer(c) != 1) refuse(begin, "not a version that this program knows");
}

void scan_wrapped(Window& window, const Options& options, Predictions& predictions) {
  Members members(window);
  std::string key;
  bool any = false, version = false;
  while (members.next(key)) {
    if (key == "predictions" && !any) {
      any = true;
      scan_list(window, options, predictions.entries);
    } else if (key == "schema_version" && !version) {
      version = true;
      window.unit(scan_version);
    } else if (key == "meta" && predictions.meta.empty()) {
      window.unit([&](Cursor& c) {
        Column<char> raw;
        if (*c.p != '{') hand_over(c.p, "an image that is called meta");
        read_object_as_text(c, raw);
        predictions.meta.assign(raw.data(), raw.size());
      });
    } else {
      window.unit([](Cursor& c) { hand_over(c.p, "an unknown key, or one that is there twice"); });
    }
  }
  if (!any) window.unit([](Cursor& c) { hand_over(c.p, "no predictions"); });
}

void scan_map(Window& window, const Options& options, Entries& entries) {
  MapRows rows;
  bool any = false;
  window.unit([&](Cursor& c) {
    c.expect('{', "an object belongs here");
    c.space();
    any = !c.take('}');
  });
  if (any) scan_sequence(window, rows, Mark{{}, false}, options);
  entries = std::move(rows.entries);
}

void scan_lines(Window& window, const Options& options, Predictions& predictions) {
  LineRows rows;
  rows.first_part = true;
  scan_sequence(window, rows, Mark{"\n", true}, options);
  if (!rows.started) window.unit([](Cursor& c) { refuse(c.p, "the file is empty"); });
  predictions.entries = std::move(rows.entries);
  predictions.meta = std::move(rows.meta);
}

Shape shape_of(Window& window) {
  window.unit([](Cursor& c) { c.space(); });
  Shape shape = Shape::list;
  const std::string start = first_key(window).text;
  const auto is = [&start](const char* key) { return start.size() >= std::strlen(key) && start.compare(start.size() - std::strlen(key), std::string::npos, key) == 0; };
  window.unit([&](Cursor& c) {
    if (*c.p == '{') shape = is("\"predictions\"") || is("\"schema_version\"") || is("\"meta\"") ? Shape::wrapped : Shape::map;
  });
  return shape;
}

}  // namespace

void scan_predictions(const Input& input, bool lines, const Options& options, Predictions& predictions) {
  Window window(input, 0, options.block);
  predictions.shape = lines ? Shape::lines : shape_of(window);
  switch (predictions.shape) {
    case Shape::lines:
      return scan_lines(window, options, predictions);
    case Shape::list:
      scan_list(window, options, predictions.entries);
      break;
    case Shape::wrapped:
      scan_wrapped(window, options, predictions);
      break;
    case Shape::map:
      scan_map(window, options, predictions.entries);
  }
  expect_end(window);
}

}  // namespace scan
