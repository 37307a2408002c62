import numpy as np

from hashkit.hashers.itq import itq_rotation


def test_rotation_is_orthogonal_and_lowers_the_quantization_error():
    rng = np.random.default_rng(0)
    corners = np.where(rng.normal(size=(500, 8)) > 0, 1.0, -1.0) + 0.2 * rng.normal(size=(500, 8))
    values = (corners @ np.linalg.qr(rng.normal(size=(8, 8)))[0]).astype(np.float32)
    rotation = itq_rotation(values, n_iterations=50, rng=np.random.default_rng(0))
    assert np.allclose(rotation.T @ rotation, np.eye(8), atol=1e-5)

    def error(z):
        return np.mean((np.sign(z) - z) ** 2)

    assert error(values @ rotation) < 0.5 * error(values)
    assert error(values @ rotation) < 0.1
