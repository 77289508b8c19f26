// Convolutions and their gradients as custom operators of MindSpore ("aot"), by oneDNN.
//
// MindSpore fixes the layouts of a convolution's operands, for which oneDNN has no kernels of its
// own. Here oneDNN chooses the layouts, and the operands are copied to them and back. It is called
// by its C interface, version 3 (https://uxlfoundation.github.io/oneDNN), from the library that
// MindSpore brings: that has no threads of its own, so a batch is cut into parts, one a thread.

#include <dlfcn.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Handle = void *;
using Numbers = std::vector<int64_t>;

// Values of oneDNN's enumerations.
enum Argument {
  kSource = 1, kResult = 17, kWeights = 33,
  kOfSource = 129, kOfResult = 145, kOfWeights = 161,  // gradients
};
constexpr int kAnyLayout = 1, kFloat32 = 3, kCpu = 1, kInOrder = 1, kDirect = 1, kTraining = 64;
constexpr int kAllIsas = 0;
constexpr int kMaxDims = 12;
constexpr int64_t kAlignment = 64;  // bytes
constexpr int64_t kVector = 16;     // floats of AVX-512: channels that a part has at least

struct Operand {
  int argument;
  int query;  // for the layout that oneDNN wants
  int place;  // among the three of the forward convolution, whose shape it has
};

// Two operands and the result.
enum Kind { kForward, kBackwardData, kBackwardWeights };
const std::vector<Operand> kOperands[] = {
    {{kSource, 129, 0}, {kWeights, 131, 1}, {kResult, 133, 2}},
    {{kOfResult, 134, 2}, {kWeights, 131, 1}, {kOfSource, 130, 0}},
    {{kSource, 129, 0}, {kOfResult, 134, 2}, {kOfWeights, 132, 1}},
};

struct Dims {
  int64_t values[kMaxDims] = {};
  explicit Dims(const Numbers &numbers) { std::copy(numbers.begin(), numbers.end(), values); }
};

struct Bound {
  int argument;
  Handle memory;
};

Handle library = nullptr;
Handle engine = nullptr;

template <typename Result = int, typename... Arguments>
Result Ask(const char *name, Arguments... arguments) {
  auto function = reinterpret_cast<Result (*)(Arguments...)>(dlsym(library, name));
  if (function == nullptr) throw std::runtime_error(std::string("oneDNN has no ") + name);
  return function(arguments...);
}

template <typename... Arguments>
void Call(const char *name, Arguments... arguments) {
  if (int status = Ask(name, arguments...)) {
    throw std::runtime_error(std::string(name) + " failed with status " + std::to_string(status));
  }
}

template <typename... Arguments>
Handle Make(const char *name, Arguments... arguments) {
  Handle made = nullptr;
  Call(name, &made, arguments...);
  return made;
}

// A part of a tensor (N, C, H, W), strides in floats.
struct Part {
  float *data;
  Numbers shape;
  Numbers strides;

  Part(float *all, const int64_t *sizes) : data(all), shape(sizes, sizes + 4) {
    strides = {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1};
  }
  Part Cut(int axis, int64_t first, int64_t end) const {
    Part part = *this;
    part.data += first * strides[axis];
    part.shape[axis] = end - first;
    return part;
  }
};

