"""Encoders in Flax Linen, as pure functions of their parameters.

transformer            the layers of every encoder
transformer_config     their shape, and the choices of a family
products               dense layers, and a CPU's products in bfloat16
positions              masks, rotary positions and biases by distance
attention              a kernel for TPU cores
cudnn                  the same of cuDNN, on NVIDIA GPUs
texts                  from texts to tokens, and from token states to vectors
dual                   a text as one vector
matryoshka             the same, of which the first coordinates count
late                   a text as a vector for each token
cross                  a query and a passage, or two, read together
families               what each family calls its fields and its weights
weights                the files that weights lie in
pickled                pickled weights as safetensors, with torch
hf                     weights in and out, as Hugging Face folders
sentence_transformers  what a folder of theirs says beside the encoder
cross_modules          a linear head among their modules
colbert                what a folder says of a model of token vectors
hub                    models of a hub, kept on this machine
build                  from a config to an encoder and its first parameters
"""

from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction

Embedder = DualEncoder | LateInteraction  # of queries and of passages
Encoder = Embedder | CrossEncoder
