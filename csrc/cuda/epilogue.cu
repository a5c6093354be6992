// The bodies of the CUDA kernels, and how they are launched.
//
// A thread works on chunks of 8 elements: one to four 16-byte vectors, and just one Philox block.
// Where columns matter (a bias, or its gradient) a thread keeps to one set of 8 columns, so that
// the bias is read once and column sums stay in registers; see `Grid`.
#include "epilogue.h"

#include "elements.h"

#if defined(TK_CPU_EMULATE)
#include <cstdlib>
#include <vector>
#endif

namespace torchkeras {
namespace cuda {
namespace {

constexpr int kThreads = 256;  // of a block
constexpr int kLinesPerSum = 4;  // that a thread adds up, at least, before sums go to memory

// How the threads lie over the chunks of a tensor.
//
// Chunks need not begin where rows begin, but their columns repeat: a *line*, the shortest run of
// whole rows that consists of whole chunks, is followed by lines with the same columns in the same
// places. So the tensor is a matrix of `lines` lines with `period` chunks each, only the last line
// may be shorter. A block of threads is `lanes` chunks wide and `height` lines high; `tiles` blocks
// side by side cover a line, and `strips` of them, one below the other, stride over the lines.
struct Grid {
  int64_t elements;
  int64_t chunks;
  int64_t period;
  int lanes;
  int height;
  int64_t tiles;
  int64_t strips;

  // Of the chunk at which a thread begins: its place in the line, and its number in the tensor.
  TK_HD int64_t place(int64_t tile, int thread) const { return tile * lanes + thread % lanes; }
  TK_HD int64_t first(int64_t tile, int64_t strip, int thread) const {
    const bool idle = thread / lanes >= height || place(tile, thread) >= period;
    return idle ? chunks : (strip * height + thread / lanes) * period + place(tile, thread);
  }
  TK_HD int64_t step() const { return strips * height * period; }
  TK_HD int count(int64_t chunk) const {
    const int64_t left = elements - kChunk * chunk;
    return left < kChunk ? static_cast<int>(left) : kChunk;
  }
};

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `cols` is 1 where columns do not matter. A thread gets at least `least` lines, if there are so
// many, and all blocks together fill the device once.
Grid make_grid(int64_t elements, int64_t cols, int64_t least, int64_t blocks) {
  Grid grid{};
  grid.elements = elements;
  grid.chunks = ceil_div(elements, kChunk);
  int64_t common = kChunk;  // greatest common divisor of 8 and cols
  while (cols % common) common /= 2;
  grid.period = cols / common;
  const int64_t lines = ceil_div(grid.chunks, grid.period);
  // Narrow blocks add up more lines by themselves; from 64 chunks on (1 KB) memory does not mind.
  const int64_t widest = kThreads / (lines < 4 ? lines : 4);
  grid.tiles = ceil_div(grid.period, widest);
  grid.lanes = static_cast<int>(ceil_div(grid.period, grid.tiles));
  grid.height = kThreads / grid.lanes;
  const int64_t most = grid.tiles < blocks ? blocks / grid.tiles : 1;
  const int64_t strips = ceil_div(lines, grid.height * least);
  grid.strips = strips < most ? strips : most;
  return grid;
}

// Dropout

struct DeviceDropout {
  Dropout dropout;  // but for the seed and the draw
  const int64_t* seed;
  bool has_draw;

  TK_HD Dropout get() const {
    Dropout result = dropout;
    if (result.active) {
      result.seed = static_cast<uint64_t>(seed[0]);
      result.draw = has_draw ? static_cast<uint32_t>(seed[1]) : 0;
    }
    return result;
  }
};

DeviceDropout dropout_of(const Epilogue& e) {
  const bool active = e.seed && e.rate > 0;
  return {active ? make_dropout(e.rate, 0, 0) : no_dropout(), e.seed, e.has_draw};
}

// Kernels: what each thread does (`each`) and, with shared memory, what it does after all the
// others of its block are done with that (`join`).

// How many blocks a multiprocessor has room for at a time: 64 registers a thread, 128 for float64.
template <class T>
constexpr int kBlocksOf = sizeof(T) == 8 ? 2 : 4;

// Chunks that a thread reads from each of its tensors before it works on them, so that two vectors
// or more are on their way: 32 KB for a multiprocessor. On paper, not measured: of an H200's
// 4.8 TB/s two thirds are reads at most, and with a latency of 800 ns that is 20 KB.
template <class T, int tensors>
constexpr int kInFlight = sizeof(Chunk<T>) * tensors < 32 ? 2 : 1;

template <class T, Activation A>
struct Forward {
  static constexpr int kBlocks = kBlocksOf<T>;
  static constexpr int kShared = 0;
  using C = Compute<T>;

