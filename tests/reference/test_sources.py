"""What the source documents run with PyTorch and Keras, reproduced: ``book/errata.md`` says what happens, and why."""

import re
import traceback
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.reference

torch = pytest.importorskip("torch")


def program(parameters, batch_size, seed, steps=1000, intercept=False):
    """Run document 1's sections 4.1 to 4.5, with a list for the optimizer; give last parameters and late mean loss.

    The document draws from torch's global generator; here the draws are seeded.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(params=parameters, lr=0.01)
    losses = []
    for _ in range(steps):
        x = torch.randn(batch_size, generator=generator)
        predicted = x * parameters[0] + (parameters[1] if intercept else 0.0)
        loss = torch.nn.functional.mse_loss(predicted, 4 * x + 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return [float(p.detach()) for p in parameters], float(np.mean(losses[-200:]))


def parameter():
    return torch.zeros(1, requires_grad=True)


def test_torch_refuses_the_bare_tensor_of_document_1():
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts"):
        torch.optim.SGD(params=parameter(), lr=0.01)


def test_the_rows_of_a_tensor_are_no_parameters_either():
    # Why it refuses: what iterating gives are results of an operation, not the tensor that holds the weights.
    with pytest.raises(ValueError, match="non-leaf"):
        torch.optim.SGD(params=list(parameter()), lr=0.01)


def test_keras_refuses_the_zip_of_document_2():
    import keras

    variable = keras.Variable(np.zeros(3))
    gradient = keras.ops.ones(3)
    # The class of the error depends on the backend: a row of a variable has no name and no assign.
    with pytest.raises((AttributeError, TypeError, ValueError, KeyError)):
        keras.optimizers.SGD(0.1).apply_gradients(zip([gradient], variable, strict=False))
    assert np.all(keras.ops.convert_to_numpy(variable) == 0)
    keras.optimizers.SGD(0.1).apply_gradients(zip([gradient], [variable], strict=True))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), -0.1, rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_an_intercept_the_loss_stops_at_four(seed):
    (slope,), loss = program([parameter()], 1000, seed)
    assert slope == pytest.approx(4, abs=0.05)
    assert loss == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_with_an_intercept_it_goes_to_zero(batch_size):
    (slope, intercept), loss = program([parameter(), parameter()], batch_size, 0, intercept=True)
    assert (slope, intercept) == (pytest.approx(4, abs=1e-3), pytest.approx(2, abs=1e-3))
    assert loss < 1e-6


def test_inputs_that_want_a_gradient_get_one():
    # Sections 4.2, 4.4 and 4.5 of document 1 mark the data: every step computes a gradient that nobody reads.
    x = torch.randn(1000, requires_grad=True)
    torch.nn.functional.mse_loss(x * parameter(), 4 * x + 2).backward()
    assert x.grad is not None
    assert x.grad.shape == (1000,)


def test_a_model_without_layers_has_nothing_to_train():
    # What is left of document 3's BERT when the names that it lacks are given.
    class Empty(torch.nn.Module):
        pass

    with pytest.raises(ValueError, match="empty parameter list"):
        torch.optim.Adam(Empty().parameters())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_targets_of_noise_teach_nothing(seed):
    """Document 4's network, data and optimizer, a thousand epochs: it memorises, and unseen data say so."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(10, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
    x, y, unseen, other = torch.randn(100, 10), torch.randn(100, 1), torch.randn(4000, 10), torch.randn(4000, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(1000):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        on_unseen = torch.nn.functional.mse_loss(net(unseen), other)
    assert loss < 0.9 * y.var()
    assert on_unseen > other.var()  # worse than always answering the mean


def test_no_grad_leaves_dropout_on():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(10, 100), torch.nn.Dropout(0.5), torch.nn.Linear(100, 1))
    x = torch.randn(4, 10)
    with torch.no_grad():
        assert not torch.equal(net(x), net(x))
        net.eval()
        assert torch.equal(net(x), net(x))


# The programs as the documents have them, where the documents are beside this checkout.
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "sources"
needs_documents = pytest.mark.skipif(not FOLDER.is_dir(), reason="the five documents are not beside this checkout")


