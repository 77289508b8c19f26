// Normalisation over the channels of each pixel as custom operators of MindSpore ("aot"), and their
// gradients: of images plane by plane (N, C, H, W), and of channels that lie side by side (..., C).
// Images are cut into pieces that a core's cache holds. What is summed over pieces is summed in
// their order, so that the number of threads changes no digit.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vectors.h"
#include "workers.h"

namespace {

constexpr int64_t kCached = 1 << 14;  // floats of a piece
constexpr int64_t kMostPixels = 256;
constexpr int64_t kRows = 256;  // of pixels with their channels side by side, of a piece

int64_t PixelsOfPiece(int64_t channels) {
  return std::clamp(kCached / channels / kLanes * kLanes, kLanes, kMostPixels);
}

// The mean over the channels of each pixel, and one over the standard deviation.
FOR_EACH_PROCESSOR void Moments(const float *__restrict x, int64_t channels, int64_t stride,
                                int64_t count, float epsilon, float *__restrict mean,
                                float *__restrict inverse) {
  std::fill_n(mean, count, 0.0f);
  std::fill_n(inverse, count, 0.0f);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < count; ++i) mean[i] += x[c * stride + i];
  }
  for (int64_t i = 0; i < count; ++i) mean[i] /= channels;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const float difference = x[c * stride + i] - mean[i];
      inverse[i] += difference * difference;
    }
  }
  for (int64_t i = 0; i < count; ++i) inverse[i] = 1.0f / std::sqrt(inverse[i] / channels + epsilon);
}

FOR_EACH_PROCESSOR void Normalise(const float *__restrict x, const float *__restrict weight,
                                  const float *__restrict bias, int64_t channels, int64_t stride,
                                  int64_t count, const float *__restrict mean,
                                  const float *__restrict inverse, float *__restrict y) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = c * stride + i;
      y[at] = (x[at] - mean[i]) * inverse[i] * weight[c] + bias[c];
    }
  }
}

// Sums over the pixels of dy and of dy times the normalised x, for each channel, and over the
// channels of dy times the weight and of that times the normalised x, for each pixel.
FOR_EACH_PROCESSOR void SumGradients(const float *__restrict dy, const float *__restrict x,
                                     const float *__restrict weight, int64_t channels,
                                     int64_t stride, int64_t count, const float *__restrict mean,
                                     const float *__restrict inverse, float *__restrict plain,
                                     float *__restrict scaled, float *__restrict of_weight,
                                     float *__restrict of_bias) {
  std::fill_n(plain, count, 0.0f);
  std::fill_n(scaled, count, 0.0f);
  for (int64_t c = 0; c < channels; ++c) {
    const float *__restrict from = x + c * stride, *__restrict gradient = dy + c * stride;
    float products[kLanes] = {}, sums[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int64_t at = i + lane;
        const float product = gradient[at] * (from[at] - mean[at]) * inverse[at];
        sums[lane] += gradient[at];
        products[lane] += product;
        plain[at] += gradient[at] * weight[c];
        scaled[at] += product * weight[c];
      }
    }
    for (; i < count; ++i) {
      const float product = gradient[i] * (from[i] - mean[i]) * inverse[i];
      sums[0] += gradient[i];
      products[0] += product;
      plain[i] += gradient[i] * weight[c];
      scaled[i] += product * weight[c];
    }
    of_weight[c] = SumOfLanes(products);
    of_bias[c] = SumOfLanes(sums);
  }
}

FOR_EACH_PROCESSOR void NormaliseGradient(const float *__restrict dy, const float *__restrict x,
                                          const float *__restrict weight, int64_t channels,
                                          int64_t stride, int64_t count,
                                          const float *__restrict mean,
                                          const float *__restrict inverse,
                                          const float *__restrict plain,
                                          const float *__restrict scaled, float *__restrict dx) {
  const float share = 1.0f / channels;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = c * stride + i;
      const float normal = (x[at] - mean[i]) * inverse[i];
      dx[at] = inverse[i] * (dy[at] * weight[c] - share * (plain[i] + normal * scaled[i]));
    }
  }
}

// The pieces of images (N, C, H, W), each some pixels with all their channels.
struct Pieces {
  Pieces(const int64_t *shape)
      : channels(shape[1]),
        pixels(shape[2] * shape[3]),
        size(PixelsOfPiece(channels)),
        of_image((pixels + size - 1) / size),
        count(shape[0] * of_image) {}
  int64_t At(size_t piece) const {
    return piece / of_image * channels * pixels + piece % of_image * size;
  }
  int64_t Length(size_t piece) const {
    return std::min<int64_t>(size, pixels - piece % of_image * size);
  }
  int64_t channels, pixels, size, of_image, count;
};

// Of each piece the gradients of the weights of all channels, and then of their biases.
void SumPieces(const std::vector<float> &sums, int64_t pieces, int64_t channels, float *of_weight,
               float *of_bias) {
  for (int64_t c = 0; c < 2 * channels; ++c) {
    double sum = 0.0;
    for (int64_t piece = 0; piece < pieces; ++piece) sum += sums[piece * 2 * channels + c];
    (c < channels ? of_weight : of_bias)[c % channels] = static_cast<float>(sum);
  }
}

struct RowMoments {
  float mean, inverse;
};

