// LSTM and GRU over all steps of a sequence. Included once per instruction set with wide registers,
// after kernels.inl.
//
// The rows of a batch do not depend on each other, so a call takes some of them through all steps.
// In a step a strip of units (a register's worth) and some rows have all four sums of each unit in
// registers while the kernels pass by, which lie in memory in that order (`pack_recurrent`); what
// follows from the sums is computed before the next strip. Each sum runs over the inputs in order,
// however the rows are cut between threads.

namespace torchkeras {
namespace {

template <class T>
struct RegisterOf;
template <>
struct RegisterOf<float> {
  typedef float Type __attribute__((vector_size(4 * Lanes::kFloats)));
  static constexpr int kLanes = Lanes::kFloats;
};
template <>
struct RegisterOf<double> {
  typedef double Type __attribute__((vector_size(4 * Lanes::kFloats)));
  static constexpr int kLanes = Lanes::kFloats / 2;
};

template <class T>
inline typename RegisterOf<T>::Type register_at(const T* from) {
  typename RegisterOf<T>::Type numbers;
  std::memcpy(&numbers, from, sizeof numbers);
  return numbers;
}

template <class T>
inline void put(T* to, const T* from, int64_t n) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  if (n == kLanes) {
    std::memcpy(to, from, kLanes * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
  }
}

template <class T>
int64_t strips_of(const Recurrence& r) {
  return (r.units + RegisterOf<T>::kLanes - 1) / RegisterOf<T>::kLanes;
}

// How many rows `rows` are cut into at most `most` at a time, as evenly as can be; and the work on
// each piece, by a function that knows at compile time how many there are.
template <int R, class Work>
inline void with_rows(int64_t count, Work&& work) {
  if constexpr (R > 1) {
    if (count < R) return with_rows<R - 1>(count, work);
  }
  work(std::integral_constant<int, R>());
}

template <int Most, class Work>
inline void in_pieces(int64_t begin, int64_t end, Work&& work) {
  const int64_t rows = end - begin, pieces = (rows + Most - 1) / Most;
  for (int64_t i = 0; i < pieces; ++i) {
    const int64_t first = begin + rows * i / pieces, stop = begin + rows * (i + 1) / pieces;
    with_rows<Most>(stop - first, [&](auto count) { work(count, first); });
  }
}

// The kernels in the order in which they are read. Forward: by strip of units a row of biases, then
// the kernels' rows, each with a register for each of the four sums. Backward: by strip of units of
// the recurrent kernel's columns as rows.
template <class T>
void pack_recurrent_as(const Recurrence& r, const T* kernel, const T* recurrent, const T* bias,
                       T* forward, T* backward) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  const int64_t blocks = r.is_lstm ? 4 : 3, cols = blocks * r.units, strips = strips_of<T>(r);
  // Which block of the kernels a sum takes; a GRU's third sum is of states alone, its fourth of
  // inputs alone.
  const int64_t of_inputs[4] = {0, 1, r.is_lstm ? 2 : -1, r.is_lstm ? 3 : 2};
  const int64_t of_states[4] = {0, 1, 2, r.is_lstm ? 3 : -1};
  const auto number = [&](const T* from, int64_t row, int64_t block, int64_t unit) {
    const bool none = block < 0 || unit >= r.units || from == nullptr;
    return none ? T(0) : from[row * cols + block * r.units + unit];
  };
  for (int64_t s = 0; forward && s < strips; ++s) {
    for (int64_t row = -1; row < r.features + r.units; ++row) {
      for (int sum = 0; sum < 4; ++sum) {
        for (int64_t unit = s * kLanes; unit < (s + 1) * kLanes; ++unit) {
          if (row >= r.features) {
            *forward++ = number(recurrent, row - r.features, of_states[sum], unit);
          } else if (row >= 0) {
            *forward++ = number(kernel, row, of_inputs[sum], unit);
          } else {
            const T second = r.is_lstm ? T(0) : number(bias, 1, of_states[sum], unit);
            *forward++ = number(bias, 0, of_inputs[sum], unit) + second;
          }
        }
      }
    }
  }
  // Strips lie side by side in groups; see `add_gradients`.
  for (int64_t s = 0; backward && s < strips;) {
    const int64_t group = strips - s >= 4 ? 4 : (strips - s >= 2 ? 2 : 1);
    for (int64_t col = 0; col < cols; ++col) {
      for (int64_t unit = s * kLanes; unit < (s + group) * kLanes; ++unit) {
        *backward++ = unit < r.units ? recurrent[unit * cols + col] : T(0);
      }
    }
    s += group;
  }
}

// sums[r] += in[r] @ panel, but for the sum `Without`.
template <class T, int R, int Without>
inline void add_products(const T* in, int64_t stride, const T* panel, int64_t inner,
                         typename RegisterOf<T>::Type (&sums)[R][4]) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  for (int64_t k = 0; k < inner; ++k, panel += 4 * kLanes) {
    typename RegisterOf<T>::Type weights[4];
    for (int g = 0; g < 4; ++g) {
      if (g != Without) weights[g] = register_at(panel + g * kLanes);
    }
    for (int row = 0; row < R; ++row) {
      const T x = in[row * stride + k];
      for (int g = 0; g < 4; ++g) {
        if (g != Without) sums[row][g] += x * weights[g];
      }
    }
  }
}

