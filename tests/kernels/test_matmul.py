"""Matrix products: every small size, transposition and target against float64; bits that depend on nothing but row, column and k."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from guard import run_guarded
from op_checks import TARGETS, check_gradients, check_threads, check_values, native

import pynn as pn
from pynn.engine.apply import apply
from pynn.engine.op import REGISTRY

MATMUL, LINEAR = REGISTRY["matmul"], REGISTRY["linear"]
TRANSPOSITIONS = list(itertools.product((False, True), repeat=2))
LONGEST_VECTOR = 16
ROWS = [*range(0, 2 * 8 + 4), 23, 24, 25]
COLUMNS = [*range(0, 20), 31, 32, 33, 47, 64, 2 * 2 * LONGEST_VECTOR + 3, 8 * LONGEST_VECTOR + 5]
DEPTHS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 17, 33]


def operands(m, n, k, transpose_a=False, transpose_b=False, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    return np.ascontiguousarray(a.T) if transpose_a else a, np.ascontiguousarray(b.T) if transpose_b else b


def product(a, b, transpose_a=False, transpose_b=False, target=""):
    (c,) = native(MATMUL, [a, b], dict(transpose_a=transpose_a, transpose_b=transpose_b), target)
    return c


def check(a, b, transpose_a, transpose_b, target):
    got = product(a, b, transpose_a, transpose_b, target)
    left, right = ((x.T if t else x).astype(np.float64) for x, t in ((a, transpose_a), (b, transpose_b)))
    bound = np.finfo(a.dtype).eps * (np.sqrt(left.shape[1]) + 2) * (np.abs(left) @ np.abs(right))
    assert got.shape == (left.shape[0], right.shape[1])
    assert np.all(np.abs(got - left @ right) <= bound), (target, left.shape, right.shape, transpose_a, transpose_b)


def same_bits(a, b):
    assert a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("op", [MATMUL, LINEAR], ids=lambda op: op.name)
def test_values_and_gradients(op):
    check_values(op, tolerance=32)
    check_gradients(op)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_small_size(target, dtype):
    for m, n in itertools.product(ROWS, COLUMNS):
        k = DEPTHS[(m * 7 + n) % len(DEPTHS)]
        for transpose_a, transpose_b in TRANSPOSITIONS:
            check(*operands(m, n, k, transpose_a, transpose_b, dtype), transpose_a, transpose_b, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSITIONS)
def test_every_depth_and_path(target, transpose_a, transpose_b):
    paths = [(7, 19, k) for k in (*range(0, 36), 255, 256, 257, 511, 513, 1030)]
    paths += [(1, 300, 300), (2, 150, 520), (40, 300, 700), (300, 30, 40), (260, 170, 300), (3, 1, 1000), (300, 1, 70), (1300, 500, 20)]
    for m, n, k in paths:
        check(*operands(m, n, k, transpose_a, transpose_b), transpose_a, transpose_b, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSITIONS)
def test_bits_do_not_depend_on_neighbours_or_transposition(target, transpose_a, transpose_b):
    m, n, k = 67, 83, 600
    whole = product(*operands(m, n, k), target=target)
    a, b = operands(m, n, k, transpose_a, transpose_b)
    same_bits(product(a, b, transpose_a, transpose_b, target), whole)
    for rows, columns in [
        (slice(5, 6), slice(0, n)),
        (slice(3, 16), slice(0, n)),
        (slice(0, m), slice(40, 57)),
        (slice(9, 50), slice(7, 9)),
    ]:
        part_a = np.ascontiguousarray(a[:, rows] if transpose_a else a[rows])
        part_b = np.ascontiguousarray(b[columns] if transpose_b else b[:, columns])
        if rows == slice(5, 6) and transpose_b:  # a row by rows: dot products, summed across lanes
            check(part_a, part_b, transpose_a, transpose_b, target)
            continue
        same_bits(product(part_a, part_b, transpose_a, transpose_b, target), np.ascontiguousarray(whole[rows, columns]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_a_skinny_product_that_is_cut_along_k_has_the_bits_of_a_tall_one(target, dtype, transpose_b):
    rng = np.random.default_rng(5)
    a, b, bias = (rng.normal(size=shape).astype(dtype) for shape in ((70, 784), (784, 131), (131,)))
    b = np.ascontiguousarray(b.T) if transpose_b else b
    attrs = {"transpose_b": transpose_b, "activation": "relu"}
    (tall,) = native(LINEAR, [a, b, bias], attrs, target)
    for rows in (1, 5, 32, 64)[transpose_b:]:  # a single row by rows is made of dot products
        (skinny,) = native(LINEAR, [a[:rows].copy(), b, bias], attrs, target)
        same_bits(skinny, tall[:rows].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_few_rows_over_few_columns_have_the_bits_of_many(target, dtype, transpose_a):
    for n, k in [(2, 1), (10, 128), (10, 1600), (16, 1030), (17, 257), (31, 700), (3, 513), (9, 0)]:
        a, b = operands(9, n, k, dtype=dtype)
        bias = b.sum(0) + dtype(1)
        many = native(LINEAR, [a, b, bias], {"activation": "relu"}, target)[0]
        for first, last in [(0, 1), (4, 6), (6, 9)]:
            few = np.ascontiguousarray(a[first:last].T) if transpose_a else a[first:last].copy()
            attrs = {"activation": "relu", "transpose_a": transpose_a}
            same_bits(native(LINEAR, [few, b, bias], attrs, target)[0], many[first:last].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_few_rows_by_a_transposed_matrix_have_the_bits_of_many(target, dtype, transpose_a):
    for n, k in [(8, 16), (16, 50), (33, 61), (100, 260), (41, 531), (300, 48), (40, 1024), (400, 4096)]:
        a, b = operands(40, n, k, transpose_b=True, dtype=dtype)
        bias = b.sum(1) + dtype(1)
        attrs = {"activation": "relu", "transpose_b": True}
        many = native(LINEAR, [a, b, bias], attrs, target)[0]
        for m in range(2, 10):
            few = np.ascontiguousarray(a[:m].T) if transpose_a else a[:m].copy()
            same_bits(native(LINEAR, [few, b, bias], {**attrs, "transpose_a": transpose_a}, target)[0], many[:m].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSITIONS)
def test_few_columns_have_the_bits_of_many(target, dtype, transpose_a, transpose_b):
    """Those behind whole vectors go along the rows of A: uneven groups, a rest of K, rows that share sets of the cache."""
    for m, k in [(8, 16), (17, 50), (37, 61), (16, 260), (41, 531), (300, 48), (33, 1024)]:
        a, b = operands(m, 3 * LONGEST_VECTOR, k, transpose_a, dtype=dtype)
        bias = b.sum(0) + dtype(1)
        attrs = {"activation": "relu", "transpose_a": transpose_a, "transpose_b": transpose_b}
        many = native(LINEAR, [a, np.ascontiguousarray(b.T) if transpose_b else b, bias], attrs, target)[0]
        for n in (*range(2, 12), 17, 18, 20, 24, 33, 37, 40, 42):
            few = np.ascontiguousarray(b[:, :n].T if transpose_b else b[:, :n])
            same_bits(native(LINEAR, [a, few, bias[:n].copy()], attrs, target)[0], np.ascontiguousarray(many[:, :n]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_one_row_has_the_bits_of_many(target, dtype, transpose_a):
    """Over strips of every width, and over so many columns that rows of B are read from end to end: in L1, beyond it, in two groups."""
    for n, k in [(33, 300), (64, 784), (101, 257), (128, 784), (200, 600), (259, 64), (300, 1), (515, 1030), (4101, 260), (150, 0)]:
        a, b = operands(5, n, k, dtype=dtype)
        bias = b.sum(0) + dtype(1)
        many = native(LINEAR, [a, b, bias], {"activation": "relu"}, target)[0]
        for row in (0, 4):
            one = np.ascontiguousarray(a[row : row + 1].T) if transpose_a else a[row : row + 1].copy()
            attrs = {"activation": "relu", "transpose_a": transpose_a}
            same_bits(native(LINEAR, [one, b, bias], attrs, target)[0], many[row : row + 1].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_row_by_rows_is_a_single_column_by_columns(target, dtype):
    for n, k in [(37, 77), (784, 128), (4, 16), (3, 1), (5, 0)]:
        a, b = operands(1, n, k, transpose_b=True, dtype=dtype)
        row = product(a, b, False, True, target)
        same_bits(row, np.ascontiguousarray(product(b, np.ascontiguousarray(a.T), target=target).T))
        for first, last in [(0, 1), (1, 3)]:
            same_bits(product(a, b[first:last].copy(), False, True, target), row[:, first:last].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bias_of_one_column_goes_to_all_rows(target, dtype):
    for m, k in [(7, 3), (90, 400), (700, 900)]:
        a, b = operands(m, 1, k, transpose_a=True, dtype=dtype)
        for activation in ("linear", "relu"):
            attrs = {"transpose_a": True, "activation": activation}
            (y,) = native(LINEAR, [a, b, np.array([0.5], dtype)], attrs, target)
            (wanted,) = native(LINEAR, [a, b, np.zeros(1, dtype)], {"transpose_a": True}, target)
            same_bits(y, np.maximum(wanted + dtype(0.5), 0) if activation == "relu" else wanted + dtype(0.5))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSITIONS)
def test_panels_that_row_groups_share_change_no_bit(target, transpose_a, transpose_b):
    # B packed once; B of more than 4 MB, read where it lies under several groups of rows, and packed
    for m, n, k in [(500, 310, 530), (400, 96, 12000), (300, 300, 3600)]:
        a, b = operands(m, n, k, transpose_a, transpose_b)
        whole = product(a, b, transpose_a, transpose_b, target)
        check(a, b, transpose_a, transpose_b, target)
        few = np.ascontiguousarray(a[:, 40:60] if transpose_a else a[40:60])
        same_bits(product(few, b, transpose_a, transpose_b, target), whole[40:60].copy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_of_a_that_are_copied_change_no_bit(target, dtype):
    """Rows of A that are a multiple of 2 KB apart are copied under many strips, by rows or by columns, of more than 1 MB as a whole; in
    the other order they aren't."""
    blocks = [(131, 300, 512), (40, 700, 1024), (512, 300, 131), (1024, 270, 30), (121, 1030, 512)]
    for m, n, k in [*blocks, (300, 330, 1024), (512, 520, 601)]:
        a, b = operands(m, n, k, dtype=dtype)
        by_rows = product(a, b, target=target)
        check(a, b, False, False, target)
        same_bits(product(np.ascontiguousarray(a.T), b, True, False, target), by_rows)


