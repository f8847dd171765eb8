#include "predictions.h"

#include "document.h"

namespace scan {
namespace {

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
  const std::string_view key = std::string_view(start).substr(std::min(start.find('"'), start.size()));
  const bool wraps = key == "\"predictions\"" || key == "\"schema_version\"" || key == "\"meta\"";
  window.unit([&](Cursor& c) {
    if (*c.p == '{') shape = wraps ? Shape::wrapped : Shape::map;
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
