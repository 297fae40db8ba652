"""Maps of the patches that a class score depends on.

Three methods, for a Mixer and for any model around one; each answers another question:

* `integrated_gradients`: how much does each patch add, if all patches appear together out of a
  flat image? A few dozen passes forward and back.
* `occlusion`: how much does the score drop without the patch? One pass forward for each patch, and
  no look into the model.
* `grad_cam`: which tokens does the head read the score from? One pass forward and back.

All explain the score before a last softmax or sigmoid, the logit. A softmax that is close to 1
hides by how much a class wins, and its gradient vanishes.
"""

from keras_mixer.explain.maps import grad_cam, integrated_gradients, occlusion
from keras_mixer.explain.tokens import token_layers

__all__ = ["grad_cam", "integrated_gradients", "occlusion", "token_layers"]
