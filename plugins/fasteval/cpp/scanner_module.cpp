#include <nanobind/nanobind.h>

NB_MODULE(_scanner, m) {
  m.doc() = "JSON straight to columns.";
}