// Where the numbers of a step lie: of row 0; a row is `*_stride` further.
template <class T>
struct Step {
  const T* in;      // inputs, then the state before
  T* cell;          // of an LSTM, before
  T* next_h;
  T* next_cell;
  T* gates;         // or null
  T* outputs;       // or null
  int64_t time;
  int64_t next_h_stride, outputs_stride;
};

inline bool is_left_out(const Recurrence& r, int64_t row, int64_t time) {
  return r.mask != nullptr && r.mask[row * r.steps + time] == 0;
}

// Whether the output of a step is the state after it, not zero.
inline bool is_shown(const Recurrence& r, int64_t row, int64_t time) {
  if (r.mask == nullptr) return true;
  return r.zero_output ? r.mask[row * r.steps + time] != 0 : time >= r.first[row];
}

// One strip of units of R rows.
template <class T, class Math, bool kLstm, int R>
inline void run_strip(const Recurrence& r, const Step<T>& step, const T* panel, int64_t first,
                      int64_t strip) {
  using A = ActivationOf<T, Math>;
  constexpr int kLanes = RegisterOf<T>::kLanes, n = R * kLanes;
  const int64_t width = input_width(r), unit = strip * kLanes;
  const int64_t count = r.units - unit < kLanes ? r.units - unit : kLanes;
  const T* in = step.in + first * width;
  T z[4][n];
  {
    typename RegisterOf<T>::Type sums[R][4];
    for (int row = 0; row < R; ++row) {
      for (int g = 0; g < 4; ++g) sums[row][g] = register_at(panel + g * kLanes);
    }
    const T* rows = panel + 4 * kLanes;
    add_products<T, R, kLstm ? -1 : 2>(in, width, rows, r.features, sums);
    add_products<T, R, kLstm ? -1 : 3>(in + r.features, width, rows + 4 * kLanes * r.features,
                                       r.units, sums);
    for (int row = 0; row < R; ++row) {
      for (int g = 0; g < 4; ++g) std::memcpy(z[g] + row * kLanes, &sums[row][g], sizeof sums[0][0]);
    }
  }
  T before[n] = {}, h[n], c[n];
  for (int row = 0; row < R; ++row) {
    const T* from = kLstm ? step.cell + (first + row) * r.units : in + row * width + r.features;
    put(before + row * kLanes, from + unit, count);
  }
  for (int i = 0; i < n; ++i) z[0][i] = A::sigmoid(z[0][i]);
  for (int i = 0; i < n; ++i) z[1][i] = A::sigmoid(z[1][i]);
  if constexpr (kLstm) {
    for (int i = 0; i < n; ++i) z[2][i] = A::tanh(z[2][i]);
    for (int i = 0; i < n; ++i) z[3][i] = A::sigmoid(z[3][i]);
    for (int i = 0; i < n; ++i) c[i] = z[1][i] * before[i] + z[0][i] * z[2][i];
    for (int i = 0; i < n; ++i) h[i] = z[3][i] * A::tanh(c[i]);
  } else {
    for (int i = 0; i < n; ++i) z[3][i] = A::tanh(z[3][i] + z[1][i] * z[2][i]);
    for (int i = 0; i < n; ++i) h[i] = z[3][i] + z[0][i] * (before[i] - z[3][i]);
  }
  for (int row = 0; row < R; ++row) {
    const int64_t place = first + row;
    T* const from = h + row * kLanes;
    if (is_left_out(r, place, step.time)) {
      put(from, in + row * width + r.features + unit, count);
      if (kLstm) put(c + row * kLanes, before + row * kLanes, kLanes);
    }
    put(step.next_h + place * step.next_h_stride + unit, from, count);
    if (kLstm) put(step.next_cell + place * r.units + unit, c + row * kLanes, count);
    for (int g = 0; step.gates && g < 4; ++g) {
      put(step.gates + (4 * place + g) * r.units + unit, z[g] + row * kLanes, count);
    }
    if (step.outputs) {
      T* const to = step.outputs + place * step.outputs_stride + unit;
      if (is_shown(r, place, step.time)) {
        put(to, from, count);
      } else {
        for (int64_t i = 0; i < count; ++i) to[i] = T(0);
      }
    }
  }
}

