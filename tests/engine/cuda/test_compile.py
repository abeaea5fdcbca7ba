"""The kernel compiles for real GPUs, without one, and fits their registers."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("triton", reason="triton is not installed")

#: In a process of its own, where Triton is not interpreted.
PROGRAM = """
import json, pathlib, re, subprocess, sys, tempfile
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from semrsm.engine.cuda import auction

widest, arch = int(sys.argv[1]), int(sys.argv[2])
width, warps = auction.form_of(widest)
sizes = dict(WIDTH=width, BLOCK_ROWS=auction.BLOCK_ROWS)
kernel = auction.auction
types = dict(data="*fp32", offsets="*i64", rows="*i32", columns="*i32", row_stride="i32",
             tolerance="fp32", most_rounds="i32", values="*fp64", upper_bounds="*fp64",
             rounds="*i32", status="*i32", **dict.fromkeys(sizes, "constexpr"))
constants = {(kernel.arg_names.index(name),): value for name, value in sizes.items()}
compiled = triton.compile(
    ASTSource(fn=kernel, signature=types, constexprs=constants),
    target=GPUTarget("cuda", arch, 32),
    options={"num_warps": warps, "enable_fp_fusion": True},
)
tool = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
    file.write(compiled.asm["cubin"])
    file.flush()
    usage = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True).stdout
print(json.dumps({
    "threads": 32 * warps,
    "registers": int(re.search(r"REG:(\\d+)", usage)[1]),
    "stack": int(re.search(r"STACK:(\\d+)", usage)[1]),
    "shared": compiled.metadata.shared,
}))
"""


@pytest.mark.parametrize(("widest", "arch"), [(49, 80), (49, 90), (196, 90)])
def test_it_compiles_and_fits(widest, arch, tmp_path, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(widest), str(arch)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if "ptxas" in done.stderr and "not found" in done.stderr.lower():
        pytest.skip("this build of Triton comes without NVIDIA's assembler")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    # Two programs at least share the 65,536 registers of a multiprocessor.
    assert found["registers"] * found["threads"] <= 32768
    assert found["stack"] <= 64  # bytes of each thread: next to nothing is spilled
    assert found["shared"] <= 48 << 10