@pytest.mark.parametrize("target", TARGETS)
def test_rows_of_a_single_column_do_not_depend_on_each_other(target):
    a, b = operands(37, 1, 77)
    whole = product(a, b, target=target)
    for first, last in [(0, 1), (3, 5), (30, 37)]:
        same_bits(product(a[first:last].copy(), b, target=target), whole[first:last].copy())


def test_bits_do_not_depend_on_threads():
    ordinary = [(300, 200, 300), (32, 128, 784), (700, 1, 600), (60, 900, 500), (500, 310, 530), (1, 900, 700), (64, 600, 257),
                (300, 330, 1024)]  # fmt: skip
    for m, n, k in [*ordinary, (400, 96, 12000), (5000, 3, 130), (3001, 7, 200), (700, 100, 900)]:
        for transpose_a, transpose_b in TRANSPOSITIONS:
            check_threads(MATMUL, operands(m, n, k, transpose_a, transpose_b), dict(transpose_a=transpose_a, transpose_b=transpose_b))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_linear_is_matmul_add_relu_bit_for_bit(target, dtype, activation):
    for m, n, k in [(4, 1, 4), (1, 10, 128), (33, 70, 300), (32, 128, 10), (300, 200, 260), (5, 7, 0), (0, 3, 2)]:
        a, b = operands(m, n, k, dtype=dtype)
        bias = np.random.default_rng(1).normal(size=n).astype(dtype)
        (y,) = native(LINEAR, [a, b, bias], {"activation": activation}, target)
        (wanted,) = native(REGISTRY["add"], [product(a, b, target=target), bias], {}, target)
        if activation == "relu":
            (wanted,) = native(REGISTRY["relu"], [wanted], {}, target)
        same_bits(y, wanted)


