"""The recipes by name: one file each, which holds what differs from the defaults."""

from training.recipes import (
    cifar10_scratch,
    digits,
    finetune_cifar10,
    finetune_cifar10_448,
    finetune_cifar100,
    finetune_cifar100_448,
    finetune_flowers,
    finetune_flowers_448,
    finetune_imagenet,
    finetune_imagenet_448,
    finetune_pets,
    finetune_pets_448,
    imagenet21k_b16,
    imagenet21k_l16,
    imagenet_b16,
    imagenet_l16,
    tiny,
)

_MODULES = (
    digits,
    tiny,
    cifar10_scratch,
    finetune_imagenet,
    finetune_cifar10,
    finetune_cifar100,
    finetune_pets,
    finetune_flowers,
    finetune_imagenet_448,
    finetune_cifar10_448,
    finetune_cifar100_448,
    finetune_pets_448,
    finetune_flowers_448,
    imagenet_b16,
    imagenet_l16,
    imagenet21k_b16,
    imagenet21k_l16,
)
RECIPES = {module.__name__.rpartition(".")[2].replace("_", "-"): module for module in _MODULES}
