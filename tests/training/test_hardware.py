import keras
import tensorflow as tf

from training import hardware


def test_device_names():
    (name,) = hardware.device_names()[:1]
    kind, index = name.split(":")
    assert kind in ("cpu", "gpu", "cuda", "tpu") and int(index) >= 0


def test_only_the_tensorflow_backend_leaves_tensorflow_the_accelerators(monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(
        tf.config, "set_visible_devices", lambda devices, kind: hidden.append((devices, kind))
    )
    hardware.hide_accelerators_from_tensorflow()
    expected = [] if keras.backend.backend() == "tensorflow" else [([], "GPU")]
    assert hidden == expected
