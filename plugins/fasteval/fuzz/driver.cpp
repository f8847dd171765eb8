// A fuzzer for machines without libFuzzer: mutates a corpus so many times.
//
//   scan_fuzz RUNS SEED CORPUS [DUMP]        files of CORPUS are documents; some inputs go to DUMP, named by verdict
//   scan_fuzz --prepare CORPUS OUT           the same documents as a corpus of libFuzzer
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "harness.h"

namespace {

namespace fs = std::filesystem;
using std::string;

const std::vector<string> TOKENS = {
    "\"image_id\"", "\"image_id\": \"a\"", "\"category_id\": 1", "\"detections\": []", "\"images\": []",
    "\"annotations\":", "\"meta\": {}", "{\"schema_version\":1}\n", "{\"meta\":{}}\n", "\"bbox\": [0, 0, 1, 1]",
    "\"counts\": [1, 2]", "\"segmentation\": [[0,0,1,0,1,1]]", "1e999", "-1e-999", "123456789012345678901234567890",
    "0.30000000000000004", "9007199254740993", "1e22", "1E-23", "-0", "01", "1.", ".5", "+1", "NaN", "Infinity", "true",
    "null", "\"\\ud83d\\ude00\"", "\"\\ud800\"", "\"\\u12\"", "\"\\q\"", string("\0", 1), "\xFF", "\xED\xA0\x80",
    "\xF0\x9F\x98\x80", "\xC0\x80", "\xEF\xBB\xBF", string(300, '['), string(300, '{'), "[[[[]]]]", ",", ":", "\"", "\\",
    "{", "}", "[", "]", "\n", "\r\n", " "};

constexpr size_t KEPT = 300;  // accepted inputs that go to DUMP

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  size_t below(size_t count) { return count ? random_() % count : 0; }

  void mutate(string& text, const string& other) {
    for (size_t n = 1 + below(4); n > 0; --n) step(text, other);
  }

 private:
  void step(string& text, const string& other) {
    const size_t at = below(text.size() + 1), length = below(1 + std::min<size_t>(text.size() - at, 40));
    switch (below(8)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        return;
      case 1:
        text.insert(at, 1, static_cast<char>(below(256)));
        return;
      case 2:
        text.erase(at, length);
        return;
      case 3:
        text.insert(at, text.substr(at, length));
        return;
      case 4:
        text.insert(at, TOKENS[below(TOKENS.size())]);
        return;
      case 5:
        text.replace(at, length, TOKENS[below(TOKENS.size())]);
        return;
      case 6: {
        const size_t from = below(other.size());
        text.insert(at, other.substr(from, below(200)));
        return;
      }
      default:
        if (below(4) == 0) text.resize(at);
        else text.insert(at, std::to_string(below(SIZE_MAX)));
    }
  }

  std::mt19937_64 random_;
};

string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<string> read_folder(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<string> texts;
  for (const auto& path : paths) texts.push_back(read(path));
  return texts;
}

void write(const fs::path& path, const string& text) { std::ofstream(path, std::ios::binary) << text; }

void prepare(const fs::path& corpus, const fs::path& out) {
  fs::create_directories(out);
  int number = 0;
  for (const string& text : read_folder(corpus))
    for (int kind = 0; kind < fuzz::KINDS; ++kind, ++number)
      write(out / std::to_string(number), string(1, static_cast<char>(kind)) + static_cast<char>(number) + text);
}

// Runs one input; a fault or a difference ends the process, and the input is what was written last.
void run(int kind, size_t window, const string& text) {
  const string input = string(1, static_cast<char>(kind)) + static_cast<char>(window) + text;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

void dump(const fs::path& folder, int kind, size_t number, const string& text) {
  static const char* names[] = {"results", "truth", "predictions", "lines", "masks"};
  const bool accepted = fuzz::scan(static_cast<fuzz::Kind>(kind), text.data(), text.size(), 1, 1 << 16).accepted;
  write(folder / (string(accepted ? "accepted-" : "refused-") + names[kind] + "-" + std::to_string(number)), text);
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 4 && string(arguments[1]) == "--prepare") return prepare(arguments[2], arguments[3]), 0;
  if (count < 4) return std::fputs("scan_fuzz RUNS SEED CORPUS [DUMP]\n", stderr), 2;
  Mutator mutator(std::strtoull(arguments[2], nullptr, 10));
  std::vector<string> pool = read_folder(arguments[3]);
  if (pool.empty()) return std::fputs("no corpus\n", stderr), 2;
  const size_t seeds = pool.size();
  // Runs are counted, not seconds: the same seed tries the same inputs on every machine.
  const size_t wanted = std::strtoull(arguments[1], nullptr, 10);
  size_t accepted = 0;
  for (size_t runs = 0; runs < wanted; ++runs) {
    string text = pool[mutator.below(pool.size())];
    if (runs >= seeds * fuzz::KINDS) mutator.mutate(text, pool[mutator.below(pool.size())]);
    else text = pool[runs / fuzz::KINDS];
    const int kind = static_cast<int>(runs % fuzz::KINDS);
    const size_t window = mutator.below(256);
    if (count > 4) write(fs::path(arguments[4]) / "last", string(1, static_cast<char>(kind)) + static_cast<char>(window) + text);
    run(kind, window, text);
    if (kind == fuzz::MASKS || text.size() > 1 << 14) continue;
    const bool good = fuzz::scan(static_cast<fuzz::Kind>(kind), text.data(), text.size(), 1, 1 << 16).accepted;
    accepted += good;
    if (good && pool.size() < 4 * seeds + 400) pool.push_back(text);
    if (count > 4 && (good ? accepted <= KEPT : runs % 101 == 0)) dump(arguments[4], kind, runs, text);
  }
  std::printf("%zu inputs, %zu accepted\n", wanted, accepted);
  return 0;
}
