// The elements of a long list, by one thread or several.
//
// A further thread starts where an element seems to begin. Its rows count only if the thread before it arrives at
// exactly that byte between two elements of the same list; else they are thrown away and that thread goes on. So the
// result is that of one thread.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "window.h"

namespace scan {

struct Options {
  unsigned threads = 1;
  size_t block = size_t{1} << 19;
  uint64_t smallest_share = uint64_t{1} << 20;  // bytes below which no thread is worth its start
};

constexpr uint64_t NEVER = UINT64_MAX;

// Where elements may begin: behind a line's end, or where this text (a brace and the first key) stands.
struct Mark {
  std::string text;
  bool behind;
};

// Up to `options.threads` - 1 ascending offsets behind `from`, spread over the input.
std::vector<uint64_t> guess_starts(const Input& input, uint64_t from, const Mark& mark, const Options& options);

enum class End { closed, reached, passed };

// Rows: bool scan(Cursor&) scans an element and what parts it from the next (`next_element`), and says whether there is
// one; discard() undoes a scan that a Stop cut off; where(Refusal&) names what was scanned; append(Rows&&).
inline bool next_element(Cursor& c, char close) {
  const bool further = more(c, close);
  c.settle();
  return further;
}

template <class Rows>
End scan_until(Window& window, Rows& rows, uint64_t until, const std::atomic<bool>& canceled) {
  bool open = true;
  while (open) {
    const uint64_t at = window.offset();
    if (at >= until) return at == until ? End::reached : End::passed;
    if (canceled.load(std::memory_order_relaxed)) return End::passed;
    window.unit([&](Cursor& c) { open = rows.scan(c); }, [&] { rows.discard(); }, [&](Refusal& r) { rows.where(r); });
  }
  return End::closed;
}

template <class Rows>
struct Piece {
  Rows rows;
  std::optional<Window> window;
  End end = End::passed;
  std::exception_ptr problem;
  std::thread thread;
};

template <class Rows>
class Pieces {
 public:
  Pieces(const Input& input, std::vector<uint64_t> starts, size_t block) : starts_(std::move(starts)) {
    // Whatever may fail comes before the first thread, which must be joined.
    for (size_t k = 0; k < starts_.size(); ++k) pieces_.push_back(std::make_unique<Piece<Rows>>());
    for (size_t k = 0; k < starts_.size(); ++k) {
      Piece<Rows>& piece = *pieces_[k];
      const uint64_t from = starts_[k], until = start(k + 1);
      const auto work = [this, &piece, &input, from, until, block] {
        try {
          piece.window.emplace(input, from, block);
          piece.end = scan_until(*piece.window, piece.rows, until, canceled_);
        } catch (...) {
          piece.problem = std::current_exception();
        }
      };
      try {
        piece.thread = std::thread(work);
      } catch (const std::exception&) {  // no thread to be had: the one before goes on through this piece
        starts_.resize(k);
        break;
      }
    }
  }
  ~Pieces() {
    canceled_ = true;
    for (auto& piece : pieces_)
      if (piece && piece->thread.joinable()) piece->thread.join();
  }

  size_t size() const { return starts_.size(); }
  uint64_t start(size_t k) const { return k < starts_.size() ? starts_[k] : NEVER; }
  Piece<Rows>& wait(size_t k) {
    if (pieces_[k]->thread.joinable()) pieces_[k]->thread.join();
    return *pieces_[k];
  }
  const std::atomic<bool>& canceled() const { return never_; }

 private:
  std::vector<uint64_t> starts_;
  std::vector<std::unique_ptr<Piece<Rows>>> pieces_;
  std::atomic<bool> canceled_{false};
  const std::atomic<bool> never_{false};
};

// Scans from the window's place, before an element, to behind the end of the list.
template <class Rows>
void scan_sequence(Window& window, Rows& rows, const Mark& mark, const Options& options) {
  Pieces<Rows> pieces(window.input(), guess_starts(window.input(), window.offset(), mark, options), options.block);
  End end = scan_until(window, rows, pieces.start(0), pieces.canceled());
  for (size_t k = 0; k < pieces.size() && end != End::closed; ++k) {
    if (end == End::reached && window.offset() == pieces.start(k)) {
      Piece<Rows>& piece = pieces.wait(k);
      if (piece.problem) std::rethrow_exception(piece.problem);
      rows.append(std::move(piece.rows));
      window = std::move(*piece.window);
      end = piece.end;
    } else {
      end = scan_until(window, rows, pieces.start(k + 1), pieces.canceled());
    }
  }
}

}  // namespace scan
