// Python's view of the scanner: each function gives a dictionary of columns, or raises RefusedError.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <system_error>

#include "arrays.h"
#include "scan/coco_results.h"
#include "scan/coco_truth.h"
#include "scan/predictions.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// Gives a column's memory to numpy.
template <class T>
nb::object array(scan::Column<T>& column, size_t width = 1) {
  const size_t rows = column.size() / width;
  T* data = column.release();
  nb::capsule owner(data ? static_cast<void*>(data) : std::malloc(1), [](void* p) noexcept { std::free(p); });
  using Array = nb::ndarray<nb::numpy, T>;
  if (width == 1) return nb::cast(Array(data, {rows}, owner), nb::rv_policy::reference);
  return nb::cast(Array(data, {rows, width}, owner), nb::rv_policy::reference);
}

nb::object bytes_array(scan::Column<char>& column) {
  const size_t size = column.size();
  char* data = column.release();
  nb::capsule owner(data ? static_cast<void*>(data) : std::malloc(1), [](void* p) noexcept { std::free(p); });
  return nb::cast(nb::ndarray<nb::numpy, uint8_t>(data, {size}, owner), nb::rv_policy::reference);
}

template <class T>
nb::tuple sparse(scan::Sparse<T>& field, size_t width = 1) {
  return nb::make_tuple(array(field.rows), array(field.values, width));
}

template <class T>
nb::tuple ragged(scan::Ragged<T>& field, size_t width = 1) {
  if constexpr (std::is_same_v<T, char>)
    return nb::make_tuple(array(field.rows), array(field.ends), bytes_array(field.values));
  else
    return nb::make_tuple(array(field.rows), array(field.ends), array(field.values, width));
}

nb::tuple masks(scan::Masks& field) {
  nb::object sizes = array(field.sizes_hw, 2);
  return nb::make_tuple(array(field.counts.rows), array(field.counts.ends), bytes_array(field.counts.values), sizes);
}

// A str a list; the texts are UTF-8, which the scanner has checked.
nb::tuple strings(const scan::Texts& texts) {
  nb::list found;
  int64_t begin = 0;
  for (size_t i = 0; i < texts.ends.size(); begin = texts.ends[i++])
    found.append(nb::str(texts.values.data() + begin, static_cast<size_t>(texts.ends[i] - begin)));
  return nb::tuple(found);
}

nb::bytes raw(const std::string& text) { return nb::bytes(text.data(), text.size()); }

// Runs `work(input)` without the GIL; what is not a regular file is handed over unopened: a pipe is read only once.
template <class Work>
void with_file(const std::filesystem::path& path, Work work) {
  nb::gil_scoped_release released;
  std::error_code unknown;
  if (!std::filesystem::is_regular_file(path, unknown)) throw scan::Refusal{0, "not a regular file", {}, {}, true};
  const scan::FileInput input(path);
  work(input);
}

// The result depends on none of them; a block is at most a gigabyte.
scan::Options options(unsigned threads, size_t block, uint64_t share) {
  return {std::clamp(threads, 1u, 1024u), std::clamp<size_t>(block, 1, size_t{1} << 30), share};
}

nb::dict read_coco_results(const std::filesystem::path& path, unsigned threads, size_t block, uint64_t share) {
  scan::CocoResults found;
  with_file(path, [&](const scan::Input& input) { scan_coco_results(input, options(threads, block, share), found); });
  nb::dict columns;
  columns["image_ids"] = array(found.image_ids);
  columns["category_ids"] = array(found.category_ids);
  columns["scores"] = array(found.scores);
  columns["boxes"] = array(found.boxes, 4);
  columns["masks"] = masks(found.masks);
  columns["keypoints"] = ragged(found.keypoints);
  return columns;
}

nb::dict read_coco_truth(const std::filesystem::path& path, unsigned threads, size_t block, uint64_t share) {
  scan::CocoTruth found;
  with_file(path, [&](const scan::Input& input) { scan_coco_truth(input, options(threads, block, share), found); });
  nb::dict columns;
  columns["keys"] = strings(found.images.keys);
  columns["image_ids"] = array(found.images.ids);
  columns["sizes_wh"] = array(found.images.sizes_wh, 2);
  columns["negative"] = ragged(found.images.negative);
  columns["not_exhaustive"] = ragged(found.images.not_exhaustive);
  columns["category_ids"] = array(found.categories.ids);
  columns["names"] = strings(found.categories.names);
  columns["frequency_rows"] = array(found.categories.frequencies.rows);
  columns["frequencies"] = strings(found.categories.frequencies);
  scan::Annotations& rows = found.annotations;
  columns["any_ids"] = rows.any_ids;
  columns["annotation_ids"] = array(rows.ids);
  columns["annotation_images"] = array(rows.image_ids);
  columns["annotation_categories"] = array(rows.category_ids);
  columns["boxes"] = array(rows.boxes, 4);
  columns["areas"] = array(rows.areas);
  columns["crowd"] = array(rows.crowd);
  columns["states"] = sparse(rows.states);
  columns["keypoints"] = ragged(rows.keypoints);
  columns["masks"] = masks(rows.masks);
  columns["outlines"] = nb::make_tuple(array(rows.outlines.rings.rows), array(rows.outlines.rings.ends),
                                       array(rows.outlines.rings.values), array(rows.outlines.points));
  return columns;
}

