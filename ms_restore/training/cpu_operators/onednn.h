// What convolutions use of oneDNN's C interface, version 3 (https://uxlfoundation.github.io/oneDNN),
// by names that are looked up in the library which ``Open`` was given.

#ifndef MS_RESTORE_ONEDNN_H_
#define MS_RESTORE_ONEDNN_H_

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

using Handle = void *;
using Numbers = std::vector<int64_t>;

// Values of oneDNN's enumerations.
enum Argument {
  kSource = 1, kResult = 17, kWeights = 33, kBias = 41,
  kOfSource = 129, kOfResult = 145, kOfWeights = 161, kOfBias = 169,  // gradients
};
constexpr int kAnyLayout = 1, kFloat32 = 3, kCpu = 1, kInOrder = 1, kDirect = 1, kTraining = 64;
constexpr int kAllIsas = 0;
constexpr int kMaxDims = 12;

struct Dims {
  int64_t values[kMaxDims] = {};
  explicit Dims(const Numbers &numbers) { std::copy(numbers.begin(), numbers.end(), values); }
};

struct Bound {
  int argument;
  Handle memory;
};

inline Handle library = nullptr;
inline Handle engine = nullptr;

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

// Bytes of memory of this layout.
inline int64_t SizeOf(Handle layout) {
  return static_cast<int64_t>(Ask<size_t>("dnnl_memory_desc_get_size", layout));
}

#endif  // MS_RESTORE_ONEDNN_H_
