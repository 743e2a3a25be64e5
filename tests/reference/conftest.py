"""The peers' versions in the report's header."""

from importlib.metadata import PackageNotFoundError, version

PEERS = ("torch", "jax", "optax", "keras", "tensorflow", "scikit-learn", "numpy")


def pytest_report_header():
    found = []
    for name in PEERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return "peers: " + ", ".join(found)