nb::dict read_predictions(const std::filesystem::path& path, bool lines, unsigned threads, size_t block,
                          uint64_t share) {
  scan::Predictions found;
  const scan::Options how = options(threads, block, share);
  with_file(path, [&](const scan::Input& input) { scan_predictions(input, lines, how, found); });
  static constexpr const char* shapes[] = {"list", "wrapped", "map", "jsonl"};
  scan::Entries& entries = found.entries;
  scan::Detections& rows = entries.detections;
  nb::dict columns;
  columns["shape"] = shapes[static_cast<int>(found.shape)];
  columns["meta"] = raw(found.meta);
  columns["images"] = strings(entries.images);
  columns["places"] = array(entries.places);
  columns["counts"] = array(entries.counts);
  columns["sizes_wh"] = array(entries.sizes_wh, 2);
  columns["classification"] = ragged(entries.classification);
  columns["semantic_mask"] = ragged(entries.semantic_mask);
  columns["intrinsics"] = ragged(entries.intrinsics);
  columns["preprocess"] = ragged(entries.preprocess);
  columns["image_extra"] = ragged(entries.extra);
  columns["class_ids"] = array(rows.class_ids);
  columns["scores"] = array(rows.scores);
  columns["boxes"] = array(rows.boxes, 4);
  columns["state"] = sparse(rows.states);
  columns["state_scores"] = ragged(rows.state_scores);
  columns["keypoints"] = ragged(rows.keypoints, 4);
  columns["masks"] = masks(rows.masks);
  columns["log_z"] = sparse(rows.log_z);
  columns["rot6d"] = sparse(rows.rot6d, 6);
  columns["R"] = sparse(rows.rotations, 9);
  columns["t"] = sparse(rows.translations, 3);
  columns["offsets"] = sparse(rows.offsets, 2);
  columns["k_delta"] = sparse(rows.k_delta, 4);
  columns["log_sigma_z"] = sparse(rows.log_sigma_z);
  columns["log_sigma_rot"] = sparse(rows.log_sigma_rot);
  columns["extra"] = ragged(rows.extra);
  return columns;
}

using Rows = arrays::In<int64_t, nb::ndim<1>>;

// Which codes are whole, their areas, and the boxes around them.
nb::tuple read_masks(arrays::In<int64_t, nb::ndim<2>> sizes_hw, Rows starts, Rows ends,
                     arrays::In<uint8_t, nb::ndim<1>> text, unsigned threads) {
  const size_t count = starts.shape(0);
  if (sizes_hw.shape(1) != 2 || sizes_hw.shape(0) != count || ends.shape(0) != count)
    throw nb::value_error("sizes, starts and ends of different length");
  scan::Column<uint8_t> whole;
  scan::Numbers areas, boxes;
  {
    nb::gil_scoped_release released;
    const auto* letters = reinterpret_cast<const char*>(text.data());
    const scan::Codes codes{sizes_hw.data(), starts.data(), ends.data(), {letters, text.size()}, count};
    const auto runs = scan::read_codes(codes, options(threads, 1, 1).threads);
    for (size_t i = 0; i < count; ++i) {
      whole.push(runs[i].whole);
      areas.push(runs[i].area);
      boxes.append(runs[i].bounds, 4);
    }
  }
  return nb::make_tuple(array(whole), array(areas), array(boxes, 4));
}

}  // namespace

NB_MODULE(_scanner, m) {
  m.doc() = "JSON straight to columns.";
  static PyObject* refused = PyErr_NewException("anydet_fasteval._scanner.RefusedError", PyExc_ValueError, nullptr);
  m.attr("RefusedError") = nb::borrow(refused);
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const scan::Refusal& r) {
      const auto size = static_cast<Py_ssize_t>(r.image.size());
      nb::object text = nb::steal(PyUnicode_DecodeUTF8(r.image.data(), size, "replace"));
      PyErr_SetObject(refused, nb::make_tuple(r.offset, r.reason, text, r.field, r.unusual).ptr());
    } catch (const std::system_error& e) {
      PyErr_SetObject(PyExc_OSError, nb::make_tuple(e.code().value(), e.code().message()).ptr());
    }
  });
  constexpr size_t block = scan::Options{}.block;
  constexpr uint64_t share = scan::Options{}.smallest_share;
  m.def("read_coco_results", &read_coco_results, "path"_a, "threads"_a = 1, "block"_a = block, "share"_a = share);
  m.def("read_coco_truth", &read_coco_truth, "path"_a, "threads"_a = 1, "block"_a = block, "share"_a = share);
  m.def("read_predictions", &read_predictions, "path"_a, "lines"_a, "threads"_a = 1, "block"_a = block,
        "share"_a = share);
  m.def("read_masks", &read_masks, "sizes_hw"_a, "starts"_a, "ends"_a, "text"_a, "threads"_a = 1);
}
