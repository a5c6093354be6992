// The bodies of the CPU kernels. Included once per instruction set, between that set's target
// pragmas, after `struct Lanes` is defined for it; everything here has internal linkage.

namespace torchkeras {
namespace {

// Random bits

// 4 * Lanes::kCount words: kCount consecutive blocks, in memory order.
inline void philox_blocks(uint64_t seed, uint32_t draw, uint64_t first_block, uint32_t* out) {
  constexpr int n = Lanes::kCount, groups = n / 4;
  // Lanes are numbered so that the four words of a block end up side by side by interleaving
  // within groups of four lanes alone: lane 4 g + i is block i * groups + g.
  uint32_t low[n], high[n];
  for (int lane = 0; lane < n; ++lane) {
    const uint64_t block = first_block + (lane & 3) * groups + (lane >> 2);
    low[lane] = static_cast<uint32_t>(block);
    high[lane] = static_cast<uint32_t>(block >> 32);
  }
  using V = typename Lanes::Vector;
  V c0 = Lanes::load(low), c1 = Lanes::load(high), c2 = Lanes::fill(draw), c3 = Lanes::fill(0);
  const V m0 = Lanes::fill(kPhiloxMultiplier0), m1 = Lanes::fill(kPhiloxMultiplier1);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
    V high0, low0, high1, low1;
    Lanes::multiply(c0, m0, high0, low0);
    Lanes::multiply(c2, m1, high1, low1);
    c0 = Lanes::xor3(high1, c1, Lanes::fill(k0));
    c2 = Lanes::xor3(high0, c3, Lanes::fill(k1));
    c1 = low1;
    c3 = low0;
    k0 += kPhiloxKeyStep0;
    k1 += kPhiloxKeyStep1;
  }
  Lanes::store_interleaved(out, c0, c1, c2, c3);
}

void random_halves(uint64_t seed, uint32_t draw, uint64_t first_block, int64_t blocks,
                   uint16_t* out) {
  uint32_t words[4 * Lanes::kCount];
  for (int64_t done = 0; done < blocks; done += Lanes::kCount) {
    philox_blocks(seed, draw, first_block + done, words);
    // Little-endian: the low half of a word comes first.
    std::memcpy(out + kHalvesPerBlock * done, words, sizeof words);
  }
}

// The numbers of the elements [first, first + n) of a tensor, n <= kTile.
struct TileBits {
  uint16_t halves[kTile + kHalvesPerBlock * (Lanes::kCount + 1)];

  const uint16_t* draw(const Dropout& dropout, int64_t first, int64_t n) {
    const int64_t skipped = first % kHalvesPerBlock;
    const int64_t blocks = (skipped + n + kHalvesPerBlock - 1) / kHalvesPerBlock;
    random_halves(dropout.seed, dropout.draw, first / kHalvesPerBlock, blocks, halves);
    return halves + skipped;
  }
};

// Number types: as stored, and as computed with

struct Float32 {
  using Type = float;
  using Compute = float;
  using Math = FloatMath;
  static void read(float* out, const float* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = in[i];
  }
  static void write(float* out, const float* in, int64_t n) { read(out, in, n); }
};

struct Float64 {
  using Type = double;
  using Compute = double;
  using Math = DoubleMath;
  static void read(double* out, const double* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = in[i];
  }
  static void write(double* out, const double* in, int64_t n) { read(out, in, n); }
};

struct BFloat16 {
  using Type = uint16_t;
  using Compute = float;
  using Math = FloatMath;
  static void read(float* out, const uint16_t* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = float_of_bfloat16(in[i]);
  }
  static void write(uint16_t* out, const float* in, int64_t n) {
    for (int64_t i = 0; i < n; ++i) out[i] = bfloat16_of_float(in[i]);
  }
};

struct Float16 {
  using Type = uint16_t;
  using Compute = float;
  using Math = FloatMath;
  static void read(float* out, const uint16_t* in, int64_t n) {
    for (int64_t i = Lanes::widen(out, in, n); i < n; ++i) out[i] = float_of_float16(in[i]);
  }
  static void write(uint16_t* out, const float* in, int64_t n) {
    for (int64_t i = Lanes::narrow(out, in, n); i < n; ++i) out[i] = float16_of_float(in[i]);
  }
};

// A tile's worth of memory to compute in. Where numbers are computed as they are stored that is
// the output itself, and nothing has to be copied.
template <class S>
struct Workspace {
  static constexpr bool kIsOutput = std::is_same_v<typename S::Type, typename S::Compute>;
  typename S::Compute numbers[kIsOutput ? 1 : kTile];

  typename S::Compute* at(typename S::Type* output) {
    if constexpr (kIsOutput) {
      return output;
    } else {
      return numbers;
    }
  }
  void finish(typename S::Type* output, int64_t n) {
    if constexpr (!kIsOutput) S::write(output, numbers, n);
  }

