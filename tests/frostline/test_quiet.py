"""TensorFlow's start-up lines stay off the terminal, except where they explain why it does not start."""

import os
import subprocess
import sys

ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
IMPORT = "import os, sys; from frostline import quiet; quiet.import_tensorflow(); "


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**ENVIRONMENT, **environment}
    )


def test_the_import_is_silent_and_what_comes_after_it_is_not():
    ended = run(
        IMPORT + "os.write(2, b'native\\n'); print('python', file=sys.stderr); assert 'tensorflow' in sys.modules"
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "native\npython\n")


def test_scikit_learn_is_not_imported_for_keras_and_can_be_imported_later():
    ended = run(
        IMPORT + "import keras; print(*({'sklearn', 'scipy.stats'} & set(sys.modules))); "
        "from sklearn.datasets import load_digits; print(len(load_digits().target))"
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "\n1797\n", "")
    earlier = run("import sklearn; " + IMPORT + "print(sys.modules['sklearn'] is sklearn)")
    assert (earlier.returncode, earlier.stdout) == (0, "True\n")


def test_nothing_is_left_to_search_for_cycles_when_the_process_ends():
    last = "import atexit, gc; atexit.register(lambda: print(len(gc.get_objects()))); "  # the first is called last
    ended = run(last + IMPORT)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert int(ended.stdout) < 1000


def test_a_tensorflow_that_does_not_start_says_why(tmp_path):
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'compiled for another CPU\\n')\nraise ImportError('no such symbol')\n"
    )
    ended = run(IMPORT, PYTHONPATH=str(tmp_path))

    assert ended.returncode == 1
    assert "compiled for another CPU" in ended.stderr
    assert "ImportError: no such symbol" in ended.stderr