RowMoments MomentsOfRow(const float *x, int64_t channels, float epsilon) {
  const float mean = Sum(x, channels) / channels;
  double squares = 0.0;
  for (int64_t c = 0; c < channels; ++c) squares += (x[c] - mean) * (x[c] - mean);
  return {mean, static_cast<float>(1.0 / std::sqrt(squares / channels + epsilon))};
}

FOR_EACH_PROCESSOR void NormaliseRow(const float *__restrict x, const float *__restrict weight,
                                     const float *__restrict bias, RowMoments of, int64_t channels,
                                     float *__restrict y) {
  for (int64_t c = 0; c < channels; ++c) y[c] = (x[c] - of.mean) * of.inverse * weight[c] + bias[c];
}

// Adds to the gradients of weight and bias.
FOR_EACH_PROCESSOR void DifferentiateRow(const float *__restrict dy, const float *__restrict x,
                                         const float *__restrict weight, RowMoments of,
                                         int64_t channels, float *__restrict dx,
                                         float *__restrict of_weight, float *__restrict of_bias,
                                         float *__restrict normal, float *__restrict scaled) {
  for (int64_t c = 0; c < channels; ++c) {
    normal[c] = (x[c] - of.mean) * of.inverse;
    scaled[c] = dy[c] * weight[c];
    of_weight[c] += dy[c] * normal[c];
    of_bias[c] += dy[c];
  }
  const float mean = Sum(scaled, channels) / channels;
  const float along = Dot(scaled, normal, channels) / channels;
  for (int64_t c = 0; c < channels; ++c) {
    dx[c] = of.inverse * (scaled[c] - mean - normal[c] * along);
  }
}

}  // namespace

extern "C" Operator ChannelNorm, ChannelNormBackward, LayerNorm, LayerNormBackward;

// (x, weight, bias, epsilon) to y
int ChannelNorm(int, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Pieces pieces(shapes[0]);
  return Guarded([&] {
    Together(pieces.count, [&](size_t, size_t piece) {
      float mean[kMostPixels], inverse[kMostPixels];
      const float *x = images[0] + pieces.At(piece);
      const int64_t count = pieces.Length(piece);
      Moments(x, pieces.channels, pieces.pixels, count, *images[3], mean, inverse);
      Normalise(x, images[1], images[2], pieces.channels, pieces.pixels, count, mean, inverse,
                images[4] + pieces.At(piece));
    });
  });
}

// (gradient of y, x, weight, epsilon) to the gradients of x, of the weight and of the bias
int ChannelNormBackward(int, void **tensors, int *, int64_t **shapes, const char **, void *,
                        void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const Pieces pieces(shapes[0]);
  const int64_t channels = pieces.channels;
  return Guarded([&] {
    std::vector<float> sums(pieces.count * 2 * channels);
    Together(pieces.count, [&](size_t, size_t piece) {
      float mean[kMostPixels], inverse[kMostPixels], plain[kMostPixels], scaled[kMostPixels];
      const int64_t at = pieces.At(piece), count = pieces.Length(piece);
      const float *dy = images[0] + at, *x = images[1] + at;
      float *of_weight = &sums[piece * 2 * channels];
      Moments(x, channels, pieces.pixels, count, *images[3], mean, inverse);
      SumGradients(dy, x, images[2], channels, pieces.pixels, count, mean, inverse, plain, scaled,
                   of_weight, of_weight + channels);
      NormaliseGradient(dy, x, images[2], channels, pieces.pixels, count, mean, inverse, plain,
                        scaled, images[4] + at);
    });
    SumPieces(sums, pieces.count, channels, images[5], images[6]);
  });
}

// (x with channels side by side, weight, bias, epsilon) to y
int LayerNorm(int, void **tensors, int *dims, int64_t **shapes, const char **, void *, void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t channels = shapes[1][0];
  const int64_t rows = Size(shapes[0], dims[0]) / channels;
  return Guarded([&] {
    Together((rows + kRows - 1) / kRows, [&](size_t, size_t piece) {
      const int64_t first = piece * kRows;
      for (int64_t row = first; row < std::min(rows, first + kRows); ++row) {
        const float *x = images[0] + row * channels;
        NormaliseRow(x, images[1], images[2], MomentsOfRow(x, channels, *images[3]), channels,
                     images[4] + row * channels);
      }
    });
  });
}

// (gradient of y, x, weight, epsilon) to the gradients of x, of the weight and of the bias
int LayerNormBackward(int, void **tensors, int *dims, int64_t **shapes, const char **, void *,
                      void *) {
  auto **images = reinterpret_cast<float **>(tensors);
  const int64_t channels = shapes[2][0];
  const int64_t rows = Size(shapes[0], dims[0]) / channels, pieces = (rows + kRows - 1) / kRows;
  return Guarded([&] {
    std::vector<float> sums(pieces * 2 * channels);
    Together(pieces, [&](size_t, size_t piece) {
      std::vector<float> normal(channels), scaled(channels);
      const int64_t first = piece * kRows;
      float *of_weight = &sums[piece * 2 * channels];
      for (int64_t row = first; row < std::min(rows, first + kRows); ++row) {
        const int64_t at = row * channels;
        const float *x = images[1] + at;
        DifferentiateRow(images[0] + at, x, images[2], MomentsOfRow(x, channels, *images[3]),
                         channels, images[4] + at, of_weight, of_weight + channels, normal.data(),
                         scaled.data());
      }
    });
    SumPieces(sums, pieces, channels, images[5], images[6]);
  });
}
