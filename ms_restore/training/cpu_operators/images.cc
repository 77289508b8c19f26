// Operators on images as custom operators of MindSpore ("aot"): pixel shuffle, leaky and parametric
// ReLU, 2x2 max pooling, and their gradients. They are bound by memory: each number is read and
// written once.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>

#include "vectors.h"
#include "workers.h"

namespace {

// Between deep (N, C r r, H, W) and wide (N, C, r H, r W).
void Shuffle(float *deep, float *wide, const int64_t *deep_shape, const int64_t *wide_shape,
             bool to_wide) {
  const int64_t rows = deep_shape[2], columns = deep_shape[3], factor = wide_shape[2] / rows;
  Together(wide_shape[0] * wide_shape[1], [=](size_t, size_t plane) {
    float *one = deep + plane * factor * factor * rows * columns;
    for (int64_t down = 0; down < factor; ++down) {
      for (int64_t across = 0; across < factor; ++across) {
        for (int64_t row = 0; row < rows; ++row, one += columns) {
          float *other = wide + ((plane * rows + row) * factor + down) * factor * columns + across;
          for (int64_t i = 0; i < columns; ++i) {
            (to_wide ? other[i * factor] : one[i]) = to_wide ? one[i] : other[i * factor];
          }
        }
      }
    }
  });
}

// Numbers of "from", where "of" is not positive, times the slope.
FOR_EACH_PROCESSOR void LeakPiece(const float *__restrict from, const float *__restrict of,
                                  float slope, float *__restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i] * (of[i] > 0 ? 1.0f : slope);
}

void Leak(const float *from, const float *of, const float *slope, float *to, int64_t count) {
  InPieces(count, [=](int64_t first, int64_t end) {
    LeakPiece(from + first, of + first, *slope, to + first, end - first);
  });
}

// The sum of products of numbers that are not positive, in lanes that a compiler takes at once.
FOR_EACH_PROCESSOR float SumOfLeaked(const float *__restrict of, const float *__restrict with,
                                     int64_t count) {
  float lanes[kLanes] = {}, rest = 0.0f;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += std::min(of[i + lane], 0.0f) * with[i + lane];
    }
  }
  for (; i < count; ++i) rest += std::min(of[i], 0.0f) * with[i];
  return std::accumulate(lanes, lanes + kLanes, rest);
}

// The gradient of the largest of each 2x2 pixels goes to the first that is as large.
FOR_EACH_PROCESSOR void SpreadRow(const float *__restrict above, const float *__restrict below,
                                  const float *__restrict largest,
                                  const float *__restrict gradient, float *__restrict to_above,
                                  float *__restrict to_below, int64_t columns) {
  for (int64_t i = 0; i < columns; ++i) {
    const bool a = above[2 * i] == largest[i], b = above[2 * i + 1] == largest[i];
    const bool c = below[2 * i] == largest[i];
    to_above[2 * i] = a ? gradient[i] : 0.0f;
    to_above[2 * i + 1] = b & !a ? gradient[i] : 0.0f;
    to_below[2 * i] = c & !a & !b ? gradient[i] : 0.0f;
    to_below[2 * i + 1] = a | b | c ? 0.0f : gradient[i];
  }
}

FOR_EACH_PROCESSOR void LargestRow(const float *__restrict above, const float *__restrict below,
                                   float *__restrict largest, int64_t columns) {
  for (int64_t i = 0; i < columns; ++i) {
    largest[i] = std::max(std::max(above[2 * i], above[2 * i + 1]),
                          std::max(below[2 * i], below[2 * i + 1]));
  }
}

// Call with the place of each pooled row, and of the upper one of its two rows.
void ByRows(const int64_t *large, const int64_t *small,
            const std::function<void(int64_t, int64_t)> &work) {
  const int64_t rows = small[2];
  Together(small[0] * small[1], [&](size_t, size_t plane) {
    for (int64_t row = 0; row < rows; ++row) {
      work((plane * rows + row) * small[3], (plane * large[2] + 2 * row) * large[3]);
    }
  });
}

}  // namespace

extern "C" Operator ToWide, ToDeep, Leaky, LeakyBackward, Parametric, ParametricBackward;
extern "C" Operator Pool, PoolBackward;

// (deep) to wide
int ToWide(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  return Guarded([=] { Shuffle(images[0], images[1], shapes[0], shapes[1], true); });
}

// (wide) to deep
int ToDeep(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  return Guarded([=] { Shuffle(images[1], images[0], shapes[1], shapes[0], false); });
}

// (x, slope) to y
int Leaky(int, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t count = Size(shapes[0], dims[0]);
  return Guarded([=] { Leak(images[0], images[0], images[1], images[2], count); });
}

// (gradient of y, slope, y) to the gradient of x
int LeakyBackward(int, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t count = Size(shapes[0], dims[0]);
  return Guarded([=] { Leak(images[0], images[2], images[1], images[3], count); });
}

// (x, a slope for each channel) to y
int Parametric(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t channels = shapes[0][1], pixels = shapes[0][2] * shapes[0][3];
  return Guarded([=] {
    Together(shapes[0][0] * channels, [=](size_t, size_t plane) {
      const float *from = images[0] + plane * pixels;
      LeakPiece(from, from, images[1][plane % channels], images[2] + plane * pixels, pixels);
    });
  });
}

// (gradient of y, slopes, x) to the gradients of x and of the slopes
int ParametricBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *,
                       void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t count = shapes[0][0], channels = shapes[0][1], pixels = shapes[0][2] * shapes[0][3];
  return Guarded([=] {
    Together(channels, [=](size_t, size_t channel) {
      double sum = 0.0;
      for (int64_t image = 0; image < count; ++image) {
        const int64_t at = (image * channels + channel) * pixels;
        const float *gradient = images[0] + at, *of = images[2] + at;
        LeakPiece(gradient, of, images[1][channel], images[3] + at, pixels);
        sum += SumOfLeaked(of, gradient, pixels);
      }
      images[4][channel] = static_cast<float>(sum);
    });
  });
}

// (x) to y
int Pool(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t width = shapes[0][3], columns = shapes[1][3];
  return Guarded([=] {
    ByRows(shapes[0], shapes[1], [=](int64_t small, int64_t large) {
      const float *above = images[0] + large;
      LargestRow(above, above + width, images[1] + small, columns);
    });
  });
}

// (gradient of y, x, y) to the gradient of x
int PoolBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t width = shapes[1][3], columns = shapes[0][3];
  return Guarded([=] {
    if (shapes[1][2] % 2 || width % 2) {  // the last row or column is in no window
      std::fill_n(images[3], Size(shapes[1], 4), 0.0f);
    }
    ByRows(shapes[1], shapes[0], [=](int64_t small, int64_t large) {
      const float *above = images[1] + large;
      float *to = images[3] + large;
      SpreadRow(above, above + width, images[2] + small, images[0] + small, to, to + width,
                columns);
    });
  });
}