def test_relu_passes_nan_on_and_makes_zeros_positive():
    a = np.array([[np.nan, 1.0], [-1.0, 0.0], [0.0, 0.0], [2.0, 3.0]], np.float32)
    for n in (1, 3):
        y = native(LINEAR, [a, np.ones((2, n), np.float32), np.zeros(n, np.float32)], {"activation": "relu"})[0]
        np.testing.assert_array_equal(y[:, 0], [np.nan, 0, 0, 5])
        assert not np.signbit(y[1:]).any()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_beyond_the_operands_is_touched(target, dtype):
    sizes = [(m, n, k) for m in (1, 2, 5, 13) for n in (1, 3, 10, 17, 35) for k in (1, 6, 19)]
    narrow = [(33, 5, 61), (40, 2, 48), (20, 36, 50), (50, 301, 700)]
    for m, n, k in [*sizes, *narrow, (40, 270, 512), (40, 70, 300), (50, 300, 700), (1, 139, 784), (1, 300, 700)]:
        for transpose_a, transpose_b in TRANSPOSITIONS:
            a, b = operands(m, n, k, transpose_a, transpose_b, dtype)
            (c,) = run_guarded(MATMUL, [a, b], dict(transpose_a=transpose_a, transpose_b=transpose_b), target)
            same_bits(np.array(c), product(a, b, transpose_a, transpose_b, target))
        a, b = operands(m, n, k, dtype=dtype)
        (y,) = run_guarded(LINEAR, [a, b, b[0].copy()], {"activation": "relu"}, target)
        assert np.isfinite(y).all()


