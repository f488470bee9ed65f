# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.attacks.eot import Eot as Eot
from holdfast.attacks.evasion.alma import Alma as Alma
from holdfast.attacks.evasion.apgd import Apgd as Apgd
from holdfast.attacks.evasion.boundary import Boundary as Boundary
from holdfast.attacks.evasion.brendel_bethge import BrendelBethge as BrendelBethge
from holdfast.attacks.evasion.capgd import Capgd as Capgd
from holdfast.attacks.evasion.carlini_wagner import CarliniWagner as CarliniWagner
from holdfast.attacks.evasion.carlini_wagner_l0 import CarliniWagnerL0 as CarliniWagnerL0
from holdfast.attacks.evasion.carlini_wagner_linf import CarliniWagnerLinf as CarliniWagnerLinf
from holdfast.attacks.evasion.carlini_wagner_table import CarliniWagnerTable as CarliniWagnerTable
from holdfast.attacks.evasion.ddn import Ddn as Ddn
from holdfast.attacks.evasion.deep_fool import DeepFool as DeepFool
from holdfast.attacks.evasion.ead import Ead as Ead
from holdfast.attacks.evasion.fab_t import FabT as FabT
from holdfast.attacks.evasion.fmn import Fmn as Fmn
from holdfast.attacks.evasion.gen_attack import GenAttack as GenAttack
from holdfast.attacks.evasion.geo_da import GeoDa as GeoDa
from holdfast.attacks.evasion.graph_search import GraphSearch as GraphSearch
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump as HopSkipJump
from holdfast.attacks.evasion.hop_skip_jump_table import HopSkipJumpTable as HopSkipJumpTable
from holdfast.attacks.evasion.jsma import Jsma as Jsma
from holdfast.attacks.evasion.lbfgs import Lbfgs as Lbfgs
from holdfast.attacks.evasion.leaf_tuple import LeafTuple as LeafTuple
from holdfast.attacks.evasion.local_search import LocalSearch as LocalSearch
from holdfast.attacks.evasion.moeva2 import Moeva2 as Moeva2
from holdfast.attacks.evasion.nes import Nes as Nes
from holdfast.attacks.evasion.newton_fool import NewtonFool as NewtonFool
from holdfast.attacks.evasion.noise import Noise as Noise
from holdfast.attacks.evasion.one_pixel import OnePixel as OnePixel
from holdfast.attacks.evasion.pdpgd import Pdpgd as Pdpgd
from holdfast.attacks.evasion.pgd import Pgd as Pgd
from holdfast.attacks.evasion.pointwise import Pointwise as Pointwise
from holdfast.attacks.evasion.ray_s import RayS as RayS
from holdfast.attacks.evasion.selective_pgd import SelectivePgd as SelectivePgd
from holdfast.attacks.evasion.sigma_zero import SigmaZero as SigmaZero
from holdfast.attacks.evasion.sign_opt import SignOpt as SignOpt
from holdfast.attacks.evasion.sim_ba import SimBa as SimBa
from holdfast.attacks.evasion.sparse_fool import SparseFool as SparseFool
from holdfast.attacks.evasion.spsa import Spsa as Spsa
from holdfast.attacks.evasion.square import Square as Square
from holdfast.attacks.evasion.super_deep_fool import SuperDeepFool as SuperDeepFool
from holdfast.attacks.evasion.sur_free import SurFree as SurFree
from holdfast.attacks.evasion.transfer_pgd import TransferPgd as TransferPgd
from holdfast.attacks.evasion.zoo import Zoo as Zoo
from holdfast.attacks.first_of import FirstOf as FirstOf
from holdfast.attacks.repeat import Repeat as Repeat

__all__ = [
    "Alma",
    "Apgd",
    "Boundary",
    "BrendelBethge",
    "Capgd",
    "CarliniWagner",
    "CarliniWagnerL0",
    "CarliniWagnerLinf",
    "CarliniWagnerTable",
    "Ddn",
    "DeepFool",
    "Ead",
    "Eot",
    "FabT",
    "FirstOf",
    "Fmn",
    "GenAttack",
    "GeoDa",
    "GraphSearch",
    "HopSkipJump",
    "HopSkipJumpTable",
    "Jsma",
    "Lbfgs",
    "LeafTuple",
    "LocalSearch",
    "Moeva2",
    "Nes",
    "NewtonFool",
    "Noise",
    "OnePixel",
    "Pdpgd",
    "Pgd",
    "Pointwise",
    "RayS",
    "Repeat",
    "SelectivePgd",
    "SigmaZero",
    "SignOpt",
    "SimBa",
    "SparseFool",
    "Spsa",
    "Square",
    "SuperDeepFool",
    "SurFree",
    "TransferPgd",
    "Zoo",
]
