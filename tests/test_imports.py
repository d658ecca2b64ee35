import subprocess
import sys


def test_the_core_imports_neither_page_nor_server():
    names = ("engine", "build", "config", "train.stages", "train.loop")
    code = f"import sys; {'; '.join(f'import nextgpt_core.{name}' for name in names)}; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not {"gradio", "fastapi", "ray", "app", "bitsandbytes"} & {name.partition(".")[0] for name in loaded}
