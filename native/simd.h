// Fixed-width vectors through the vector extensions that GCC and Clang share.
//
// One source serves every instruction set: the width comes from the translation unit that includes it
// (16 bytes baseline and NEON, 32 AVX2, 64 AVX-512) and the compiler turns each operation into one
// instruction of that set. No standard-library template is used in the solver's headers: such code
// would be shared between translation units at link time, and might carry AVX-512 to a CPU
// without it.
#pragma once

#include <stdint.h>

namespace {

template <class T>
struct IndexOf;
template <>
struct IndexOf<float> {
  using type = int32_t;
};
template <>
struct IndexOf<double> {
  using type = int64_t;
};

template <class T, int Bytes>
struct Simd {
  using Index = typename IndexOf<T>::type;
  static constexpr int size = Bytes / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(Bytes)));
  typedef Index Indices __attribute__((vector_size(Bytes)));

  static inline __attribute__((always_inline)) Vector load(const T* from) {
    // A matrix may lie anywhere; on aligned addresses the unaligned load is as fast.
    typedef T Anywhere __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
    return *reinterpret_cast<const Anywhere*>(from);
  }
  static inline __attribute__((always_inline)) void store(T* to, Vector value) {
    *reinterpret_cast<Vector*>(to) = value;  // the destination is aligned
  }
  static inline __attribute__((always_inline)) void store_anywhere(T* to, Vector value) {
    typedef T Anywhere __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias));
    *reinterpret_cast<Anywhere*>(to) = value;
  }
  static inline __attribute__((always_inline)) Vector all(T value) { return value - Vector{}; }
  static inline __attribute__((always_inline)) Indices all_indices(Index value) {
    return value - Indices{};
  }
  // These spellings are the ones that compilers turn into a single max or min instruction.
  static inline __attribute__((always_inline)) Vector max(Vector a, Vector b) { return a > b ? a : b; }
  static inline __attribute__((always_inline)) Vector min(Vector a, Vector b) { return a < b ? a : b; }

  static inline __attribute__((always_inline)) bool any(Indices mask) {
    Index found = 0;
    for (int l = 0; l < size; ++l) found |= mask[l];
    return found != 0;
  }

  // The largest lane, in a few steps.
  template <int Shift = size / 2>
  static inline __attribute__((always_inline)) T highest(Vector v) {
    if constexpr (Shift > 0) {
      return highest<Shift / 2>(max(rotate<Shift>(v), v));
    } else {
      return v[0];
    }
  }

  // Lane l of the result is lane l + Shift of the argument (wrapping round).
  template <int Shift, class Any>
  static inline __attribute__((always_inline)) Any rotate(Any v) {
    if constexpr (size == 2) {
      return __builtin_shufflevector(v, v, 1, 0);
    } else if constexpr (size == 4) {
      return __builtin_shufflevector(v, v, Shift % 4, (Shift + 1) % 4, (Shift + 2) % 4,
                                     (Shift + 3) % 4);
    } else if constexpr (size == 8) {
      return __builtin_shufflevector(v, v, Shift % 8, (Shift + 1) % 8, (Shift + 2) % 8,
                                     (Shift + 3) % 8, (Shift + 4) % 8, (Shift + 5) % 8,
                                     (Shift + 6) % 8, (Shift + 7) % 8);
    } else {
      static_assert(size == 16, "vectors of 2, 4, 8 or 16 lanes");
      return __builtin_shufflevector(
          v, v, Shift % 16, (Shift + 1) % 16, (Shift + 2) % 16, (Shift + 3) % 16, (Shift + 4) % 16,
          (Shift + 5) % 16, (Shift + 6) % 16, (Shift + 7) % 16, (Shift + 8) % 16, (Shift + 9) % 16,
          (Shift + 10) % 16, (Shift + 11) % 16, (Shift + 12) % 16, (Shift + 13) % 16,
          (Shift + 14) % 16, (Shift + 15) % 16);
    }
  }
};

}  // namespace
