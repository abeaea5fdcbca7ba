// Memory of one solver: one allocation, handed out in aligned pieces.
#pragma once

#include <stdint.h>
#include <stdlib.h>

namespace {

constexpr int64_t alignment = 64;  // bytes: a cache line, and the widest vector

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { free(memory_); }

  // Room for that many bytes; the pieces handed out before are void. False where there is no memory.
  bool reserve(int64_t bytes) {
    used_ = 0;
    if (bytes <= size_) return true;
    free(memory_);
    memory_ = nullptr;
    void* fresh = nullptr;
    const bool got = posix_memalign(&fresh, alignment, static_cast<size_t>(bytes)) == 0;
    memory_ = got ? static_cast<char*>(fresh) : nullptr;
    size_ = got ? bytes : 0;
    return got;
  }
  void restart() { used_ = 0; }

  template <class T>
  static int64_t bytes(int64_t count) {
    const int64_t raw = count * static_cast<int64_t>(sizeof(T));
    return (raw + alignment - 1) / alignment * alignment;
  }
  template <class T>
  T* take(int64_t count) {
    T* piece = reinterpret_cast<T*>(memory_ + used_);
    used_ += bytes<T>(count);
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  char* memory_ = nullptr;
  int64_t size_ = 0;
  int64_t used_ = 0;
};

}  // namespace
