#include <nanobind/nanobind.h>

namespace nb = nanobind;

NB_MODULE(_engine, m) {
  m.doc() = "Matching of detections to ground truth, and precision and recall from it.";
  m.attr("abi") = 1;
}