def fences(number):
    text = (FOLDER / f"document-{number}.txt").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def stop_of(program, names=None):
    """Run a program of a document; give the error that ends it, the line where, and its names."""
    names = {} if names is None else names
    try:
        exec(compile(program, "program", "exec"), names)
    except Exception as error:
        lines = [entry.lineno for entry in traceback.extract_tb(error.__traceback__) if entry.filename == "program"]
        return error, program.splitlines()[lines[0] - 1].strip(), names
    return None, "", names


@needs_documents
@pytest.mark.parametrize("number", range(5))
def test_a_program_of_document_1_as_written(number):
    error, line, names = stop_of(fences(1)[number])
    assert isinstance(error, TypeError)
    assert line.startswith("optimizer = optim.SGD(params=theta")
    repaired = fences(1)[number].replace("params=theta", "params=[theta]")
    torch.manual_seed(number)
    error, _, names = stop_of(repaired)
    assert error is None
    unseen = torch.randn(20_000)
    loss = torch.mean((unseen * names["theta"].detach() - 4 * unseen - 2) ** 2)
    assert loss.item() == pytest.approx(4, abs=0.4)
    assert (names["x"].grad is not None) == (number in (1, 3, 4))


@needs_documents
def test_the_program_of_document_3_as_written():
    (program,) = fences(3)
    error, line, _ = stop_of(program)
    assert isinstance(error, NameError)
    assert "'config'" in str(error)
    assert line.startswith("input_ids")
    error, line, _ = stop_of(program.replace("config.vocab_size", "9"), {"batch_size": 2, "sequence_length": 4})
    assert isinstance(error, NameError)
    assert "BertConfig" in str(error)
    given = {"batch_size": 2, "sequence_length": 4, "BertConfig": object}
    error, line, _ = stop_of(program.replace("config.vocab_size", "9"), given)
    assert isinstance(error, ValueError)
    assert "empty parameter list" in str(error)
    assert line.startswith("optimizer")
    assert len(re.findall("pad_sequence", program)) == 1  # imported, not used
    for name in ("labels", "num_epochs", "output"):
        assert not re.search(rf"\b{name} =", program.replace("output = model", ""))


@needs_documents
def test_the_program_of_document_5_as_written():
    (program,) = fences(5)
    error, line, _ = stop_of(program)
    assert isinstance(error, NameError)
    assert "'model'" in str(error)
    assert line.startswith("optimizer")
    made = program.replace("# 定义损失函数和优化器", "model = Net(784, 128, 10)")
    error, line, names = stop_of(made)
    assert isinstance(error, NameError)
    assert "train_loader" in str(error)
    assert sum(p.numel() for p in names["model"].parameters()) == 101_770


def document_4():
    """Give document 4's two programs with the indents that the copy lost put back."""
    text = (FOLDER / "document-4.txt").read_text(encoding="utf-8")
    train = text[text.index("import torch\n") : text.index("在这个代码实例中,我们定义了")]
    infer = text[text.index("# 测试数据\n") : text.index("在这个代码实例中,我们使用了")]
    lines, depth = [], 0
    for line in (train + infer).splitlines():
        if line.startswith(("import", "#", "class", "for", "with", "model =", "criterion", "optimizer = ")):
            depth = 0
        if line.startswith("def "):
            depth = 1
        indent = 2 if line.startswith("print('Epoch") else depth
        lines.append("    " * (0 if line.startswith("x_") else indent) + line)
        if line.startswith(("class", "for", "with")):
            depth = 1
        if line.startswith("def "):
            depth = 2
    program = "\n".join(lines) + "\n"
    cut = program.index("# 测试数据")
    return program[:cut], program[cut:]


@needs_documents
def test_the_programs_of_document_4_with_their_indents(capsys):
    train, infer = document_4()
    torch.manual_seed(0)
    error, _, names = stop_of(train)
    assert error is None
    assert len(re.findall(r"Epoch \[\d+/100\], Loss", capsys.readouterr().out)) == 10
    assert sum(p.numel() for p in names["model"].parameters()) == 61
    error, line, _ = stop_of(infer, names)
    assert isinstance(error, NameError)
    assert "'y_test'" in str(error)
    assert line == "loss = criterion(outputs, y_test)"
