// What operators share: their signature, and the threads.

#ifndef MS_RESTORE_WORKERS_H_
#define MS_RESTORE_WORKERS_H_

#include <cstddef>
#include <cstdint>
#include <functional>

// Of MindSpore: the number of tensors, their data, numbers of dimensions, and shapes.
using Operator = int(int, void **, int *, int64_t **, const char **, void *, void *);

// Whose numbers are below this many; to be set, to one or more, before any work is done.
size_t Workers();
void SetWorkers(size_t count);

// Let them do this number of pieces of work, given the worker's number and the piece's.
void Together(size_t pieces, const std::function<void(size_t, size_t)> &work);

// Let them do work on numbers that lie side by side, given the first of a piece and its end.
constexpr int64_t kPiece = 1 << 16;
void InPieces(int64_t count, const std::function<void(int64_t, int64_t)> &work);

// Do it, one at a time. Returns 0, or 1 and a line on stderr where it throws.
int Guarded(const std::function<void()> &work);

#endif  // MS_RESTORE_WORKERS_H_
