"""Checkpoints: the same gradients to the bit, less memory, more arithmetic, the same draws, nothing done twice."""

import numpy as np
import pytest

from course_lib import autodiff as ad
from course_lib.autodiff import Tensor, checkpoint


def network(depth, width=16, rate=0.0, seed=0):
    rng = np.random.default_rng(seed)
    weights = [Tensor(rng.normal(0, 0.3, (width, width)), requires_grad=True) for _ in range(depth)]
    draws = np.random.default_rng(seed + 1)

    def layer(w):
        def forward(x):
            h = ad.tanh(x @ w)
            return ad.dropout(h, rate, draws) if rate else h

        return forward

    return weights, [layer(w) for w in weights], draws


def segment(layers):
    def forward(x):
        for layer in layers:
            x = layer(x)
        return x

    return forward


def run(every, depth=12, rate=0.0, batch=32):
    """A network in segments of so many layers, each under a checkpoint; 0: none. What came out, and what it cost."""
    weights, layers, draws = network(depth, rate=rate)
    x = Tensor(np.random.default_rng(9).standard_normal((batch, 16)), requires_grad=True)
    with ad.count_flops() as flops:
        h = x
        for i in range(0, depth, every or depth):
            part = segment(layers[i : i + (every or depth)])
            h = checkpoint(part, h) if every else part(h)
        loss = (h * h).mean()
        kept = ad.tape_bytes(loss)
        loss.backward()
    return loss.item(), [x.grad, *(w.grad for w in weights)], kept, flops, draws.random()


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("every", [1, 3, 5, 12])
def test_the_same_to_the_bit(every, rate):
    loss, gradients, kept, flops, after = run(0, rate=rate)
    loss2, gradients2, kept2, flops2, after2 = run(every, rate=rate)
    assert loss2 == loss
    assert after2 == after  # the generator stands where it would without a checkpoint
    for ours, want in zip(gradients2, gradients, strict=True):
        np.testing.assert_array_equal(ours, want)
    # Every layer's forward pass was made once more; the rest is the same.
    assert flops2.backward == flops.backward
    layers_forward = flops.forward - 2 * 32 * 16  # but for square and mean
    assert flops2.forward == flops.forward + layers_forward
    if every > 1:
        assert kept2 < kept


def test_memory_by_the_square_root_of_the_depth():
    kept = {every: run(every, depth=36, batch=64)[2] for every in (0, 1, 6, 36)}
    activation = 64 * 16 * 8
    # The inputs of six segments, of which the first is a leaf and does not count, and the last output for the square.
    assert kept[6] == 6 * activation
    assert kept[0] == kept[1] == 36 * activation


def test_checkpoints_inside_checkpoints():
    weights, layers, _ = network(4, rate=0.3)
    x = Tensor(np.ones((2, 16)), requires_grad=True)
    segment(layers)(x).sum().backward()
    want = [x.grad, *(w.grad for w in weights)]
    weights, layers, _ = network(4, rate=0.3)
    x = Tensor(np.ones((2, 16)), requires_grad=True)
    checkpoint(lambda x: layers[3](checkpoint(segment(layers[1:3]), layers[0](x))), x).sum().backward()
    for ours, theirs in zip([x.grad, *(w.grad for w in weights)], want, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_parameters_that_are_not_inputs_get_their_gradient():
    w = Tensor(3.0, requires_grad=True)
    v = w * w  # not a leaf either
    checkpoint(lambda x: x * v * w, Tensor(2.0)).backward()  # 2 w^3
    assert w.grad == 54
    w.grad = None
    v = w * w
    (checkpoint(lambda x: x * v, Tensor(2.0)) + v).backward()  # v inside and outside: 3 w^2
    assert w.grad == 18


def test_the_same_input_twice_and_an_input_handed_through():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (checkpoint(lambda a, b: a * b, x, x) + checkpoint(lambda a: a, x) + x).sum().backward()
    np.testing.assert_array_equal(x.grad, 2 * x.data + 2)


def test_inside_a_module_whose_weights_are_passed():
    class Net(ad.Module):
        def __init__(self, held):
            rng = np.random.default_rng(0)
            self.first, self.second = (ad.Linear(3, 3, rng=rng, dtype=np.float64) for _ in range(2))
            self.held = held

        def forward(self, x):
            h = checkpoint(self.first, x) if self.held else self.first(x)
            return ad.tanh(self.second(h)).sum()

    params = {name: 2 * a for name, a in Net(True).state().items()}
    x = np.random.default_rng(1).standard_normal((4, 3))
    (value, held), (want, plain) = (
        ad.value_and_grad(lambda p, model: model.apply(p, x))(params, Net(checkpointed))
        for checkpointed in (True, False)
    )
    assert value == want
    for name in params:
        np.testing.assert_array_equal(held[name], plain[name])
        assert np.any(held[name] != 0)


def test_running_statistics_move_once():
    norm = ad.BatchNorm(3)
    x = Tensor(np.random.default_rng(0).standard_normal((8, 3)), requires_grad=True)
    checkpoint(norm, x).sum().backward()
    np.testing.assert_allclose(norm.running_mean.data, 0.1 * x.data.mean(0), rtol=1e-6)


def test_under_no_grad_there_is_nothing_to_recompute():
    calls = []
    with ad.no_grad():
        y = checkpoint(lambda x: calls.append(1) or x * 2.0, Tensor(1.0, requires_grad=True))
    assert not y.requires_grad
    assert calls == [1]


def test_a_backward_pass_inside_no_grad_recomputes_all_the_same():
    x = Tensor(3.0, requires_grad=True)
    y = checkpoint(lambda x: x * x, x)
    with ad.no_grad():
        y.backward()
        assert not (x * x).requires_grad  # and no_grad holds afterwards
    assert x.grad == 6


def test_freed_like_everything_else():
    x = Tensor(3.0, requires_grad=True)
    y = checkpoint(lambda x: x * x, x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 12
    with pytest.raises(RuntimeError, match="'checkpoint' has been freed"):
        y.backward()


def test_constants_in_and_out():
    y = checkpoint(lambda x: x * 2.0, Tensor(1.0))
    y.backward()  # nothing to reach, and no error: nobody could know before
    assert not checkpoint(lambda: Tensor([1, 2])).requires_grad


def test_it_gives_one_tensor():
    with pytest.raises(TypeError, match="the function gave tuple; a checkpoint's must give one Tensor"):
        checkpoint(lambda x: (x, x), Tensor(1.0))


def test_an_error_inside_leaves_everything_as_it_was():
    x = Tensor(3.0, requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        checkpoint(lambda x: 1 / 0, x)
    assert (x * x).requires_grad
    assert ad.tensor.mode.draws == ()