// One convolution of given shapes, of one thread.
class Plan {
 public:
  Plan(Kind kind, const std::vector<Part> &parts, const Numbers &windows) {
    const auto &operands = kOperands[kind];
    Handle forward_layouts[3];
    for (int i = 0; i < 3; ++i) {
      Dims shape(parts[i].shape);
      forward_layouts[operands[i].place] =
          Make("dnnl_memory_desc_create_with_tag", 4, shape.values, kFloat32, kAnyLayout);
    }
    const auto [source, weights, result] = forward_layouts;
    Dims stride({windows[0], windows[1]}), dilation({0, 0});
    Dims before({windows[2], windows[4]}), after({windows[3], windows[5]});
    const Handle none = nullptr;
    Handle description = Make("dnnl_convolution_forward_primitive_desc_create", engine, kTraining,
                              kDirect, source, weights, none, result, stride.values,
                              dilation.values, before.values, after.values, none);
    if (kind == kBackwardData) {
      description = Make("dnnl_convolution_backward_data_primitive_desc_create", engine, kDirect,
                         source, weights, result, stride.values, dilation.values, before.values,
                         after.values, description, none);
    } else if (kind == kBackwardWeights) {
      description = Make("dnnl_convolution_backward_weights_primitive_desc_create", engine, kDirect,
                         source, weights, none, result, stride.values, dilation.values,
                         before.values, after.values, description, none);
    }
    std::vector<Step> last;
    std::vector<Bound> bound;
    for (int i = 0; i < 3; ++i) {
      Dims shape(parts[i].shape), strides(parts[i].strides);
      Handle given = Make("dnnl_memory_desc_create_with_strides", 4, shape.values, kFloat32,
                          strides.values);
      Handle wanted = Ask<Handle>("dnnl_primitive_desc_query_md", description,
                                  operands[i].query, 0);
      Handle memory = Make("dnnl_memory_create", given, engine, none);
      given_.push_back(memory);
      if (!Ask("dnnl_memory_desc_equal", given, wanted)) {
        const bool is_result = i == 2;
        Handle other = Make("dnnl_memory_create", wanted, engine, none);
        wanted_.emplace_back(other, scratch_);
        const auto size = static_cast<int64_t>(Ask<size_t>("dnnl_memory_desc_get_size", wanted));
        scratch_ += (size + kAlignment - 1) / kAlignment * kAlignment;
        Handle from = is_result ? wanted : given, to = is_result ? given : wanted;
        Handle copying = Make("dnnl_reorder_primitive_desc_create", from, engine, to, engine, none);
        Step copy{Make("dnnl_primitive_create", copying),
                  {{kSource, is_result ? other : memory}, {kResult, is_result ? memory : other}}};
        (is_result ? last : steps_).push_back(copy);
        memory = other;
      }
      bound.push_back({operands[i].argument, memory});
    }
    steps_.push_back({Make("dnnl_primitive_create", description), bound});
    steps_.insert(steps_.end(), last.begin(), last.end());
  }

  void Run(Handle stream, std::vector<char> *scratch, const std::vector<Part> &parts) {
    const auto size = static_cast<size_t>(scratch_ + kAlignment);
    if (scratch->size() < size) *scratch = std::vector<char>(size);
    const auto beyond = reinterpret_cast<uintptr_t>(scratch->data()) % kAlignment;
    char *start = scratch->data() + kAlignment - beyond;
    for (size_t i = 0; i < given_.size(); ++i) {
      Call("dnnl_memory_set_data_handle", given_[i], static_cast<void *>(parts[i].data));
    }
    for (auto [memory, offset] : wanted_) {
      Call("dnnl_memory_set_data_handle", memory, static_cast<void *>(start + offset));
    }
    for (const Step &step : steps_) {
      const auto count = static_cast<int>(step.bound.size());
      Call("dnnl_primitive_execute", step.primitive, stream, count, step.bound.data());
    }
  }

 private:
  struct Step {
    Handle primitive;
    std::vector<Bound> bound;
  };
  std::vector<Handle> given_;                       // memory in MindSpore's layout,
  std::vector<std::pair<Handle, int64_t>> wanted_;  // and in oneDNN's, with its place in the scratch
  std::vector<Step> steps_;
  int64_t scratch_ = 0;  // bytes
};

// A thread that does one thing at a time.
class Worker {
 public:
  Worker() : stream_(Make("dnnl_stream_create", engine, kInOrder)) {
    std::thread([this] { Loop(); }).detach();
  }
  void Convolve(Kind kind, const std::vector<Part> &parts, const Numbers &windows) {
    Numbers key{kind};
    key.insert(key.end(), windows.begin(), windows.end());
    for (const Part &part : parts) {
      key.insert(key.end(), part.shape.begin(), part.shape.end());
      key.insert(key.end(), part.strides.begin(), part.strides.end());
    }
    auto &plan = plans_[key];
    if (!plan) plan = std::make_unique<Plan>(kind, parts, windows);
    plan->Run(stream_, &scratch_, parts);
  }
  void Start(std::function<void()> work) {
    std::lock_guard<std::mutex> lock(mutex_);
    work_ = std::move(work);
    changed_.notify_all();
  }
  std::exception_ptr Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !work_; });
    return std::exchange(failure_, nullptr);
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return static_cast<bool>(work_); });
      try {
        work_();
      } catch (...) {
        failure_ = std::current_exception();
      }
      work_ = nullptr;
      changed_.notify_all();
    }
  }
  Handle stream_;
  std::vector<char> scratch_;
  std::map<Numbers, std::unique_ptr<Plan>> plans_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  std::exception_ptr failure_;
};

