"""Encoders in Flax Linen, as pure functions of their parameters.

transformer  BERT and ERNIE: the layers of every encoder
distilbert   DistilBERT's weights under BERT's names
attention    a kernel for TPU cores, and the plain path
texts        from a batch's texts to tokens, and from token states to vectors
dual         a text as one vector
matryoshka   the same, of which the first coordinates count
late         a text as a vector for each token
cross        a query and a passage, or two, read together
hf           weights in and out, as safetensors
build        from a config to an encoder and its first parameters
"""

from prod_jax.models.cross import CrossEncoder
from prod_jax.models.dual import DualEncoder
from prod_jax.models.late import LateInteraction

Embedder = DualEncoder | LateInteraction  # of queries and of passages
Encoder = Embedder | CrossEncoder
