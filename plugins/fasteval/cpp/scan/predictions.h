// The contract's predictions: a list of image entries, the same wrapped or in lines, or the legacy map.
#pragma once

#include "fields.h"
#include "sequence.h"

namespace scan {

// Detections of one image after the other. Optional fields are sparse; free data stays raw JSON.
struct Detections {
  Integers class_ids;
  Numbers scores, boxes;  // boxes: four a row as written
  Sparse<int64_t> states;
  Ragged<double> state_scores, keypoints;  // keypoints: x, y, score (NaN), v (-1) of each
  Masks masks;
  Sparse<double> log_z, rot6d, rotations, translations, offsets, k_delta, log_sigma_z, log_sigma_rot;
  Texts extra;

  size_t size() const { return scores.size(); }
  void truncate(size_t rows);
  void append(Detections&& other);
};

class DetectionReader {
 public:
  // The list of detections that starts here, appended to `rows`.
  void read_list(Cursor& c, Detections& rows);
  std::string_view current() const { return keys_.current(); }

 private:
  void read(Cursor& c, Detections& rows);
  void read_box(Cursor& c, double (&box)[4]);
  void read_keypoints(Cursor& c, Ragged<double>& keypoints);

  Keys<16> keys_;
  Keys<4> box_keys_{{"cx", "cy", "w", "h"}}, keypoint_keys_{{"x", "y", "score", "v"}};
  MaskReader mask_;

 public:
  DetectionReader();
};

// Entries, one row an image; what they hold beside detections and size stays raw JSON.
struct Entries {
  Texts images;
  Integers places, counts, sizes_wh;  // sizes: two a row, -1 where unknown
  Texts classification, semantic_mask, intrinsics, preprocess, extra;
  Detections detections;

  void append(Entries&& other, int64_t place_shift);
};

// The kinds of sequences that hold entries. `scan` and the others are what scan_sequence needs of rows.
class EntryRows {
 public:
  Entries entries;
  void discard();
  void where(Refusal& refusal) const;

 protected:
  void begin();
  void read_entry(Cursor& c, int64_t place);
  void read_map_entry(Cursor& c, int64_t place);

 private:
  Keys<10> keys_{{"image", "image_size", "detections", "classification", "semantic_mask", "intrinsics", "preprocess",
                  "extra", "image_id", "category_id"}};
  Keys<2> size_keys_{{"width", "height"}};
  DetectionReader reader_;
  size_t rows_ = 0, first_detection_ = 0;  // what is complete
  bool in_detections_ = false;
};

struct ListRows : EntryRows {
  bool scan(Cursor& c);
  void append(ListRows&& other);
};

struct MapRows : EntryRows {
  bool scan(Cursor& c);
  void append(MapRows&& other);
};

class LineRows : public EntryRows {
 public:
  std::string meta;       // raw JSON of the last line, empty where there is none
  int64_t lines = 0;      // read so far
  bool started = false;   // whether one of them was not blank
  bool first_part = false;  // whether this part starts the file, where the header may stand

  bool scan(Cursor& c);
  void append(LineRows&& other);

 private:
  bool scan_line(Cursor& c);
  bool read_special(Cursor& c);
};

enum class Shape { list, wrapped, map, lines };

struct Predictions {
  Shape shape = Shape::list;
  Entries entries;
  std::string meta;  // raw JSON, empty where there is none
};

// Throws Refusal; one with the reason COCO_RESULTS says that the file is no predictions file but COCO results.
void scan_predictions(const Input& input, bool lines, const Options& options, Predictions& predictions);
inline constexpr char COCO_RESULTS[] = "a COCO result";

}  // namespace scan