std::vector<Worker *> workers;
std::mutex one_at_a_time;

// Parts for the threads: of the batch, and where that is smaller, of the result's channels. Of the
// gradient of weights each part of the batch gives a summand; all but the first need a place.
std::vector<std::vector<Part>> Divide(Kind kind, const std::vector<Part> &whole,
                                      std::vector<std::vector<float>> *summands) {
  const auto threads = static_cast<int64_t>(workers.size());
  const int axis = kind == kBackwardWeights ? 0 : 1;
  const int64_t images = whole[0].shape[0], channels = whole[2].shape[axis];
  const int64_t batches = std::min(threads, images);
  const int64_t groups = std::max<int64_t>(1, std::min(threads / batches, channels / kVector));
  std::vector<std::vector<Part>> divided;
  for (int64_t i = 0; i < batches; ++i) {
    const int64_t image = images * i / batches, end = images * (i + 1) / batches;
    auto parts = whole;
    parts[0] = parts[0].Cut(0, image, end);
    if (kind != kBackwardWeights) {
      parts[2] = parts[2].Cut(0, image, end);
    } else {
      parts[1] = parts[1].Cut(0, image, end);
      if (i > 0) {
        summands->emplace_back(whole[2].shape[0] * whole[2].strides[0]);
        parts[2].data = summands->back().data();
      }
    }
    for (int64_t j = 0; j < groups; ++j) {
      const int64_t channel = channels * j / groups, last = channels * (j + 1) / groups;
      auto group = parts;
      group[1] = parts[1].Cut(kind == kForward ? 0 : 1, channel, last);
      group[2] = parts[2].Cut(axis, channel, last);
      divided.push_back(group);
    }
  }
  return divided;
}

// The tensors are two operands, the windows (stride of rows and columns; padding above, below, left,
// right), for some another that only tells a shape, and the result.
int Run(Kind kind, int count, void **tensors, int64_t **shapes) try {
  std::lock_guard<std::mutex> lock(one_at_a_time);
  const auto *windows = static_cast<int64_t *>(tensors[2]);
  std::vector<Part> whole;
  for (int i : {0, 1, count - 1}) whole.emplace_back(static_cast<float *>(tensors[i]), shapes[i]);
  std::vector<std::vector<float>> summands;
  const auto divided = Divide(kind, whole, &summands);
  const Numbers geometry(windows, windows + 6);
  for (size_t i = 0; i < divided.size(); ++i) {
    workers[i]->Start([&, i] { workers[i]->Convolve(kind, divided[i], geometry); });
  }
  std::exception_ptr failure;
  for (size_t i = 0; i < divided.size(); ++i) {
    if (auto one = workers[i]->Wait()) failure = one;
  }
  if (failure) std::rethrow_exception(failure);
  for (const auto &summand : summands) {
    for (size_t i = 0; i < summand.size(); ++i) whole[2].data[i] += summand[i];
  }
  return 0;
} catch (const std::exception &error) {
  fprintf(stderr, "ms_restore: %s\n", error.what());
  return 1;
}

}  // namespace

using Operator = int(int, void **, int *, int64_t **, const char **, void *, void *);
extern "C" Operator Forward, BackwardData, BackwardWeights;

int Forward(int count, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  return Run(kForward, count, tensors, shapes);
}

int BackwardData(int count, void **tensors, int *, int64_t **shapes, const char **, void *, void *) {
  return Run(kBackwardData, count, tensors, shapes);
}

int BackwardWeights(int count, void **tensors, int *, int64_t **shapes, const char **, void *,
                    void *) {
  return Run(kBackwardWeights, count, tensors, shapes);
}

// To be called before any operator; again, it changes the number of threads alone. Returns 0, or 1
// where the library is not as expected.
extern "C" int Open(const char *path, int threads) try {
  if (engine == nullptr) {
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (library == nullptr) throw std::runtime_error(dlerror());
    Call("dnnl_set_max_cpu_isa", kAllIsas);
    engine = Make("dnnl_engine_create", kCpu, size_t{0});
  }
  workers.resize(std::min<size_t>(workers.size(), threads));
  for (auto i = static_cast<int>(workers.size()); i < threads; ++i) {
    workers.push_back(new Worker);
  }
  return 0;
} catch (const std::exception &error) {
  fprintf(stderr, "ms_restore: %s\n", error.what());
  return 1;
}