template <class T, class Math, bool kLstm>
void recurrent_forward_as(const Recurrence& r, const RecurrentForward& f, int64_t begin,
                          int64_t end) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  const int64_t width = input_width(r), strips = strips_of<T>(r);
  const int64_t panel_size = 4 * kLanes * (1 + r.features + r.units);
  const int64_t slots = f.gates ? r.steps : 2;
  T* const inputs = static_cast<T*>(f.inputs);
  T* const cells = static_cast<T*>(f.cells);
  const auto inputs_at = [&](int64_t t) { return inputs + t % slots * r.batch * width; };
  const auto cells_at = [&](int64_t t) { return cells + t % slots * r.batch * r.units; };
  for (int64_t row = begin; row < end; ++row) {
    const int64_t size = r.units * sizeof(T);
    std::memcpy(inputs_at(0) + row * width + r.features,
                static_cast<const T*>(f.h) + row * r.units, size);
    if (kLstm) {
      std::memcpy(cells_at(0) + row * r.units, static_cast<const T*>(f.c) + row * r.units, size);
    }
  }
  for (int64_t t = 0; t < r.steps; ++t) {
    for (int64_t row = begin; row < end; ++row) {
      T* const to = inputs_at(t) + row * width;
      const T* from = static_cast<const T*>(f.x) + row * f.x_batch_stride + t * f.x_step_stride;
      // What a step that is left out has is not looked at, NaN neither.
      const bool out = is_left_out(r, row, t);
      for (int64_t i = 0; i < r.features; ++i) to[i] = out ? T(0) : from[i];
      to[width - 1] = T(1);
    }
    const bool last = t + 1 == r.steps;
    Step<T> step;
    step.in = inputs_at(t);
    step.cell = kLstm ? cells_at(t) : nullptr;
    step.next_h = last ? static_cast<T*>(f.last_h) : inputs_at(t + 1) + r.features;
    step.next_h_stride = last ? r.units : width;
    step.next_cell = !kLstm ? nullptr : (last ? static_cast<T*>(f.last_c) : cells_at(t + 1));
    step.gates = f.gates ? static_cast<T*>(f.gates) + t * r.batch * 4 * r.units : nullptr;
    step.outputs = f.outputs ? static_cast<T*>(f.outputs) + t * r.units : nullptr;
    step.outputs_stride = r.steps * r.units;
    step.time = t;
    for (int64_t s = 0; s < strips; ++s) {
      const T* panel = static_cast<const T*>(f.packed) + s * panel_size;
      in_pieces<Lanes::kSums / 4>(begin, end, [&](auto count, int64_t first) {
        run_strip<T, Math, kLstm, decltype(count)::value>(r, step, panel, first, s);
      });
    }
  }
}

