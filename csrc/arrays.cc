#include "arrays.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "base/micro_op.h"
#include "memory.h"

namespace py = pybind11;

namespace pynn {
namespace {

// NumPy parses the name of a type in microseconds: once.
py::object numpy_dtype(std::int32_t dtype) {
  static const char* const codes[] = {"<f4", "<f8", "<i4", "<i8", "|u1", "|b1"};
  static PyObject* known[sizeof(codes) / sizeof(codes[0])];
  if (!known[dtype]) known[dtype] = py::dtype(std::string(codes[dtype])).release().ptr();
  return py::reinterpret_borrow<py::object>(known[dtype]);
}

// ---- memory of arrays: a Python object at the start of an aligned block, the elements one alignment further ------------------------

constexpr std::size_t kHead = kAlignment;
constexpr std::int64_t kPooledUnits = 64;  // blocks of up to so many alignments are kept for the next array
constexpr int kKept = 16;                  // of each size

struct Memory {
  PyObject_HEAD
  std::int64_t units;
};
static_assert(sizeof(Memory) <= kHead, "the head has room in front of the elements");

// Large blocks, where every page of a fresh one costs a fault, microseconds in a virtual machine: the last few that died are kept for
// arrays of just their size. Of huge ones the system may take the pages when it needs them.
constexpr std::int64_t kLargeBytes = 128 << 10, kHugeBytes = 32 << 20, kHugestBytes = 256 << 20;
constexpr std::int64_t kLargeBytesKept = 64 << 20, kHugeBytesKept = 512 << 20;

constexpr std::int64_t units_of(std::int64_t bytes) { return aligned_bytes(bytes) / static_cast<std::int64_t>(kAlignment); }

class LargePool {
 public:
  explicit constexpr LargePool(std::int64_t most_bytes) : most_units_(units_of(most_bytes)) {}

  // Of just this size; null if there is none.
  Memory* take(std::int64_t units) {
    for (int i = count_ - 1; i >= 0; --i)
      if (blocks_[i]->units == units) return remove(i);
    return nullptr;
  }

  void keep(Memory* block) {
    while (count_ == kMost || units_ + block->units > most_units_) AlignedFree()(remove(0));
    blocks_[count_++] = block;
    units_ += block->units;
  }

 private:
  static constexpr int kMost = 4;

  Memory* remove(int index) {
    Memory* block = blocks_[index];
    units_ -= block->units;
    --count_;
    for (int i = index; i < count_; ++i) blocks_[i] = blocks_[i + 1];
    return block;
  }

  std::int64_t most_units_, units_ = 0;
  Memory* blocks_[kMost] = {};  // the oldest first
  int count_ = 0;
};

struct Pool {
  void* blocks[kPooledUnits + 1][kKept];
  int count[kPooledUnits + 1];
};

// All guarded by the interpreter's lock.
Pool pool;
LargePool large_pool(kLargeBytesKept), huge_pool(kHugeBytesKept);

// Null where there is none of this size.
void* kept_block(std::int64_t units) {
  if (units <= kPooledUnits) return pool.count[units] > 0 ? pool.blocks[units][--pool.count[units]] : nullptr;
  return (units <= units_of(kHugeBytes) ? large_pool : huge_pool).take(units);
}

// Whether the block stays here, in place of being freed.
bool keep(Memory* block) {
  const std::int64_t units = block->units;
  if (units <= kPooledUnits) {
    if (pool.count[units] == kKept) return false;
    pool.blocks[units][pool.count[units]++] = block;
    return true;
  }
  if (units < units_of(kLargeBytes) || units > units_of(kHugestBytes)) return false;
  if (units <= units_of(kHugeBytes)) {
    large_pool.keep(block);
    return true;
  }
  if (!let_system_take(block + 1, units * static_cast<std::int64_t>(kAlignment))) return false;  // not the block's head
  huge_pool.keep(block);
  return true;
}

void free_memory(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  if (!keep(reinterpret_cast<Memory*>(self))) AlignedFree()(self);
  Py_DECREF(type);
}

PyTypeObject* memory_type() {
  static PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(free_memory)}, {0, nullptr}};
  static PyType_Spec spec = {"pynn._core.Memory", sizeof(Memory), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
  static PyTypeObject* const type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  return type;
}

// Throws std::bad_alloc. Small memory has a unit behind it, as slots do.
PyObject* new_memory(std::int64_t bytes) {
  const std::int64_t units = units_of(bytes);
  void* block = kept_block(units);
  const std::int64_t behind = bytes <= kSlotBytes ? kSlotUnit : 0;
  if (!block) block = aligned_buffer(static_cast<std::int64_t>(kHead) + bytes + behind).release();
  PyObject* memory = PyObject_Init(static_cast<PyObject*>(block), memory_type());
  reinterpret_cast<Memory*>(memory)->units = units;
  return memory;
}

// More elements than any address space has room for. What kernels make of sizes, a hundred times as much, can still be counted.
constexpr std::int64_t kMostElements = std::int64_t{1} << 53;

// The product of the dimensions; -1 if those that aren't 0 are too many.
std::int64_t elements_of(const Spec& spec) {
  std::int64_t size = 1;
  bool empty = false;
  for (std::int32_t i = 0; i < spec.rank; ++i) {
    empty = empty || spec.dims[i] == 0;
    if (spec.dims[i] == 0) continue;
    if (spec.dims[i] > kMostElements / size) return -1;
    size *= spec.dims[i];
  }
  return empty ? 0 : size;
}

// A dimension; any that 64 bits don't hold counts as the largest they do.
std::int64_t dimension(const py::handle& item) {
  int overflow = 0;
  const std::int64_t value = PyLong_AsLongLongAndOverflow(item.ptr(), &overflow);
  if (PyErr_Occurred()) throw py::error_already_set();
  if (value < 0 && overflow <= 0) throw std::invalid_argument("no axis is shorter than 0");
  return overflow ? INT64_MAX : value;
}

}  // namespace

