"""Kill training runs with SIGKILL at random moments, take them up again, and compare with a run that nobody killed.

``python tests/training/kills.py --kills 50`` kills fifty times; ``--backend jax`` says where. A third of the kills come
at a random step, a third at a random instant, and a third inside the writing of a checkpoint, at one of its calls of
the system. Keras is imported once: every run is a fork of this process.
"""

import argparse
import itertools
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

STEPS, EVERY = 40, 7


def build():
    import keras

    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )


def data():
    import numpy as np

    x = np.random.default_rng(0).normal(size=(50, 5)).astype("float32")
    return x, (x[:, :1] ** 2).astype("float32")


def run(folder, die_at_step=None, die_at_call=None, tell=None):
    """Train in this process; perhaps kill it at a step, or at the n-th call of a function that writes."""
    import keras
    import numpy as np

    from course_lib.data.batches import Batches
    from course_lib.training import Recipe, train

    class Deadly(Batches):
        def __getitem__(self, number):
            if tell is not None and number > 0:  # the first is asked for before the first step
                os.write(tell, b".")
            if die_at_step is not None and number == 2 * die_at_step + 1:  # between the two batches of an update
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(number)

    if die_at_call is not None:
        left = [die_at_call]

        def deadly(function, when):
            def wrapper(*args, **kwargs):
                left[0] -= 1
                if left[0] == 0 and when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                if left[0] == 0 and function is np.savez:  # half a file
                    args[0].write(b"PK\x03\x04 and no more")
                    args[0].flush()
                    os.kill(os.getpid(), signal.SIGKILL)
                result = function(*args, **kwargs)
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            return wrapper

        np.savez, os.fsync = deadly(np.savez, "inside"), deadly(os.fsync, "before")
        shutil.rmtree, Path.rename = deadly(shutil.rmtree, "after"), deadly(Path.rename, "before")

    x, y = data()
    model, batches = build(), Deadly((x, y), 8, seed=1, transform=noise)
    recipe = Recipe(
        STEPS, 0.01, "cosine", 5, 0.01, 1.0, accumulate=2, evaluate_every=10, checkpoint_every=EVERY, seed=3
    )
    history = train(model, batches, recipe, "mse", (x, y), ["mae"], folder)
    values = [keras.ops.convert_to_numpy(v) for v in model.variables + model.optimizer.variables]
    with Path(folder, "result.pickle").open("wb") as file:
        pickle.dump((values, history.rows(), Path(folder, "log.csv").read_bytes()), file)


def noise(batch, rng):
    x, y = batch
    return x + 0.1 * rng.normal(size=x.shape).astype("float32"), y


def fork(folder, **how):
    """Start a run in a fork; give its process id, and where it tells its steps."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        code = 1
        try:
            run(folder, tell=write, **how)
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(write)
    return child, read


def result(folder):
    with Path(folder, "result.pickle").open("rb") as file:
        return pickle.load(file)


def same(a, b):
    (values, rows, log), (others, other_rows, other_log) = a, b
    bits = all(v.dtype == w.dtype and v.tobytes() == w.tobytes() for v, w in zip(values, others, strict=True))
    return bits and rows == other_rows and log == other_log


def attempt(folder, kind, rng):
    """Run once, and kill it in one way; say whether it was killed before its end."""
    from course_lib.training import checkpoint

    found = checkpoint.paths(folder)
    start = int(found[-1].name[-8:]) if found else 0
    how = {}
    if kind == "step":
        how["die_at_step"] = start + int(rng.integers(0, 12))
    elif kind == "call":
        how["die_at_call"] = int(rng.integers(1, 14))
    child, read = fork(folder, **how)
    if kind == "instant":
        os.read(read, 1)  # its first step
        time.sleep(rng.uniform(0, 0.25))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(read)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return True
    assert status == 0, f"a run in {folder} failed with {status} after it was taken up at step {start}"
    return False


def lost_updates(folder):
    """Count the updates that a killed run logged after its last checkpoint, which must be whole."""
    from course_lib.training import checkpoint

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a damaged checkpoint would warn
        whole = checkpoint.latest(folder)
    log = folder / "log.csv"
    rows = max(len(log.read_text().splitlines()) - 1, 0) if log.exists() else 0
    return rows - (whole.step if whole else 0)


def main(kills, seed):
    import keras  # noqa: F401, so that the forks need not
    import numpy as np

    rng = np.random.default_rng(seed)
    done, lost = {"step": 0, "instant": 0, "call": 0}, 0
    with tempfile.TemporaryDirectory() as top:
        undisturbed = Path(top, "undisturbed")
        assert not attempt(undisturbed, None, rng)
        wanted = result(undisturbed)
        for number in itertools.count(1):
            folder, killed = Path(top, f"run-{number}"), 0
            while True:  # until a run reaches its end
                kind = str(rng.choice(list(done))) if sum(done.values()) < kills else None
                if not attempt(folder, kind, rng):
                    break
                done[kind], killed = done[kind] + 1, killed + 1
                lost = max(lost, lost_updates(folder))
                assert lost <= EVERY, f"{lost} updates are lost, more than the {EVERY} between two checkpoints"
            assert same(result(folder), wanted), f"after {killed} kills {folder.name} differs from the undisturbed run"
            if sum(done.values()) >= kills:
                break
    words = ", ".join(f"{count} by {kind}" for kind, count in done.items())
    print(f"{kills} kills ({words}) in {number} runs; each ended bit for bit as the undisturbed one")
    print(f"updates done twice: at most {lost}, of {EVERY} between two checkpoints")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="tensorflow")
    chosen = parser.parse_args()
    os.environ |= {"KERAS_BACKEND": chosen.backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(chosen.kills, chosen.seed)
