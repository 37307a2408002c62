"""The lazy top level as type checkers see it: every public name at its home."""

from hashkit import codes as codes
from hashkit import datasets as datasets
from hashkit import evaluation as evaluation
from hashkit import hashers as hashers
from hashkit import images as images
from hashkit import index as index
from hashkit import interop as interop
from hashkit import networks as networks
from hashkit import scale as scale
from hashkit import storage as storage
from hashkit import tables as tables
from hashkit import training as training
from hashkit import udhpl as udhpl
from hashkit import vectors as vectors
from hashkit.codes import hamming_distances as hamming_distances
from hashkit.codes import pack as pack
from hashkit.codes import unpack as unpack
from hashkit.collection import Collection as Collection
from hashkit.hashers import fit as fit
from hashkit.hashers import load as load
from hashkit.hashers.base import Hasher as Hasher
from hashkit.hashers.itq import ITQ as ITQ
from hashkit.hashers.own import OwnHasher as OwnHasher
from hashkit.hashers.pca_sign import PCASign as PCASign
from hashkit.hashers.random_hyperplanes import RandomHyperplanes as RandomHyperplanes
from hashkit.hashers.sign import Sign as Sign
from hashkit.index import Index as Index
from hashkit.index import PairBlock as PairBlock
from hashkit.index import RadiusResult as RadiusResult
from hashkit.index.merging import merge as merge
from hashkit.index.merging import merge_radius as merge_radius
from hashkit.udhpl.estimator import UDHPL as UDHPL
from hashkit.udhpl.image_hasher import ImageHasher as ImageHasher
from hashkit.vectors import VectorIndex as VectorIndex
from hashkit.vectors import rescore as rescore
from hashkit.vectors import suggest_bits as suggest_bits

__version__: str