Spec spec_from(const py::handle& item) {
  Spec spec{};
  if (item.is_none()) {
    spec.rank = -1;
    return spec;
  }
  const py::tuple pair = py::reinterpret_borrow<py::tuple>(item);
  const py::tuple shape = py::reinterpret_borrow<py::tuple>(pair[0]);
  if (shape.size() > static_cast<std::size_t>(kMaxRank)) throw std::invalid_argument("a tensor has at most 8 axes");
  spec.dtype = pair[1].cast<std::int32_t>();
  if (spec.dtype < 0 || spec.dtype > kBool) throw std::invalid_argument("there is no such dtype");
  spec.rank = static_cast<std::int32_t>(shape.size());
  for (std::int32_t i = 0; i < spec.rank; ++i) spec.dims[i] = dimension(py::object(shape[static_cast<std::size_t>(i)]));
  spec.size = elements_of(spec);
  if (spec.size >= 0) return spec;
  PyErr_Format(PyExc_MemoryError, "no memory holds a tensor of shape %R", shape.ptr());
  throw py::error_already_set();
}

bool is_dtype(const py::handle& descriptor, std::int32_t dtype) {
  const py::object wanted = numpy_dtype(dtype);
  return descriptor.is(wanted) || descriptor.equal(wanted);
}

bool is_slot(PyObject* array) {
  const py::detail::PyArray_Proxy* fields = array_fields(array);
  PyObject* base = fields->base;
  return base && Py_TYPE(base) == memory_type() && fields->data == reinterpret_cast<char*>(base) + kHead;
}

py::array array_of(const Spec& spec, void* data, const py::handle& base) {
  std::vector<py::ssize_t> shape(spec.dims, spec.dims + spec.rank);
  return py::array(py::reinterpret_borrow<py::dtype>(numpy_dtype(spec.dtype)), shape, data, base);
}

ArrayMaker::ArrayMaker(const Spec& spec)
    : spec_(spec), bytes_(spec.size * dtype_bytes(spec.dtype)), descriptor_(numpy_dtype(spec.dtype)) {
  for (int axis = 0; axis < spec.rank; ++axis) shape_[axis] = static_cast<Py_intptr_t>(spec.dims[axis]);
}

PyObject* ArrayMaker::make(bool writable) const {
  const py::detail::npy_api& api = py::detail::npy_api::get();
  PyObject* memory;
  try {
    memory = new_memory(bytes_);
  } catch (const std::bad_alloc&) {
    return PyErr_Format(PyExc_MemoryError, "there is no memory for a tensor of %lld bytes", static_cast<long long>(bytes_));
  }
  const int flags = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                    (writable ? py::detail::npy_api::NPY_ARRAY_WRITEABLE_ : 0);
  PyObject* array = api.PyArray_NewFromDescr_(api.PyArray_Type_, py::object(descriptor_).release().ptr(), spec_.rank, shape_, nullptr,
                                              reinterpret_cast<char*>(memory) + kHead, flags, nullptr);
  if (!array) {
    Py_DECREF(memory);
    return nullptr;
  }
  if (api.PyArray_SetBaseObject_(array, memory) == 0) return array;
  Py_DECREF(array);
  return nullptr;
}

bool ArrayMaker::fits(PyObject* array) const {
  constexpr int needed = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  const py::detail::PyArray_Proxy* fields = array_fields(array);
  if (fields->descr != descriptor_.ptr() || fields->nd != spec_.rank || (fields->flags & needed) != needed) return false;
  for (int axis = 0; axis < spec_.rank; ++axis)
    if (fields->dimensions[axis] != shape_[axis]) return false;
  return true;
}

}  // namespace pynn