  Grid grid;
  DeviceDropout device_dropout;
  const T* z;
  const T* bias;
  T* y;
  T* pre;
  int64_t cols;
  bool aligned;

  TK_HD void each(int64_t tile, int64_t strip, int thread) const {
    constexpr int n = kInFlight<T, 1>;
    const Dropout dropout = device_dropout.get();
    const C scale = static_cast<C>(dropout.scale);
    const int64_t begin = grid.first(tile, strip, thread), step = grid.step();
    if (begin >= grid.chunks) return;
    C b[kChunk] = {};
    if (bias) {
      int64_t column = kChunk * grid.place(tile, thread) % cols;
      TK_UNROLL
      for (int i = 0; i < kChunk; ++i) {
        b[i] = read(bias[column]);
        column = column + 1 == cols ? 0 : column + 1;
      }
    }
    for (int64_t at = begin; at < grid.chunks; at += n * step) {
      Chunk<T> in[n];
      TK_UNROLL
      for (int k = 0; k < n; ++k) {
        const int64_t chunk = at + k * step;
        if (k == 0 || chunk < grid.chunks) in[k] = load(z, chunk, grid.count(chunk), aligned);
      }
      TK_UNROLL
      for (int k = 0; k < n; ++k) {
        const int64_t chunk = at + k * step;
        if (k > 0 && chunk >= grid.chunks) break;
        const int count = grid.count(chunk);
        C sum[kChunk], value[kChunk];
        Chunk<T> out;
        TK_UNROLL
        for (int i = 0; i < kChunk; ++i) sum[i] = read(in[k].at(i)) + b[i];
        if (pre) {
          out.pack(sum);
          store(out, pre, chunk, count, aligned);
        }
        TK_UNROLL
        for (int i = 0; i < kChunk; ++i) value[i] = activate<A>(sum[i]);
        if (dropout.active) {
          const PhiloxBlock bits = philox(chunk, dropout.draw, dropout.seed);
          TK_UNROLL
          for (int i = 0; i < kChunk; ++i) {
            value[i] = half_of(bits, i) >= dropout.threshold ? value[i] * scale : C(0);
          }
        }
        out.pack(value);
        store(out, y, chunk, count, aligned);
      }
    }
  }
};

template <class T, Activation A>
struct Backward {
  static constexpr int kBlocks = kBlocksOf<T>;
  static constexpr int kShared = kThreads * kChunk;
  static constexpr bool kFromValue = A != Activation::kNone;
  using C = Compute<T>;

  Grid grid;
  DeviceDropout device_dropout;
  const T* gy;
  const T* value;  // y or pre; not read without an activation
  T* gz;
  C* partial;
  C factor;  // undoes the dropout's scale on y
  bool mask_is_value;  // an element of value 0 has no gradient, so no random bits are needed
  bool aligned;

  TK_HD void each(int64_t tile, int64_t strip, int thread, C* shared) const {
    constexpr int n = kInFlight<T, kFromValue ? 2 : 1>;
    const Dropout dropout = device_dropout.get();
    const C scale = static_cast<C>(dropout.scale);
    const int64_t step = grid.step();
    C sum[kChunk] = {};
    for (int64_t at = grid.first(tile, strip, thread); at < grid.chunks; at += n * step) {
      Chunk<T> in[n], values[n];
      TK_UNROLL
      for (int k = 0; k < n; ++k) {
        const int64_t chunk = at + k * step;
        if (k > 0 && chunk >= grid.chunks) break;
        in[k] = load(gy, chunk, grid.count(chunk), aligned);
        if constexpr (kFromValue) values[k] = load(value, chunk, grid.count(chunk), aligned);
      }
      TK_UNROLL
      for (int k = 0; k < n; ++k) {
        const int64_t chunk = at + k * step;
        if (k > 0 && chunk >= grid.chunks) break;
        C g[kChunk];
        TK_UNROLL
        for (int i = 0; i < kChunk; ++i) {
          g[i] = read(in[k].at(i));
          if constexpr (kFromValue) g[i] = chain<A>(g[i], read(values[k].at(i)) * factor);
        }
        if (mask_is_value) {
          if constexpr (kFromValue) {
            TK_UNROLL
            for (int i = 0; i < kChunk; ++i) {
              g[i] = read(values[k].at(i)) == C(0) ? C(0) : g[i] * scale;
            }
          }
        } else if (dropout.active) {
          const PhiloxBlock bits = philox(chunk, dropout.draw, dropout.seed);
          TK_UNROLL
          for (int i = 0; i < kChunk; ++i) {
            g[i] = half_of(bits, i) >= dropout.threshold ? g[i] * scale : C(0);
          }
        }
        // Beyond the tensor's end zeros were read, so g is 0 there.
        TK_UNROLL
        for (int i = 0; i < kChunk; ++i) sum[i] += g[i];
        if (gz) {
          Chunk<T> out;
          out.pack(g);
          store(out, gz, chunk, grid.count(chunk), aligned);
        }
      }
    }
    if (partial) {
      TK_UNROLL
      for (int i = 0; i < kChunk; ++i) shared[kChunk * thread + i] = sum[i];
    }
  }