  // n numbers of a tensor that are only read.
  const typename S::Compute* view(const typename S::Type* input, int64_t n) {
    if constexpr (kIsOutput) {
      return input;
    } else {
      S::read(numbers, input, n);
      return numbers;
    }
  }
};

// Loops over a tile

template <class T>
inline void add_tile(T* x, const T* other, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += other[i];
}

template <class T>
inline void drop_tile(T* x, const uint16_t* bits, const Dropout& dropout, int64_t n) {
  const uint32_t threshold = dropout.threshold;
  const T scale = static_cast<T>(dropout.scale);
  for (int64_t i = 0; i < n; ++i) {
    const T scaled = x[i] * scale;
    x[i] = bits[i] >= threshold ? scaled : T(0);
  }
}

template <class T, class F>
inline void map_tile(T* x, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) x[i] = f(x[i]);
}

template <class T, class Math>
inline void activate_tile(Activation activation, T* x, int64_t n) {
  using A = ActivationOf<T, Math>;
  switch (activation) {
    case Activation::kNone: return;
    case Activation::kRelu: return map_tile(x, n, [](T v) { return A::relu(v); });
    case Activation::kSigmoid: return map_tile(x, n, [](T v) { return A::sigmoid(v); });
    case Activation::kTanh: return map_tile(x, n, [](T v) { return A::tanh(v); });
    case Activation::kGelu: return map_tile(x, n, [](T v) { return A::gelu(v); });
    case Activation::kGeluTanh: return map_tile(x, n, [](T v) { return A::gelu_tanh(v); });
    case Activation::kSilu: return map_tile(x, n, [](T v) { return A::silu(v); });
    case Activation::kSoftplus: return map_tile(x, n, [](T v) { return A::softplus(v); });
    case Activation::kElu: return map_tile(x, n, [](T v) { return A::elu(v); });
    case Activation::kLeakyRelu: return map_tile(x, n, [](T v) { return A::leaky_relu(v); });
  }
}

// g *= slope(factor * v), where v is the value (with its dropout's scale on it) or the sum.
template <class T, class F>
inline void chain_tile(T* g, const T* v, T factor, int64_t n, F slope) {
  for (int64_t i = 0; i < n; ++i) g[i] *= slope(v[i] * factor);
}

template <class T, class Math>
inline void differentiate_tile(Activation activation, T* g, const T* v, T factor, int64_t n) {
  using A = ActivationOf<T, Math>;
  switch (activation) {
    case Activation::kNone: return;
    case Activation::kRelu:  // a product would turn an infinite gradient into NaN
      for (int64_t i = 0; i < n; ++i) g[i] = v[i] <= T(0) ? T(0) : g[i];
      return;
    case Activation::kSigmoid:  // as for relu, where 0 says that the element was dropped
      for (int64_t i = 0; i < n; ++i) {
        const T product = g[i] * A::sigmoid_slope(v[i] * factor);
        g[i] = v[i] == T(0) ? T(0) : product;
      }
      return;
    case Activation::kTanh:
      return chain_tile(g, v, factor, n, [](T x) { return A::tanh_slope(x); });
    case Activation::kGelu:
      return chain_tile(g, v, T(1), n, [](T x) { return A::gelu_slope(x); });
    case Activation::kGeluTanh:
      return chain_tile(g, v, T(1), n, [](T x) { return A::gelu_tanh_slope(x); });
    case Activation::kSilu:
      return chain_tile(g, v, T(1), n, [](T x) { return A::silu_slope(x); });
    case Activation::kSoftplus:
      return chain_tile(g, v, factor, n, [](T x) { return A::softplus_slope(x); });
    case Activation::kElu:
      return chain_tile(g, v, factor, n, [](T x) { return A::elu_slope(x); });
    case Activation::kLeakyRelu:
      return chain_tile(g, v, factor, n, [](T x) { return A::leaky_relu_slope(x); });
  }
}

// Tiles

// Where tile `index` of an epilogue lies.
struct Tile {
  int64_t first;   // flat index of its first element
  int64_t n;       // elements
  int64_t column;  // column of its first element; 0 if it consists of whole rows
  Tile(const Epilogue& e, int64_t index) {
    const int64_t per_row = tiles_per_row(e.cols), each = rows_per_tile(e.cols);
    const int64_t row = index / per_row * each;
    column = index % per_row * kTile;
    first = row * e.cols + column;
    const int64_t rows = e.rows - row < each ? e.rows - row : each;
    n = per_row == 1 ? rows * e.cols : (e.cols - column < kTile ? e.cols - column : kTile);
  }
};

