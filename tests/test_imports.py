import subprocess
import sys


def test_the_core_imports_neither_page_nor_server():
    names = ("engine", "build", "config", "train.stages", "train.loop")
    # bitsandbytes must not be needed; where it is installed, peft would load it
    imports = "; ".join(f"import nextgpt_core.{name}" for name in names)
    code = f"import sys; sys.modules['bitsandbytes'] = None; {imports}; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not {"gradio", "fastapi", "ray", "app"} & {name.partition(".")[0] for name in loaded}
