#include "arrays.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "base/micro_op.h"
#include "program.h"

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
// arrays of just their size.
constexpr std::int64_t kLargeUnits = (128 << 10) / kAlignment;
constexpr std::int64_t kLargestUnits = (32 << 20) / kAlignment;
constexpr std::int64_t kLargeUnitsKept = (64 << 20) / kAlignment;
constexpr int kLargeKept = 4;

// Both guarded by the interpreter's lock.
struct Pool {
  void* blocks[kPooledUnits + 1][kKept];
  int count[kPooledUnits + 1];
};
Pool pool;

struct LargePool {
  Memory* blocks[kLargeKept];  // the oldest first
  int count;
  std::int64_t units;
};
LargePool large_pool;

Memory* take_large(int index) {
  Memory* block = large_pool.blocks[index];
  large_pool.units -= block->units;
  --large_pool.count;
  for (int i = index; i < large_pool.count; ++i) large_pool.blocks[i] = large_pool.blocks[i + 1];
  return block;
}

void keep_large(Memory* block) {
  while (large_pool.count == kLargeKept || large_pool.units + block->units > kLargeUnitsKept) AlignedFree()(take_large(0));
  large_pool.blocks[large_pool.count++] = block;
  large_pool.units += block->units;
}

// Null where there is none of this size.
void* kept_block(std::int64_t units) {
  if (units <= kPooledUnits) return pool.count[units] > 0 ? pool.blocks[units][--pool.count[units]] : nullptr;
  for (int i = large_pool.count - 1; i >= 0; --i)
    if (large_pool.blocks[i]->units == units) return take_large(i);
  return nullptr;
}

void free_memory(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  const std::int64_t units = reinterpret_cast<Memory*>(self)->units;
  if (units <= kPooledUnits && pool.count[units] < kKept) pool.blocks[units][pool.count[units]++] = self;
  else if (units >= kLargeUnits && units <= kLargestUnits) keep_large(reinterpret_cast<Memory*>(self));
  else AlignedFree()(self);
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
  const std::int64_t units = (bytes + static_cast<std::int64_t>(kAlignment) - 1) / static_cast<std::int64_t>(kAlignment);
  void* block = kept_block(units);
  const std::int64_t behind = bytes <= kSlotBytes ? kSlotUnit : 0;
  if (!block) block = aligned_buffer(static_cast<std::int64_t>(kHead) + bytes + behind).release();
  PyObject* memory = PyObject_Init(static_cast<PyObject*>(block), memory_type());
  reinterpret_cast<Memory*>(memory)->units = units;
  return memory;
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
  spec.rank = static_cast<std::int32_t>(shape.size());
  spec.size = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    spec.dims[i] = shape[i].cast<std::int64_t>();
    spec.size *= spec.dims[i];
  }
  return spec;
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
    return PyErr_NoMemory();
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