// Backward

// Of one row: the gradients of the four sums of each unit; in grad_h, that of the state before as
// far as it does not come through these sums; and in grad_c that of the cell before.
template <class T, class Math>
inline void lstm_gradients(const T* __restrict gates, const T* __restrict cell, T* __restrict sums,
                           T* __restrict grad_h, T* __restrict grad_c, int64_t units) {
  using A = ActivationOf<T, Math>;
  for (int64_t u = 0; u < units; ++u) {
    const T i = gates[u], f = gates[units + u], g = gates[2 * units + u], o = gates[3 * units + u];
    const T active = A::tanh(f * cell[u] + i * g), gh = grad_h[u];
    const T gc = grad_c[u] + gh * o * (T(1) - active * active);
    sums[u] = gc * g * i * (T(1) - i);
    sums[units + u] = gc * cell[u] * f * (T(1) - f);
    sums[2 * units + u] = gc * i * (T(1) - g * g);
    sums[3 * units + u] = gh * active * o * (T(1) - o);
    grad_c[u] = gc * f;
    grad_h[u] = T(0);
  }
}

template <class T>
inline void gru_gradients(const T* __restrict gates, const T* __restrict before,
                          T* __restrict sums, T* __restrict grad_h, int64_t units) {
  for (int64_t u = 0; u < units; ++u) {
    const T z = gates[u], r = gates[units + u], product = gates[2 * units + u];
    const T n = gates[3 * units + u], gh = grad_h[u];
    const T gn = gh * (T(1) - z) * (T(1) - n * n);
    sums[u] = gh * (before[u] - n) * z * (T(1) - z);
    sums[units + u] = gn * product * r * (T(1) - r);
    sums[2 * units + u] = gn * r;
    sums[3 * units + u] = gn;
    grad_h[u] = gh * z;
  }
}

// grad_h += sums @ panel, of R rows and P strips.
template <class T, int R, int P>
inline void add_gradients(const T* sums, int64_t stride, const T* panel, int64_t inner, T* grad_h,
                          int64_t units, int64_t count) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  typename RegisterOf<T>::Type totals[R][P] = {};
  for (int64_t k = 0; k < inner; ++k, panel += P * kLanes) {
    typename RegisterOf<T>::Type weights[P];
    for (int p = 0; p < P; ++p) weights[p] = register_at(panel + p * kLanes);
    for (int row = 0; row < R; ++row) {
      const T x = sums[row * stride + k];
      for (int p = 0; p < P; ++p) totals[row][p] += x * weights[p];
    }
  }
  T numbers[P * kLanes];
  for (int row = 0; row < R; ++row) {
    std::memcpy(numbers, totals[row], sizeof numbers);
    for (int64_t i = 0; i < count; ++i) grad_h[row * units + i] += numbers[i];
  }
}

template <class T, int P>
inline void add_strips(const Recurrence& r, const T* sums, const T* packed, T* grad_h, int64_t strip,
                       int64_t begin, int64_t end) {
  constexpr int kLanes = RegisterOf<T>::kLanes;
  const int64_t inner = (r.is_lstm ? 4 : 3) * r.units, unit = strip * kLanes;
  const int64_t count = r.units - unit < P * kLanes ? r.units - unit : P * kLanes;
  in_pieces<Lanes::kSums / (P == 1 ? 2 : P)>(begin, end, [&](auto rows, int64_t first) {
    add_gradients<T, decltype(rows)::value, P>(sums + first * 4 * r.units, 4 * r.units,
                                               packed + unit * inner, inner,
                                               grad_h + first * r.units + unit, r.units, count);
  });
}

