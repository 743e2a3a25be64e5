"""BERT, RoBERTa and the head for masked tokens once more, in NumPy, from their weights."""

import math

import numpy as np

ERF = np.vectorize(math.erf)
BENDS = {
    "gelu": lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: np.maximum(x, 0),
}


def weights_of(model):
    """Give the weights of a model by their paths, without its own name."""
    import keras

    return {w.path.split("/", 1)[1]: np.asarray(keras.ops.convert_to_numpy(w), np.float64) for w in model.weights}


def normalize(x, w, name, epsilon):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * w[f"{name}/scale"] + w[f"{name}/shift"]


def dense(x, w, name):
    return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]


def embed(w, config, tokens, segments=None, places=None):
    """Add the three tables' rows and normalise."""
    segments = np.zeros_like(tokens) if segments is None else segments
    places = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape) if places is None else places
    x = w["token_embedding/embeddings"][tokens] + w["segment_embedding/embeddings"][segments]
    table = w["positions/table"] if "positions/table" in w else w["positions/embeddings"]
    return normalize(x + table[places], w, "embedding_norm", config.epsilon)


def block(x, w, name, config, mask):
    batch, n, d = x.shape

    def heads(part):
        return dense(x, w, f"{name}/attention/{part}").reshape(batch, n, config.heads, -1).transpose(0, 2, 1, 3)

    q, k, v = heads("query"), heads("key"), heads("value")
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(d // config.heads)
    scores = np.where(mask[:, None, None, :], scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ v  # (batch, heads, positions, head width)
    mixed = dense(mixed.transpose(0, 2, 1, 3).reshape(batch, n, d), w, f"{name}/attention/output")
    x = normalize(x + mixed, w, f"{name}/attention_norm", config.epsilon)
    hidden = BENDS[config.activation](dense(x, w, f"{name}/feed_forward/up"))
    return normalize(x + dense(hidden, w, f"{name}/feed_forward/down"), w, f"{name}/feed_forward_norm", config.epsilon)


def states(w, config, tokens, segments=None, mask=None, places=None):
    """Give what goes into the first block, and what comes out of each."""
    mask = tokens != config.padding if mask is None else mask
    found = [embed(w, config, tokens, segments, places)]
    for number in range(1, config.layers + 1):
        found.append(block(found[-1], w, f"block_{number}", config, mask))
    return found


def decode(x, w, config, table, activation):
    """Score all tokens."""
    x = normalize(BENDS[activation](dense(x, w, "masked/transform")), w, "masked/norm", config.epsilon)
    return x @ table.T + w["masked/bias"]


def cross_entropy(labels, logits, weights):
    """Average over what has a weight, in float64."""
    logits = np.asarray(logits, np.float64)
    top = logits.max(-1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    losses = -np.take_along_axis(logs, np.where(weights > 0, labels, 0)[..., None], -1)[..., 0]
    return (losses * weights).sum() / weights.sum()