BATCHES = [
    ((2, 3, 4), (4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((7, 3, 4), (7, 4, 1)),
    ((1, 3, 4), (9, 4, 6)),
    ((3, 4), (2, 4, 2)),
    ((0, 3, 4), (4, 2)),
]
NARROW_BATCHES = [((3, 20, 50), (3, 50, 3)), ((2, 1, 17, 60), (3, 60, 35)), ((4, 3, 50), (4, 50, 40))]


@pytest.mark.parametrize("transpose_a, transpose_b", TRANSPOSITIONS)
@pytest.mark.parametrize("shape_a, shape_b", [*BATCHES, ((6, 70, 90), (6, 90, 80)), *NARROW_BATCHES])
def test_batches_broadcast(shape_a, shape_b, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
    left, right = (np.ascontiguousarray(np.swapaxes(x, -1, -2)) if t else x for x, t in ((a, transpose_a), (b, transpose_b)))
    np.testing.assert_allclose(product(left, right, transpose_a, transpose_b), a @ b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape_a, shape_b", [((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))])
def test_vectors_as_in_numpy(shape_a, shape_b):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=shape_a), rng.normal(size=shape_b)
    got = pn.matmul(pn.tensor(a), pn.tensor(b))
    assert got.shape == np.matmul(a, b).shape
    np.testing.assert_allclose(got.numpy(), np.matmul(a, b), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "a, b, words",
    [
        (np.ones((2, 3)), np.ones((4, 5)), ["inner lengths", "(2, 3)", "(4, 5)"]),
        (np.ones((2, 2, 3)), np.ones((3, 3, 5)), ["broadcast", "(2, 2, 3)"]),
        (np.ones(()), np.ones((3, 3)), ["axis"]),
    ],
)
def test_errors_say_what_came(a, b, words):
    with pytest.raises(ValueError) as error:
        pn.matmul(a, b)
    assert all(word in str(error.value) for word in ["[matmul]", *words])


def test_the_guard_page_catches_a_read_behind_the_end():
    script = "import ctypes, guard; a = guard.guarded((5,), 'f4'); ctypes.string_at(a.ctypes.data, 21)"
    paths = [str(Path(__file__).parent), str(Path(pn.__file__).parents[1])]
    sanitizer = f"{os.environ.get('ASAN_OPTIONS', '')}:handle_segv=0"  # which would make an ordinary exit of the crash
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "ASAN_OPTIONS": sanitizer}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode < 0


@pytest.mark.parametrize("axes", [0, 1, 2, np.int64(1), ((0, 2), (1, 0)), ([-1], [0]), (1, 2), ((), ()), ((2, 0), (0, 1))])
def test_tensordot_is_numpys(axes):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(3, 4, 3)), rng.normal(size=(3, 3, 4)) if axes != 2 else rng.normal(size=(4, 3, 2))
    np.testing.assert_allclose(pn.tensordot(a, b, axes).numpy(), np.tensordot(a, b, axes), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "axes, kind, words",
    [
        (((0, 1), (0, 1)), ValueError, "must have the lengths"),
        (((0, 0), (0, 1)), ValueError, "named twice"),
        (((0,), (0, 1)), ValueError, "must have the lengths"),
        ((0, 1, 2), ValueError, "or a pair"),
        (((0, 3), (0, 1)), ValueError, "no such axis"),
        (1.5, TypeError, "integer"),
    ],
)
def test_axes_of_tensordot_are_checked(axes, kind, words):
    with pytest.raises(kind, match=rf"\[tensordot\] .*{words}"):
        pn.tensordot(np.zeros((3, 4, 3)), np.zeros((3, 3, 4)), axes)


def test_linear_without_a_bias():
    a, b = pn.tensor([[1.0, -2.0]]), pn.tensor([[3.0, 1.0], [1.0, 2.0]])
    assert pn.linear(a, b).tolist() == [[1.0, -3.0]]
    assert pn.linear(a, b, activation="relu").tolist() == [[1.0, 0.0]]
    with pytest.raises(ValueError, match="activation must be one of"):
        pn.linear(a, b, activation="gelu")


def test_linear_wants_one_dtype():
    a = np.ones((2, 2), np.float32)
    with pytest.raises(TypeError, match=r"\[linear\] operands must have one dtype. Received: float32, float64 and float32"):
        apply(REGISTRY["linear"], a, a.astype(np.float64), a[0])


def test_products_of_vectors():
    a, b, m = (np.random.default_rng(0).normal(size=shape) for shape in ((3,), (3,), (2, 3)))
    np.testing.assert_allclose(pn.dot(a, b).numpy(), a @ b, rtol=1e-12)
    np.testing.assert_allclose(pn.dot(m, b).numpy(), m @ b, rtol=1e-12)
    np.testing.assert_array_equal(pn.outer(a, m[0]).numpy(), np.outer(a, m[0]))
    assert pn.outer([1, 2], [3, 4, 5]).tolist() == [[3, 4, 5], [6, 8, 10]]
    for wrong in ((m, a), (a, m)):
        with pytest.raises(ValueError, match=r"\[outer\] operands must be vectors"):
            pn.outer(*wrong)
