// Products with a matrix of few columns, such as the kernel of a classifier's last layer, in both
// layouts of the other factor. Included once per instruction set with wide registers, after
// kernels.inl.
//
// Every sum runs over k in order, in the same spans, whichever loop computes it and however the rows
// are cut between threads, so that the result depends on neither.

namespace torchkeras {
namespace {

typedef float Strip __attribute__((vector_size(4 * Lanes::kFloats)));  // a register
constexpr int64_t kSpan = 512;  // partial sums over so many terms keep the rounding error small

inline Strip strip_at(const float* from) {
  Strip strip;
  std::memcpy(&strip, from, sizeof strip);
  return strip;
}

// R rows at a time: their sums stay in registers while b is read once. A row of b is read as P
// strips, whose numbers beyond `cols` belong to the next rows; what becomes of them is not written.
// `tail` has copies of the last rows, from `safe` on, behind which no memory is ours.
template <int R, int P>
inline void narrow_rows(const float* a, int64_t a_row, int64_t a_col, const float* b,
                        const float* tail, float* out, int64_t inner, int64_t safe, int64_t cols) {
  constexpr int kWidth = Lanes::kFloats;
  Strip total[R][P] = {};
  for (int64_t start = 0; start < inner; start += kSpan) {
    const int64_t stop = inner - start < kSpan ? inner : start + kSpan;
    const int64_t middle = stop < safe ? stop : safe;
    Strip sum[R][P] = {};
    int64_t k = start;
    for (; k < middle; ++k) {
      Strip row[P];
      for (int p = 0; p < P; ++p) row[p] = strip_at(b + cols * k + p * kWidth);
      for (int r = 0; r < R; ++r) {
        for (int p = 0; p < P; ++p) sum[r][p] += a[r * a_row + k * a_col] * row[p];
      }
    }
    for (; k < stop; ++k) {
      const float* const row = tail + kNarrow * (k - safe);
      for (int r = 0; r < R; ++r) {
        for (int p = 0; p < P; ++p) sum[r][p] += a[r * a_row + k * a_col] * strip_at(row + p * kWidth);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int p = 0; p < P; ++p) total[r][p] += sum[r][p];
    }
  }
  for (int r = 0; r < R; ++r) {
    float numbers[P * kWidth];
    std::memcpy(numbers, total[r], sizeof numbers);
    for (int64_t n = 0; n < cols; ++n) out[r * cols + n] = numbers[n];
  }
}

template <int P>
inline void narrow_blocks(const float* a, int64_t a_row, int64_t a_col, const float* b, float* out,
                          int64_t inner, int64_t cols, int64_t begin, int64_t end) {
  constexpr int R = Lanes::kNarrowRows;
  float tail[kNarrow * kNarrow] = {};
  int64_t safe = inner;
  while (safe > 0 && safe * cols + kNarrow - cols > inner * cols) --safe;
  for (int64_t k = safe; k < inner; ++k) {
    for (int64_t n = 0; n < cols; ++n) tail[kNarrow * (k - safe) + n] = b[cols * k + n];
  }
  int64_t m = begin;
  for (; m + R <= end; m += R) {
    narrow_rows<R, P>(a + m * a_row, a_row, a_col, b, tail, out + m * cols, inner, safe, cols);
  }
  for (; m < end; ++m) {
    narrow_rows<1, P>(a + m * a_row, a_row, a_col, b, tail, out + m * cols, inner, safe, cols);
  }
}

// Where the rows of a lie side by side in memory, as in the transpose of a batch: a strip of rows
// and C columns of out stay in registers while k runs. V is a vector of rows, or one float for the
// last rows, with the same order of sums; J vectors make a strip.
template <class V, int J, int C>
inline void narrow_strip(const float* a, int64_t a_col, const float* b, float* out, int64_t inner,
                         int64_t cols) {
  constexpr int kWidth = sizeof(V) / sizeof(float);
  V total[J][C] = {};
  for (int64_t start = 0; start < inner; start += kSpan) {
    const int64_t stop = inner - start < kSpan ? inner : start + kSpan;
    V sum[J][C] = {};
    for (int64_t k = start; k < stop; ++k) {
      for (int j = 0; j < J; ++j) {
        V rows;
        std::memcpy(&rows, a + k * a_col + j * kWidth, sizeof rows);
        for (int c = 0; c < C; ++c) sum[j][c] += rows * b[k * cols + c];
      }
    }
    for (int j = 0; j < J; ++j) {
      for (int c = 0; c < C; ++c) total[j][c] += sum[j][c];
    }
  }
  for (int j = 0; j < J; ++j) {
    float numbers[C][kWidth];
    for (int c = 0; c < C; ++c) std::memcpy(numbers[c], &total[j][c], sizeof(V));
    for (int r = 0; r < kWidth; ++r) {
      for (int c = 0; c < C; ++c) out[(j * kWidth + r) * cols + c] = numbers[c][r];
    }
  }
}

template <int C>
inline void narrow_columns(const float* a, int64_t a_col, const float* b, float* out,
                           int64_t inner, int64_t cols, int64_t begin, int64_t end) {
  constexpr int kWidth = sizeof(Strip) / sizeof(float);
  constexpr int J = Lanes::kStrips;
  int64_t m = begin;
  for (; m + J * kWidth <= end; m += J * kWidth) {
    narrow_strip<Strip, J, C>(a + m, a_col, b, out + m * cols, inner, cols);
  }
  for (; m + kWidth <= end; m += kWidth) {
    narrow_strip<Strip, 1, C>(a + m, a_col, b, out + m * cols, inner, cols);
  }
  for (; m < end; ++m) narrow_strip<float, 1, C>(a + m, a_col, b, out + m * cols, inner, cols);
}

template <int C>
inline void narrow_group(int64_t count, const float* a, int64_t a_col, const float* b, float* out,
                         int64_t inner, int64_t cols, int64_t begin, int64_t end) {
  if constexpr (C > 1) {
    if (count < C) return narrow_group<C - 1>(count, a, a_col, b, out, inner, cols, begin, end);
  }
  narrow_columns<C>(a, a_col, b, out, inner, cols, begin, end);
}

void matmul_narrow_transposed(const float* a, int64_t a_col, const float* b, float* out,
                              int64_t inner, int64_t cols, int64_t begin, int64_t end) {
  const int64_t groups = (cols + Lanes::kColumns - 1) / Lanes::kColumns;
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t first = cols * group / groups, stop = cols * (group + 1) / groups;
    narrow_group<Lanes::kColumns>(stop - first, a, a_col, b + first, out + first, inner, cols, begin,
                                  end);
  }
}

void matmul_narrow(const float* a, int64_t a_row, int64_t a_col, const float* b, float* out,
                   int64_t inner, int64_t cols, int64_t begin, int64_t end) {
  if (a_row == 1 && a_col != 1) {
    return matmul_narrow_transposed(a, a_col, b, out, inner, cols, begin, end);
  }
  if (cols <= Lanes::kFloats) {
    return narrow_blocks<1>(a, a_row, a_col, b, out, inner, cols, begin, end);
  }
  narrow_blocks<kNarrow / Lanes::kFloats>(a, a_row, a_col, b, out, inner, cols, begin, end);
}

}  // namespace
}  // namespace torchkeras