template <class T, class Math, bool kLstm>
void recurrent_backward_as(const Recurrence& r, const RecurrentBackward& b, int64_t begin,
                           int64_t end) {
  const int64_t units = r.units, width = input_width(r), strips = strips_of<T>(r);
  T* const grad_h = static_cast<T*>(b.grad_h);
  T* const grad_c = static_cast<T*>(b.grad_c);
  const T* const packed = static_cast<const T*>(b.packed);
  for (int64_t t = r.steps; t-- > 0;) {
    const T* const inputs = static_cast<const T*>(b.inputs) + t * r.batch * width;
    const T* const gates = static_cast<const T*>(b.gates) + t * r.batch * 4 * units;
    T* const sums = static_cast<T*>(b.sums) + t * r.batch * 4 * units;
    for (int64_t row = begin; row < end; ++row) {
      T* const gh = grad_h + row * units;
      if (b.grad_outputs && is_shown(r, row, t)) {
        const T* from = static_cast<const T*>(b.grad_outputs) + row * b.outputs_batch_stride +
                        t * b.outputs_step_stride;
        for (int64_t u = 0; u < units; ++u) gh[u] += from[u];
      }
      if (is_left_out(r, row, t)) {
        for (int64_t u = 0; u < 4 * units; ++u) sums[4 * units * row + u] = T(0);
      } else if constexpr (kLstm) {
        const T* cell = static_cast<const T*>(b.cells) + (t * r.batch + row) * units;
        lstm_gradients<T, Math>(gates + 4 * units * row, cell, sums + 4 * units * row, gh,
                                grad_c + row * units, units);
      } else {
        gru_gradients<T>(gates + 4 * units * row, inputs + row * width + r.features,
                         sums + 4 * units * row, gh, units);
      }
    }
    for (int64_t s = 0; s < strips;) {
      if (strips - s >= 4) {
        add_strips<T, 4>(r, sums, packed, grad_h, s, begin, end);
        s += 4;
      } else if (strips - s >= 2) {
        add_strips<T, 2>(r, sums, packed, grad_h, s, begin, end);
        s += 2;
      } else {
        add_strips<T, 1>(r, sums, packed, grad_h, s, begin, end);
        s += 1;
      }
    }
  }
}

// By dtype

int64_t recurrent_width(const Recurrence& r) {
  if (r.dtype == DType::kFloat64) return strips_of<double>(r) * RegisterOf<double>::kLanes;
  return strips_of<float>(r) * RegisterOf<float>::kLanes;
}

void pack_recurrent(const Recurrence& r, const void* kernel, const void* recurrent,
                    const void* bias, void* forward, void* backward) {
  const auto pack = [&](auto zero) {
    using T = decltype(zero);
    pack_recurrent_as<T>(r, static_cast<const T*>(kernel), static_cast<const T*>(recurrent),
                         static_cast<const T*>(bias), static_cast<T*>(forward),
                         static_cast<T*>(backward));
  };
  return r.dtype == DType::kFloat64 ? pack(double(0)) : pack(float(0));
}

void recurrent_forward(const Recurrence& r, const RecurrentForward& f, int64_t begin, int64_t end) {
  if (r.dtype == DType::kFloat64) {
    return r.is_lstm ? recurrent_forward_as<double, DoubleMath, true>(r, f, begin, end)
                     : recurrent_forward_as<double, DoubleMath, false>(r, f, begin, end);
  }
  return r.is_lstm ? recurrent_forward_as<float, FloatMath, true>(r, f, begin, end)
                   : recurrent_forward_as<float, FloatMath, false>(r, f, begin, end);
}

void recurrent_backward(const Recurrence& r, const RecurrentBackward& b, int64_t begin,
                        int64_t end) {
  if (r.dtype == DType::kFloat64) {
    return r.is_lstm ? recurrent_backward_as<double, DoubleMath, true>(r, b, begin, end)
                     : recurrent_backward_as<double, DoubleMath, false>(r, b, begin, end);
  }
  return r.is_lstm ? recurrent_backward_as<float, FloatMath, true>(r, b, begin, end)
                   : recurrent_backward_as<float, FloatMath, false>(r, b, begin, end);
}

}  // namespace
}  // namespace torchkeras