  // Row `strip` of the partial sums: as wide as a line.
  TK_HD void join(int64_t tile, int64_t strip, int thread, const C* shared) const {
    if (!partial) return;
    const int width = kChunk * grid.lanes;
    for (int i = thread; i < width; i += kThreads) {
      const int64_t column = tile * width + i;
      if (column >= kChunk * grid.period) return;
      C sum = C(0);
      for (int row = 0; row < grid.height; ++row) sum += shared[row * width + i];
      partial[strip * kChunk * grid.period + column] = sum;
    }
  }
};

// Sums over the rows of a matrix. Partial sums are one with the tensor's columns: a line is whole
// rows of the tensor.
template <class T>
struct ColumnSums {
  static constexpr int kBlocks = kBlocksOf<T>;
  static constexpr int kShared = kThreads;
  using C = Compute<T>;

  const C* from;
  T* to;
  int64_t rows;
  int64_t cols;
  int lanes;

  TK_HD void each(int64_t tile, int64_t, int thread, C* shared) const {
    const int64_t column = tile * lanes + thread % lanes;
    const int height = kThreads / lanes;
    C sum = C(0);
    if (column < cols && thread / lanes < height) {
      TK_UNROLL_8
      for (int64_t row = thread / lanes; row < rows; row += height) {
        sum += from[row * cols + column];
      }
    }
    shared[thread] = sum;
  }

  TK_HD void join(int64_t tile, int64_t, int thread, const C* shared) const {
    const int64_t column = tile * lanes + thread;
    if (thread >= lanes || column >= cols) return;
    C sum = C(0);
    for (int i = thread; i < kThreads; i += lanes) sum += shared[i];
    write(sum, to[column]);
  }
};

// Launching

#if defined(TK_CPU_EMULATE)
template <class Kernel>
cudaError_t launch(const Kernel& kernel, int64_t tiles, int64_t strips, cudaStream_t) {
  for (int64_t strip = 0; strip < strips; ++strip) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      if constexpr (Kernel::kShared == 0) {
        for (int thread = 0; thread < kThreads; ++thread) kernel.each(tile, strip, thread);
      } else {
        // What was not written there must not matter.
        std::vector<typename Kernel::C> shared(Kernel::kShared, NAN);
        for (int thread = 0; thread < kThreads; ++thread) {
          kernel.each(tile, strip, thread, shared.data());
        }
        for (int thread = 0; thread < kThreads; ++thread) {
          kernel.join(tile, strip, thread, shared.data());
        }
      }
    }
  }
  return cudaSuccess;
}
#else
template <class Kernel>
__global__ void __launch_bounds__(kThreads, Kernel::kBlocks) run(const Kernel kernel) {
  const int64_t tile = blockIdx.x, strip = blockIdx.y;
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (Kernel::kShared == 0) {
    kernel.each(tile, strip, thread);
  } else {
    __shared__ typename Kernel::C shared[Kernel::kShared];
    kernel.each(tile, strip, thread, shared);
    __syncthreads();
    kernel.join(tile, strip, thread, shared);
  }
}

template <class Kernel>
cudaError_t launch(const Kernel& kernel, int64_t tiles, int64_t strips, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(tiles), static_cast<unsigned>(strips));
  run<<<blocks, kThreads, 0, stream>>>(kernel);
  return cudaGetLastError();
}
#endif

template <class F>
cudaError_t with_dtype(DType dtype, F f) {
  switch (dtype) {
    case DType::kFloat32: return f(float{});
    case DType::kFloat64: return f(double{});
    case DType::kBFloat16: return f(BFloat16{});
    default: return f(Float16{});
  }
}

template <Activation A>
struct Constant {
  static constexpr Activation value = A;
};

