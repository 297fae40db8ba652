import re

import numpy as np
import pytest

from training.benchmarks import matrix_products, precision

LOG = """\
onednn_verbose,v1,info,cpu,runtime:OpenMP,nthr:2
onednn_verbose,v1,primitive,exec,cpu,matmul,brg_matmul:avx10_1_512_amx,undef,src:bf16::blocked:ab::f0 wei:bf16::blocked:ab::f0 dst:bf16::blocked:ab::f0,,,8x4:4x2,3.0
onednn_verbose,v1,primitive,exec,cpu,matmul,jit:avx512_core,undef,src:f32:a:blocked:ab::f0 wei:f32::blocked:ab::f0,,,8x4:4x2,1
onednn_verbose,v1,primitive,exec,cpu,gemm_api,,undef,src_f32::blocked:ab:f0 wei_f32::blocked:ab:f0,,,216x312:312x384,6.0
onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src:f32::blocked:ab::f0 dst:bf16::blocked:ab::f0,,,8x4,50
onednn_verbose,v1,primitive,create:cache_hit,cpu,matmul,jit:avx512_core,undef,src:f32::blocked:ab::f0,,,8x4:4x2,9
"""  # noqa: E501
HLO = """\
  %param.1 = f32[8,4]{1,0} parameter(0)
  %param_2.1 = bf16[4,2]{1,0} parameter(1)
  %convert.1 = bf16[8,4]{1,0} convert(%param.1)
  %dot.1 = f32[8,2]{1,0} dot(%convert.1, %param_2.1), lhs_contracting_dims={1}
  ROOT %dot.2 = f32[8,2]{1,0} dot(%param.1, %other), lhs_contracting_dims={1}
  %stem.3 = f32[8,7,7,2]{3,2,1,0} convolution(%param.1, %convert.1), window={size=32x32}
"""


@pytest.mark.backend("torch")
def test_products_in_a_log_of_onednn():
    description = matrix_products.describe_onednn(LOG)
    assert description == (
        "oneDNN, 10 ms a batch: 60 % gemm_api of f32, "
        "30 % matmul brg_matmul:avx10_1_512_amx of bf16, 10 % matmul jit:avx512_core of f32"
    )
    assert matrix_products.describe_onednn("") == "oneDNN: none"


@pytest.mark.backend("torch")
def test_products_in_a_program_of_xla():
    assert matrix_products.describe_hlo(HLO) == "XLA: 2 of f32, 1 of bf16"
    assert matrix_products.describe_hlo("") == "XLA: none found"


@pytest.mark.backend("torch")
def test_instructions(monkeypatch, tmp_path):
    monkeypatch.setattr(matrix_products, "CPUINFO", tmp_path / "cpuinfo")
    assert matrix_products.bfloat16_instructions() == ()
    (tmp_path / "cpuinfo").write_text("model : bf16\nflags\t\t: fpu amx_tile avx512_bf16 sse\n")
    assert matrix_products.bfloat16_instructions() == ("avx512_bf16", "amx_tile")


@pytest.mark.parametrize(
    "jit_compile",
    [
        pytest.param("auto", marks=pytest.mark.backend("jax")),
        pytest.param(True, marks=pytest.mark.backend("tensorflow")),
    ],
)
def test_products_of_a_model_compiled_by_xla(jit_compile):
    """Two of each MLP, the stem and the head."""
    arguments = ("S/32", "float32", jit_compile, 64)
    model = precision.build_model(*arguments)
    pixels = np.zeros((2, 64, 64, 3), "float32")
    description = matrix_products.describe_products(model, pixels, precision.__name__, arguments)
    assert sum(map(int, re.findall(r"(\d+) of f32", description))) == 8 * 4 + 2, description


@pytest.mark.long
@pytest.mark.backend("torch")
def test_products_of_a_model_computed_by_onednn():
    arguments = ("S/32", "bfloat16", "auto", 64)
    model = precision.build_model(*arguments)
    pixels = np.zeros((2, 64, 64, 3), "float32")
    description = matrix_products.describe_products(model, pixels, precision.__name__, arguments)
    assert description.startswith("oneDNN, ")
    if "avx512_bf16" in matrix_products.bfloat16_instructions():
        assert " of bf16" in description