template <class S>
void forward_as(const Epilogue& e, const void* z, const void* bias, void* y, void* pre,
                int64_t begin, int64_t end) {
  using T = typename S::Compute;
  using Type = typename S::Type;
  T biases[kTile];
  Workspace<S> workspace;
  TileBits bits;
  const bool whole_rows = tiles_per_row(e.cols) == 1;
  if (bias && whole_rows) {
    S::read(biases, static_cast<const Type*>(bias), e.cols);
    for (int64_t i = e.cols; i < rows_per_tile(e.cols) * e.cols; ++i) biases[i] = biases[i - e.cols];
  }
  for (int64_t index = begin; index < end; ++index) {
    const Tile tile(e, index);
    const Type* in = static_cast<const Type*>(z) + tile.first;
    Type* out = static_cast<Type*>(y) + tile.first;
    T* values = workspace.at(out);
    if (bias && !whole_rows) {
      S::read(biases, static_cast<const Type*>(bias) + tile.column, tile.n);
    }
    if (bias && Workspace<S>::kIsOutput) {  // one pass instead of two
      const T* from = reinterpret_cast<const T*>(in);
      for (int64_t i = 0; i < tile.n; ++i) values[i] = from[i] + biases[i];
    } else {
      S::read(values, in, tile.n);
      if (bias) add_tile(values, biases, tile.n);
    }
    if (pre) S::write(static_cast<Type*>(pre) + tile.first, values, tile.n);
    activate_tile<T, typename S::Math>(e.activation, values, tile.n);
    if (e.dropout.active) {
      drop_tile(values, bits.draw(e.dropout, tile.first, tile.n), e.dropout, tile.n);
    }
    workspace.finish(out, tile.n);
  }
}

template <class S>
void backward_as(const Epilogue& e, const void* gy, const void* y, const void* pre, void* gz,
                 void* column_sums, int64_t begin, int64_t end) {
  using T = typename S::Compute;
  using Type = typename S::Type;
  T sums[kTile];
  Workspace<S> workspace, values;
  TileBits bits;
  const bool from_pre = needs_preactivation(e.activation);
  const bool whole_rows = tiles_per_row(e.cols) == 1;
  const int64_t width = rows_per_tile(e.cols) * e.cols;  // of `sums`, where rows are whole
  T* const columns = static_cast<T*>(column_sums);
  if (columns && whole_rows) {
    for (int64_t i = 0; i < width; ++i) sums[i] = T(0);
  }
  const bool draws = e.dropout.active && !zero_means_no_gradient(e.activation);
  const T scale = static_cast<T>(e.dropout.scale);
  // Undoes the dropout's scale on y.
  const T factor = e.dropout.active && !from_pre && scale != T(0) ? T(1) / scale : T(1);
  for (int64_t index = begin; index < end; ++index) {
    const Tile tile(e, index);
    if (!gz) {
      const T* v = values.view(static_cast<const Type*>(gy) + tile.first, tile.n);
      add_tile(whole_rows ? sums : columns + tile.column, v, tile.n);
      continue;
    }
    Type* out = static_cast<Type*>(gz) + tile.first;
    T* gradients = workspace.at(out);
    S::read(gradients, static_cast<const Type*>(gy) + tile.first, tile.n);
    if (draws) {
      drop_tile(gradients, bits.draw(e.dropout, tile.first, tile.n), e.dropout, tile.n);
    } else if (e.dropout.active) {
      map_tile(gradients, tile.n, [scale](T g) { return g * scale; });
    }
    if (e.activation != Activation::kNone) {
      const void* kept = from_pre ? pre : y;
      const T* v = values.view(static_cast<const Type*>(kept) + tile.first, tile.n);
      differentiate_tile<T, typename S::Math>(e.activation, gradients, v, factor, tile.n);
    }
    workspace.finish(out, tile.n);
    if (columns) add_tile(whole_rows ? sums : columns + tile.column, gradients, tile.n);
  }
  if (columns && whole_rows) {
    for (int64_t i = 0; i < width; i += e.cols) add_tile(columns, sums + i, e.cols);
  }
}

void forward(const Epilogue& e, const void* z, const void* bias, void* y, void* pre, int64_t begin,
             int64_t end) {
  switch (e.dtype) {
    case DType::kFloat32: return forward_as<Float32>(e, z, bias, y, pre, begin, end);
    case DType::kFloat64: return forward_as<Float64>(e, z, bias, y, pre, begin, end);
    case DType::kBFloat16: return forward_as<BFloat16>(e, z, bias, y, pre, begin, end);
    case DType::kFloat16: return forward_as<Float16>(e, z, bias, y, pre, begin, end);
  }
}

void backward(const Epilogue& e, const void* gy, const void* y, const void* pre, void* gz,
              void* sums, int64_t begin, int64_t end) {
  switch (e.dtype) {
    case DType::kFloat32: return backward_as<Float32>(e, gy, y, pre, gz, sums, begin, end);
    case DType::kFloat64: return backward_as<Float64>(e, gy, y, pre, gz, sums, begin, end);
    case DType::kBFloat16: return backward_as<BFloat16>(e, gy, y, pre, gz, sums, begin, end);
    case DType::kFloat16: return backward_as<Float16>(e, gy, y, pre, gz, sums, begin, end);
  }
}

}  // namespace
}  // namespace torchkeras