template <class F>
cudaError_t with_activation(Activation activation, F f) {
  switch (activation) {
    case Activation::kRelu: return f(Constant<Activation::kRelu>{});
    case Activation::kSigmoid: return f(Constant<Activation::kSigmoid>{});
    case Activation::kTanh: return f(Constant<Activation::kTanh>{});
    case Activation::kGelu: return f(Constant<Activation::kGelu>{});
    case Activation::kGeluTanh: return f(Constant<Activation::kGeluTanh>{});
    case Activation::kSilu: return f(Constant<Activation::kSilu>{});
    case Activation::kSoftplus: return f(Constant<Activation::kSoftplus>{});
    case Activation::kElu: return f(Constant<Activation::kElu>{});
    case Activation::kLeakyRelu: return f(Constant<Activation::kLeakyRelu>{});
    default: return f(Constant<Activation::kNone>{});
  }
}

Grid grid_of_sums(const Epilogue& e) {
  const int blocks = e.dtype == DType::kFloat64 ? kBlocksOf<double> : kBlocksOf<float>;
  return make_grid(e.rows * e.cols, e.cols, kLinesPerSum, int64_t{blocks} * e.multiprocessors);
}

}  // namespace

cudaError_t multiprocessors(int device, int* count) {
#if defined(TK_CPU_EMULATE)
  const char* const wanted = std::getenv("TK_MULTIPROCESSORS");
  *count = wanted ? std::atoi(wanted) : device + 3;
  return cudaSuccess;
#else
  return cudaDeviceGetAttribute(count, cudaDevAttrMultiProcessorCount, device);
#endif
}

cudaError_t forward(const Epilogue& e, const void* z, const void* bias, void* y, void* pre) {
  const int64_t elements = e.rows * e.cols;
  if (elements == 0) return cudaSuccess;
  return with_dtype(e.dtype, [&](auto type) {
    using T = decltype(type);
    return with_activation(e.activation, [&](auto activation) {
      using Kernel = Forward<T, decltype(activation)::value>;
      const int64_t blocks = int64_t{Kernel::kBlocks} * e.multiprocessors;
      const Grid grid = make_grid(elements, bias ? e.cols : 1, 1, blocks);
      const bool aligned = is_aligned(z) && is_aligned(y) && is_aligned(pre);
      const Kernel kernel{grid, dropout_of(e), static_cast<const T*>(z),
                          static_cast<const T*>(bias), static_cast<T*>(y), static_cast<T*>(pre),
                          e.cols, aligned};
      return launch(kernel, grid.tiles, grid.strips, e.stream);
    });
  });
}

int64_t partial_sums(const Epilogue& e) {
  if (e.rows * e.cols == 0) return 0;
  const Grid grid = grid_of_sums(e);
  return grid.strips * kChunk * grid.period;
}

cudaError_t backward(const Epilogue& e, const void* gy, const void* y, const void* pre, void* gz,
                     void* gbias, void* partial) {
  const int64_t elements = e.rows * e.cols;
  const bool from_pre = needs_preactivation(e.activation);
  const void* const value = e.activation == Activation::kNone ? nullptr : from_pre ? pre : y;
  const DeviceDropout dropout = dropout_of(e);
  return with_dtype(e.dtype, [&](auto type) {
    using T = decltype(type);
    using C = Compute<T>;
    Grid grid{};
    if (elements > 0) {
      const cudaError_t error = with_activation(e.activation, [&](auto activation) {
        using Kernel = Backward<T, decltype(activation)::value>;
        const int64_t blocks = int64_t{Kernel::kBlocks} * e.multiprocessors;
        grid = gbias ? grid_of_sums(e) : make_grid(elements, 1, 1, blocks);
        const double scale = dropout.dropout.scale;
        const bool rescale = !from_pre && scale != 0.0;
        const bool mask_is_value = dropout.dropout.active && dropout.dropout.threshold <= 65535u &&
                                   zero_means_no_gradient(e.activation);
        const Kernel kernel{grid, dropout, static_cast<const T*>(gy),
                            static_cast<const T*>(value), static_cast<T*>(gz),
                            gbias ? static_cast<C*>(partial) : nullptr,
                            rescale ? static_cast<C>(1.0 / scale) : C(1), mask_is_value,
                            is_aligned(gy) && is_aligned(value) && is_aligned(gz)};
        return launch(kernel, grid.tiles, grid.strips, e.stream);
      });
      if (error != cudaSuccess) return error;
    }
    if (!gbias || e.cols == 0) return cudaSuccess;
    const int lanes = e.cols < 32 ? static_cast<int>(e.cols) : 32;
    const int64_t rows = grid.strips * kChunk * grid.period / e.cols;
    const ColumnSums<T> sums{static_cast<const C*>(partial), static_cast<T*>(gbias), rows, e.cols,
                             lanes};
    return launch(sums, ceil_div(e.cols, lanes), 1, e.stream);
  });
}

}  // namespace cuda
}  // namespace torchkeras
